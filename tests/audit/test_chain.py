"""[C73] The chain of seals: what a pass seals, that writers do not wait for it, and that it is the same whoever makes it."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from crm_core import CRM, Account, Actor, Contact, FixedClock, Invalid, Runtime
from crm_core.audit import ERASED, Audit, Checkpoint, FileSigner, FileSink, chain
from crm_core.audit.chain import frontier
from tests.conftest import MakeCRM
from tests.threads import at_once

ADMIN = Actor.system("test", tenant="main")


def accounts(crm: CRM, *names: str, tenant: str = "main") -> list[Account]:
    with crm.session(Actor.system("test", tenant=tenant), reason="why not") as s:
        return s.create_many(Account(name=n) for n in names).ok


def erase(crm: CRM, record: str) -> None:
    """Do what an erasure does to the journal: the personal parts of a record go."""
    journal = crm.tables.system.journal
    with crm.bound.begin() as connection:
        connection.execute(update(journal).where(journal.c.record == record).values(personal=None, key_id=None))


def contact(crm: CRM) -> Contact:
    with crm.session(ADMIN) as s:
        return s.create(Contact(name="Ada Lovelace"))


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return FileSigner.create(tmp_path / "audit.key")


def test_a_pass_seals_each_tenants_rows_in_a_chain_of_its_own(make_crm: MakeCRM) -> None:
    crm = make_crm()
    accounts(crm, "a", "b")
    accounts(crm, "c", tenant="other")
    assert crm.audit.verify().unsealed == {"main": 2, "other": 1}
    assert crm.audit.seal() == 3
    assert crm.audit.seal() == 0
    verdict = crm.audit.verify()
    assert (verdict.ok, verdict.sealed, verdict.unsealed) == (True, {"main": 2, "other": 1}, {})
    assert verdict.signed == {"main": 0, "other": 0}
    assert crm.audit.verify(tenant="other").sealed == {"other": 1}
    assert {t: h.number for t, h in crm.audit.heads().items()} == {"main": 2, "other": 1}


def test_deliveries_seal_by_themselves(make_crm: MakeCRM) -> None:
    crm = make_crm()
    accounts(crm, "a")
    crm.run_pending()
    assert crm.audit.verify().sealed == {"main": 1}


def test_a_chain_is_the_same_on_both_databases(sqlite_databases: Any, postgres_databases: Any) -> None:
    found = []
    for databases in (sqlite_databases, postgres_databases):
        database = databases.create()
        clock = FixedClock(Runtime.seeded(1).clock.now())
        crm = CRM(database.url, runtime=Runtime.seeded(5, clock=clock))
        crm.migrate()
        with crm.session(Actor.system("job", tenant="main", on_behalf_of=Actor("7")), request="r-1", reason="日本語 'and' \"quotes\"") as s:
            s.note(
                "core.test.v1", {"numbers": [1, 1.0, 1e16, 10**16, -0.0, 1e-7, 12345678901234567890], "text": "é\u2028\x7f", "none": None}
            )
        contact(crm)
        clock.advance(timedelta(seconds=1))
        accounts(crm, *map(str, range(20)))
        crm.audit.seal()
        found.append(crm.audit.heads()["main"])
        crm.close()
        databases.drop(database)
    assert found[0] == found[1]
    assert found[0].number == 22


def test_a_chain_is_the_same_however_often_a_pass_begins_anew(make_crm: MakeCRM) -> None:
    crm = make_crm()
    for i in range(3):
        accounts(crm, str(i))
        crm.audit.seal()
    often = crm.audit.heads()
    with crm.bound.begin() as connection:
        connection.execute(crm.tables.system.seal.delete())
    assert crm.audit.verify().unsealed == {"main": 3}
    again = CRM(crm.url)
    again.audit.seal()
    again.close()
    assert crm.audit.heads() == often


def test_eight_writers_and_two_sealers_make_one_chain_without_a_fork(make_crm: MakeCRM, signer: FileSigner, tmp_path: Path) -> None:
    """[S11] Every row of every writer is in it once, and the sink has no two heads for one number."""
    sink = tmp_path / "sink.jsonl"
    audit = Audit(signer=signer, sink=FileSink(sink), every=20, within=timedelta(0))
    crm = make_crm(audit=audit)
    twin = CRM(crm.url, audit=audit)
    failed: list[BaseException] = []
    writing = threading.Event()

    def guarded(work: Any) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as e:
                failed.append(e)

        return threading.Thread(target=run)

    def write() -> None:
        for i in range(10):
            accounts(crm, f"{i}", tenant="main" if i % 3 else "other")

    def seal(which: CRM, *, wait: bool) -> None:
        while not writing.is_set():
            which.audit.seal(wait=wait)
            time.sleep(0.01)

    writers = [guarded(write) for _ in range(8)]
    sealers = [guarded(lambda: seal(crm, wait=True)), guarded(lambda: seal(twin, wait=False))]
    for thread in (*sealers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    for thread in sealers:
        thread.join()
    crm.audit.checkpoint()
    verdict = crm.audit.verify(against=sink)
    assert (failed, list(verdict.findings)) == ([], [])
    assert verdict.sealed == verdict.signed == {"main": 48, "other": 32}
    known: dict[tuple[str, int], str] = {}
    for line in map(json.loads, sink.read_text().splitlines()):
        assert known.setdefault((line["tenant"], line["number"]), line["head"]) == line["head"]
    twin.close()


def test_a_row_that_commits_late_is_sealed_late(make_crm: MakeCRM) -> None:
    crm = make_crm()
    if crm.bound.kind == "sqlite":
        pytest.skip("one writer at a time")
    with crm.session(ADMIN) as s:
        s.create(Account(name="late"))
        accounts(crm, "early")
        crm.audit.seal()
        assert crm.audit.verify().sealed == {"main": 1}
    crm.audit.seal()
    verdict = crm.audit.verify()
    assert (verdict.ok, verdict.sealed, verdict.unsealed) == (True, {"main": 2}, {})


def test_who_delivers_leaves_the_sealing_to_who_is_at_it(make_crm: MakeCRM) -> None:
    crm = make_crm()
    if crm.bound.kind == "sqlite":
        pytest.skip("one writer at a time")
    accounts(crm, "a", "b")
    with crm.bound.begin() as other:
        assert chain._has_lock(other, crm.tables)
        assert crm.audit.seal(wait=False) == 0
        assert crm.run_pending() == 0
    assert crm.audit.verify().unsealed == {"main": 2}
    assert crm.audit.seal(wait=False) == 2
    verdict = crm.audit.verify()
    assert (verdict.ok, verdict.sealed, verdict.unsealed) == (True, {"main": 2}, {})


def test_a_checkpoint_is_due_after_so_many_rows_or_so_much_time(make_crm: MakeCRM, signer: FileSigner, tmp_path: Path) -> None:
    clock = FixedClock(Runtime.seeded(1).clock.now())
    sink = tmp_path / "sink.jsonl"
    audit = Audit(signer=signer, sink=FileSink(sink), every=3, within=timedelta(minutes=1))
    crm = make_crm(runtime=Runtime.seeded(1, clock=clock), audit=audit)
    numbers = []
    for names, seconds in (("a", 1), ("b", 1), ("cd", 1), ("e", 1), ("", 59), ("", 0)):
        accounts(crm, *names)
        crm.audit.seal()
        clock.advance(timedelta(seconds=seconds))
        numbers.append([json.loads(line)["number"] for line in sink.read_text().splitlines()])
    assert numbers == [[1], [1], [1, 4], [1, 4], [1, 4], [1, 4, 5]]
    accounts(crm, "f")
    again = CRM(crm.url, runtime=Runtime.seeded(2, clock=clock), audit=audit)
    again.audit.seal()
    assert len(sink.read_text().splitlines()) == 3
    again.audit.checkpoint()
    again.audit.checkpoint()
    assert len(sink.read_text().splitlines()) == 4
    assert crm.audit.verify(against=sink).signed == {"main": 6}
    again.close()


def test_a_sink_that_is_away_gets_its_checkpoint_later_and_keeps_nothing_from_being_sealed(
    make_crm: MakeCRM, signer: FileSigner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = tmp_path / "away" / "sink.jsonl"
    crm = make_crm(audit=Audit(signer=signer, sink=FileSink(sink)))
    accounts(crm, "a")
    assert crm.audit.seal() == 1
    assert "was not signed and sent" in caplog.text
    assert crm.audit.verify().signed == {"main": 0}
    sink.parent.mkdir()
    assert crm.audit.seal() == 0
    assert crm.audit.verify(against=sink).signed == {"main": 1}


def test_a_new_key_signs_on_where_the_old_one_is_trusted(make_crm: MakeCRM, signer: FileSigner, tmp_path: Path) -> None:
    crm = make_crm(audit=Audit(signer=signer))
    accounts(crm, "a")
    crm.audit.seal()
    new = FileSigner.create(tmp_path / "new.key")
    later = CRM(crm.url, audit=Audit(signer=new, trusted=(signer.public,)))
    accounts(later, "b")
    later.audit.checkpoint()
    assert later.audit.verify().ok
    assert later.audit.verify().signed == {"main": 2}
    alone = CRM(crm.url, audit=Audit(signer=new))
    assert [f.fault for f in alone.audit.verify().findings] == ["forged"]
    later.close()
    alone.close()


def test_a_personal_part_may_go_only_with_an_erasure_that_is_journalled_later(make_crm: MakeCRM) -> None:
    crm = make_crm()
    ada, bob = contact(crm), contact(crm)
    with crm.session(ADMIN) as s:
        s.note(ERASED, {"subject": "too early"}, entity="contact", record=bob.id)
        s.update(Contact, bob.id, {"last_name": "Again"})
    crm.audit.seal()
    erase(crm, ada.id)
    (finding,) = crm.audit.verify().findings
    assert (finding.fault, finding.number) == ("personal_gone", 1)
    with crm.session(ADMIN) as s:
        s.note(ERASED, {"subject": "request 7"}, entity="contact", record=ada.id)
    assert not crm.audit.verify().ok  # the entry itself is not sealed yet
    crm.audit.seal()
    assert crm.audit.verify().ok
    erase(crm, bob.id)
    (finding,) = crm.audit.verify().findings
    assert (finding.fault, finding.number) == ("personal_gone", 4)


def test_a_row_that_was_erased_before_it_was_sealed_fits(make_crm: MakeCRM) -> None:
    crm = make_crm()
    erase(crm, contact(crm).id)
    crm.audit.seal()
    assert crm.audit.verify().ok


def test_a_key_that_others_can_read_is_refused_and_none_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    made = FileSigner.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert FileSigner(path).public == made.public
    with pytest.raises(Invalid) as refused:
        FileSigner.create(path)
    assert refused.value.code == "audit_key_unreadable"
    path.chmod(0o644)
    with pytest.raises(Invalid) as open_:
        FileSigner(path)
    assert open_.value.code == "audit_key_open"
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(Invalid, match=r"audit\.key"):
        FileSigner(path)


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"tenant": 1, "number": "x", "head": "h", "at": "2026-01-01T00:00:00+00:00"}', "{"])
def test_a_line_of_a_sink_that_is_no_checkpoint_is_a_finding(make_crm: MakeCRM, tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # json's own, or ours
        Checkpoint.from_line(line)
    path = tmp_path / "sink.jsonl"
    path.write_text(line + "\n")
    found = make_crm().audit.verify(against=path).findings
    assert [f.place for f in found] == (["sink:1"] if line else [])


def test_passes_at_once_give_each_row_one_seal(make_crm: MakeCRM) -> None:
    crm = make_crm()
    accounts(crm, *map(str, range(50)))
    at_once(lambda _: crm.audit.seal(), range(4))
    assert crm.audit.verify().sealed == {"main": 50}
    with crm.bound.begin(write=False) as connection:
        assert frontier(connection, crm.tables) == 50
        assert len(connection.execute(select(crm.tables.system.seal.c.position)).all()) == 50
