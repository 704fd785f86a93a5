"""An erased person stays erased: after a restore, and for whoever sends [C72]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Actor, Contact, Email, FileKeys, Invalid, Phone
from crm_core.backup import backup, restore
from crm_core.privacy import (
    allow,
    certificates,
    erase,
    read_certificates,
    reapply,
    restrict,
    suppress,
    unrestrict,
    write_certificate,
)
from crm_marketing import plugin as marketing
from crm_marketing.api import Marketing


def test_a_restore_erases_again_whom_the_database_or_the_certificates_know(make_crm: Any, officer: Actor, tmp_path: Path) -> None:
    """[R13]"""
    crm, empty = make_crm(), make_crm()
    with crm.session(officer) as s:
        ada, bob = s.create_many([Contact(name="Ada", emails=[Email("ada@example.com")]), Contact(name="Bob")]).ok
    backup(crm, tmp_path / "before.crm", plain=True)
    with crm.session(officer) as s:
        done = erase(s, ada, reason="asked")
    write_certificate(tmp_path / "erased.jsonl", done)

    restore(crm, tmp_path / "before.crm", force=True)
    restore(empty, tmp_path / "before.crm", erasures=read_certificates(tmp_path / "erased.jsonl"))
    for each in (crm, empty):
        with each.session(officer) as s:
            assert [c.name for c in s.query(Contact).all()] == ["Bob"]
            assert [c.id for c in certificates(s)] == [done.id]
            assert reapply(s, [done]) == 0  # it is known
            back = s.create(Contact(name="Ada", emails=[Email("ada@example.com")]))
            assert s.blocked(Contact, [back.id, bob.id]) == {back.id}
        each.run_pending()
        assert each.audit.verify().ok


def test_a_changed_certificate_is_refused(crm: Any, officer: Actor, tmp_path: Path) -> None:
    with crm.session(officer) as s:
        done = erase(s, s.create(Contact(name="Ada")), reason="asked")
    path = tmp_path / "erased.jsonl"
    write_certificate(path, done)
    assert list(read_certificates(path)) == [done]
    for changed in (path.read_text().replace("contact:", "account:"), "[]\n", "nothing\n"):
        path.write_text(changed)
        with pytest.raises(Invalid):
            list(read_certificates(path))


@pytest.mark.parametrize("keyed", [False, True])
def test_marketing_writes_to_nobody_who_objected_is_restricted_or_was_erased(
    make_crm: Any, officer: Actor, tmp_path: Path, keyed: bool
) -> None:
    """[G17]"""
    crm: CRM = make_crm(plugins=[marketing], keys=FileKeys.create(tmp_path / "crm.keys") if keyed else None)

    def ask(*asked: Contact) -> list[str]:
        with crm.session(officer, write=False) as s:
            answers = s.use(Marketing).may_send(list(asked), "news")
            return [a.reason.rpartition(".")[2] for a in answers]

    with crm.session(officer) as s:
        ada = s.create(Contact(name="Ada", emails=[Email("ada@example.com")]))
        bob = s.create(Contact(name="Bob", phones=[Phone("+49 30 123456")]))
        eve = s.create(Contact(name="Eve", emails=[Email("eve@example.com")]))
        for each in (ada, bob, eve):
            s.use(Marketing).give_consent(each, "news", text="Yes.", evidence={"form": "signup"}, source="website")
    assert ask(ada, bob, eve) == ["allowed"] * 3
    with crm.session(officer) as s:
        assert suppress(s, ["ADA@example.com", "ada@example.com"]) == 1
        assert suppress(s, ["ada@example.com"]) == 0
        assert suppress(s, ["+4930123456"]) == 1
        assert restrict(s, eve, "contests it") == 1
        assert restrict(s, eve, "contests it") == 0
    assert ask(ada, bob, eve) == ["blocked"] * 3
    with crm.session(officer) as s:
        assert unrestrict(s, eve) == 1
        assert allow(s, ["ada@example.com", "nobody@example.com"]) == 1
    assert ask(ada, bob, eve) == ["allowed", "blocked", "allowed"]
    with crm.session(officer) as s:
        erase(s, ada, reason="asked")
        again = s.create(Contact(name="Ada", emails=[Email("ada@example.com")]))
        s.use(Marketing).give_consent(again, "news", text="Yes.", evidence={"form": "list"}, source="bought")
    assert ask(again) == ["blocked"]
    table = crm.tables.system.suppression
    with crm.bound.begin(write=False) as connection:
        assert connection.execute(select(func.count()).select_from(table).where(table.c.salt == "")).scalar() == (2 if keyed else 0)
        assert "example.com" not in repr(connection.execute(select(table)).all())


def test_a_crm_that_gets_keys_later_knows_whom_it_suppressed_before(make_crm: Any, officer: Actor, tmp_path: Path) -> None:
    plain = make_crm()
    with plain.session(officer) as s:
        suppress(s, ["ada@example.com"])
    keyed = CRM(plain.url, keys=FileKeys.create(tmp_path / "crm.keys"))
    with keyed.session(officer) as s:
        assert suppress(s, ["ada@example.com", "bob@example.com"]) == 1
        ada = s.create(Contact(name="Ada", emails=[Email("ada@example.com")]))
        bob = s.create(Contact(name="Bob", emails=[Email("bob@example.com")]))
        assert s.blocked(Contact, [ada.id, bob.id]) == {ada.id, bob.id}
    keyed.close()
