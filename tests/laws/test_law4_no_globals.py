"""Law 4: a CRM owns all it needs; two with different plugins live in one process, and in one database under two prefixes."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import (
    CRM,
    Account,
    Actor,
    Change,
    Entity,
    Extension,
    Field,
    LoadError,
    Money,
    NotReadable,
    OptionalMoneyField,
    Plugin,
    Ref,
    Updated,
    WriteCtx,
    before_write,
    field,
)
from crm_core.rules import F, criterion, related

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


def two_versions() -> tuple[tuple[Plugin, Any], tuple[Plugin, Any]]:
    """One plugin as two CRMs of a process have it: the second version keeps its score as an exact number, and knows a limit."""
    old, new = Plugin("acme", version="1.0"), Plugin("acme", version="2.0")

    @old.extend(Account)
    class Score(Extension):
        score: Field[str] = field(default="low")

    @new.extend(Account)
    class Rating(Extension):
        score: Field[Decimal] = field(default=Decimal("0.5"))
        parent: Field[Ref[Account] | None] = field(default=None)
        limit: OptionalMoneyField = field(default=None)

    return (old, Score), (new, Rating)


def test_two_versions_of_a_plugin_extend_one_entity_side_by_side(make_crm: Any) -> None:
    (old, score), (new, rating) = two_versions()
    before, after, neither = make_crm(plugins=[old]), make_crm(plugins=[new]), make_crm()
    with before.session(SYSTEM) as s, after.session(SYSTEM) as t, neither.session(SYSTEM) as u:
        one, two = s.create(Account(name="acme")), t.create(Account(name="acme"))
        one[score].score, two[rating].score, two[rating].limit = "high", Decimal("1.25"), Money("10", "EUR")
        s.save(one)
        t.save(two)
        child = Account(name="child")
        child[rating].parent = two.ref
        t.create(child)
        assert s.query(Account).where(score.score == "high").one()[score].score == "high"
        assert t.query(Account).where(rating.score > Decimal("1")).one()[rating].limit == Money("10", "EUR")
        assert s.execute(select(Account.name, score.score)).all() == [("acme", "high")]
        assert t.execute(select(func.sum(rating.score))).scalar_one() == Decimal("1.75")
        total = select(rating.limit.sum()).where(rating.limit.currency == "EUR").group_by(rating.limit.currency)
        assert t.execute(total).scalar_one() == Money("10", "EUR")
        assert [r.name for r in s.query(Account).matching({"acme_score": "high"}, allow=["acme_score"]).all()] == ["acme"]
        assert [r.name for r in t.query(Account).matching({"acme_limit__gt": "EUR:1"}, allow=["acme_limit"]).all()] == ["acme"]
        above = criterion(related("acme_parent", F("acme_score") == Decimal("1.25")), Account, t)
        assert [r.name for r in t.query(Account).where(above).all()] == ["child"]
        assert before.describe(Account, SYSTEM)["fields"]["acme_score"]["type"] == "str"
        assert after.describe(Account, SYSTEM)["fields"]["acme_score"]["type"] == "decimal"
        for session, foreign in ((s, rating.score == Decimal(1)), (t, score.score == "high"), (u, score.score == "high")):
            with pytest.raises(NotReadable):
                session.query(Account).where(foreign).all()
        assert len(u.execute(select(Account)).all()) == 0


def test_events_of_two_versions_of_a_plugin_are_read_back_in_each_ones_types(make_crm: Any) -> None:
    (old, score), (new, rating) = two_versions()
    heard: dict[str, Any] = {}
    for plugin in (old, new):

        @plugin.on(Updated[Account])
        def hear(session: Any, event: Updated[Account], version: str = plugin.version) -> None:
            heard[version] = event.changes["acme_score"].new

    for plugin, extension, value in ((old, score, "high"), (new, rating, Decimal("1.25"))):
        plugin.grants("account:read")
        crm = make_crm(plugins=[plugin])
        with crm.session(SYSTEM) as s:
            account = s.create(Account(name="acme"))
            account[extension].score = value
            s.save(account)
        crm.run_pending()
    assert heard == {"1.0": "high", "2.0": Decimal("1.25")}


class Plain(Extension):
    b_score: Field[int] = field(default=0)
    limit: OptionalMoneyField = field(default=None)


class OfTwoPlugins(Extension):
    score: Field[int] = field(default=0)


class OfOnePlugin(Extension):
    b_score: Field[str] = field(default="")


class OfTheEntity(Extension):
    taken: Field[str] = field(default="")


class OfACurrency(Extension):
    limit_currency: Field[str] = field(default="")


@pytest.mark.parametrize(
    ("second", "column", "plugin"),
    [
        (OfTwoPlugins, "a_b_score", "a.b"),
        (OfOnePlugin, "a_b_score", "a"),
        (OfTheEntity, "a_taken", "a"),
        (OfACurrency, "a_limit_currency", "a"),
    ],
)
def test_two_fields_of_one_crm_never_share_a_column(second: Any, column: str, plugin: str) -> None:
    class Host(Entity):
        a_taken: Field[str] = field(default="")

    class First(Plain):
        pass

    class Second(second):  # type: ignore[misc]  # one of the classes above, bound anew for this test
        pass

    plugins = {name: Plugin(name, version="1.0") for name in ("a", "a.b")}
    plugins["a.b"].requires = {"a": ">=1"}
    plugins["a"].entities(Host)
    plugins["a"].extend(Host)(First)
    plugins[plugin].extend(Host)(Second)
    with pytest.raises(LoadError) as e:
        CRM("sqlite://", plugins=[*plugins.values()])
    assert (e.value.code, e.value.params["field"], e.value.params["plugin"]) == ("field_taken", column, plugin)
