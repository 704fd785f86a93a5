"""Ports in a CRM: a plugin gets what it declared, and only for itself; notices reach who listens."""

from __future__ import annotations

import gc
import queue
from pathlib import Path
from typing import Any

import attrs
import pytest

from crm_core import CRM, Account, Actor, Created, Denied, Event, LoadError, Plugin, Ref, Session
from crm_core.hooks.ports import Unreached
from crm_core.ports import DirectoryFiles, Files, LiveNotifier, MemoryMailer, Notice, Notifier
from crm_core.testing.databases import Database
from crm_core.testing.ports import check_notifier

ADMIN = Actor.system("test", tenant="main")


@attrs.frozen
class Keep:
    account: Ref[Account]


def opened(database: Database, plugins: list[Plugin], *ports: object) -> CRM:
    crm = CRM(database.url, plugins=plugins, ports=ports)
    crm.migrate()
    return crm


def plugin(name: str = "acme", *ports: type[Any]) -> Plugin:
    made = Plugin(name, version="1.0.0")
    made.ports(*ports)

    @made.action(on=Account, permission=f"{name}.keep", label=f"{name}.keep")
    def keep(s: Session, command: Keep) -> str:
        s.port(Files).put("k", s.actor.tenant.encode())
        return "kept"

    return made


def test_a_plugin_sees_its_own_files_of_its_tenant(database: Database, tmp_path: Path) -> None:
    crm = opened(database, [plugin("acme", Files)], DirectoryFiles(tmp_path))
    for tenant in ("main", "other"):
        with crm.session(Actor.system("test", tenant=tenant)) as s:
            s.perform(Keep(s.create(Account(name="Acme")).ref))
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("k")) == ["main/acme/k", "other/acme/k"]
    assert (tmp_path / "other/acme/k").read_bytes() == b"other"
    crm.close()


def test_a_port_that_was_not_declared_is_denied_and_so_is_a_host_s_session(database: Database, tmp_path: Path) -> None:
    crm = opened(database, [plugin("acme")], DirectoryFiles(tmp_path))
    with crm.session(ADMIN) as s, pytest.raises(Denied) as caught:
        s.perform(Keep(s.create(Account(name="Acme")).ref))
    assert (caught.value.code, caught.value.params["plugin"]) == ("port_undeclared", "acme")
    with crm.session(ADMIN) as s, pytest.raises(Denied):
        s.port(Files)
    assert list(tmp_path.iterdir()) == []
    crm.close()


def test_a_crm_that_lacks_a_port_or_has_two_does_not_start(tmp_path: Path) -> None:
    for ports, code in (
        ([], "port_missing"),
        ([DirectoryFiles(tmp_path), DirectoryFiles(tmp_path)], "port_twice"),
        ([object()], "port_unknown"),
        ([MemoryMailer], "port_class"),
    ):
        with pytest.raises(LoadError) as caught:
            CRM("sqlite://", plugins=[plugin("acme", Files)], ports=ports)
        assert caught.value.code == code
    CRM("sqlite://", ports=[MemoryMailer()]).close()  # what nobody needs may be there


def test_who_listens_is_told_and_who_left_is_forgotten() -> None:
    notifier = LiveNotifier()
    queues: dict[tuple[str, str], queue.Queue[Notice]] = {}
    told: dict[tuple[str, str], list[Notice]] = {}

    def heard(tenant: str, user: str) -> list[Notice]:
        waiting, found = queues[tenant, user], told.setdefault((tenant, user), [])
        while not waiting.empty():
            found.append(waiting.get_nowait())
        return found

    for tenant, user in (("contract", "anna"), ("other", "anna")):
        queues[tenant, user] = notifier.listen(tenant, user)
    check_notifier(notifier, heard)
    mine = notifier.scoped("contract", "x")
    for n in range(150):
        mine.notify("anna", Notice(title=str(n)))
    assert [n.title for n in heard("contract", "anna")][-100:] == [str(n) for n in range(50, 150)]
    queues.clear()
    gc.collect()
    mine.notify("anna", Notice(title="nobody hears"))
    assert not notifier._listeners.queues.get(("contract", "anna"))


def test_a_port_that_fails_is_tried_again_and_named(database: Database, tmp_path: Path) -> None:
    made = Plugin("acme", version="1.0.0")
    made.grants("account:read")
    made.ports(Files, Notifier)

    @made.on(Created[Account], external=True)
    def letter(s: Session, event: Event[Account]) -> None:
        s.port(Files).put(f"{event.id}.txt", b"Dear")

    (tmp_path / "main").write_text("in the way")
    crm = opened(database, [made], DirectoryFiles(tmp_path), LiveNotifier())
    with crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
    assert crm.run_pending() == 0
    (line,) = crm.delivery.parked()
    assert "Files failed" in line.error
    (tmp_path / "main").unlink()
    crm.delivery.retry(line.subscription, line.record)
    assert crm.run_pending() == 1
    assert len(list((tmp_path / "main/acme").iterdir())) == 1
    crm.close()


def test_a_crm_that_demands_no_port_fails_by_name_where_one_is_called(database: Database) -> None:
    crm = CRM(database.url, plugins=[plugin("acme", Files)], ports=Unreached())
    crm.migrate()
    with crm.session(ADMIN) as s, pytest.raises(LoadError) as caught:
        s.perform(Keep(s.create(Account(name="Acme")).ref))
    assert (caught.value.code, caught.value.params) == ("port_missing", {"plugin": "acme", "port": "Files"})
    crm.close()
