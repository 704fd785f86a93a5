"""Law 4: a CRM owns all it needs; two with different plugins live in one process, and in one database under two prefixes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import CRM, Account, Actor, Change, Extension, Field, NotReadable, Plugin, WriteCtx, before_write, field

SYSTEM = Actor.system("test", tenant="main")
loyal = Plugin("loyal", version="1.0")


@loyal.extend(Account)
class Loyalty(Extension):
    tier: Field[str] = field(default="basic")


@loyal.hook(before_write, on=Account)
def shout(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    for change in changes:
        assert isinstance(change.record, Account)
        change.record.name = change.record.name.upper()
    return changes


def test_a_plugins_fields_and_hooks_exist_only_where_it_is_loaded(make_crm: Any) -> None:
    with_it, without = make_crm(plugins=[loyal]), make_crm()
    with with_it.session(SYSTEM) as s, without.session(SYSTEM) as t:
        one, two = s.create(Account(name="acme")), t.create(Account(name="acme"))
        assert (one.name, two.name) == ("ACME", "acme")
        one[Loyalty].tier = "gold"
        s.save(one)
        assert s.query(Account).where(Loyalty.tier == "gold").one()[Loyalty].tier == "gold"
        assert s.execute(select(Account.name, Loyalty.tier)).all() == [("ACME", "gold")]
        with pytest.raises(NotReadable):
            t.query(Account).where(Loyalty.tier == "gold").all()
        assert len(t.execute(select(Account)).all()) == 1
        assert "loyal_tier" in with_it.to_json(one)
        assert "loyal_tier" not in without.to_json(two)
        assert "loyal_tier" in with_it.describe(Account, SYSTEM)["fields"]
        assert "loyal_tier" not in without.describe(Account, SYSTEM)["fields"]


def test_two_crms_share_a_database_under_two_prefixes(database: Any) -> None:
    one, two = CRM(database.url, prefix="a_"), CRM(database.url, prefix="b_", plugins=[loyal])
    one.migrate()
    two.migrate()
    with one.session(SYSTEM) as s:
        s.create(Account(name="acme"))
    with two.session(SYSTEM) as s:
        assert s.query(Account).count() == 0
    one.close()
    two.close()


def test_crms_work_side_by_side_in_threads(make_crm: Any) -> None:
    crms = [make_crm(plugins=[loyal]), make_crm()]
    errors: list[BaseException] = []

    def work(crm: Any, tenant: str) -> None:
        try:
            for i in range(10):
                with crm.session(Actor.system("t", tenant=tenant)) as s:
                    s.create(Account(name=f"a{i}"))
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(crm, f"t{n}")) for crm in crms for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []
    for crm, name in zip(crms, ("A9", "a9"), strict=True):
        for n in range(4):
            with crm.session(Actor.system("t", tenant=f"t{n}")) as s:
                assert s.query(Account).count() == 10
                assert s.query(Account).order_by(Account.id.desc()).first().name == name
