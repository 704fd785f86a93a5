"""A session's verbs, on both databases."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import (
    Account,
    Actor,
    Conflict,
    Contact,
    Denied,
    Email,
    Entity,
    Field,
    Invalid,
    Money,
    MoneyField,
    NotFound,
    NotReadable,
    OptionalMoneyField,
    Plugin,
    ReadOnly,
    Ref,
    Role,
    field,
    owner,
)

plugin = Plugin("shop", version="1.0.0")


class Deal(Entity):
    name: Field[str]
    account: Field[Ref[Account]]
    amount: MoneyField
    discount: OptionalMoneyField = field(default=None)
    stage: Field[str] = field(default="new", length=20)
    weight: Field[Decimal | None] = field(default=None)
    points: Field[int] = field(default=0)
    owner: Field[str | None] = field(default=None)
    code: Field[str | None] = field(default=None, unique=True)


plugin.entities(Deal)

SYSTEM = Actor.system("test", tenant="main")
REP = Role("rep").allow(Account, "read", "create").allow(Deal, "read", "create", "update", "delete", where=owner)
BLIND = Role("blind").allow(Deal, "read", "update", fields={"amount": "none", "name": "masked"})


@pytest.fixture
def crm(make_crm: Any) -> Any:
    return make_crm(plugins=[plugin], roles=[REP, BLIND])


def made(s: Any, **values: Any) -> Deal:
    account = s.create(Account(name="Acme"))
    return s.create(Deal(**{"name": "100 seats", "account": account.ref, "amount": Money("12.50", "EUR"), **values}))  # type: ignore[no-any-return]  # an Any session


def test_what_was_created_is_read_back_the_same(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        deal = made(s, weight=Decimal("0.123456"), discount=Money("1", "EUR"))
        assert s.get(Deal, deal.id) == deal
    with crm.session(SYSTEM, write=False) as s:
        assert s.get(Deal, deal.id) == deal
        assert s.query(Deal).where(Deal.amount == Money("12.50", "EUR")).one() == deal


def test_a_failed_session_leaves_nothing(crm: Any) -> None:
    with pytest.raises(ZeroDivisionError), crm.session(SYSTEM) as s:
        made(s)
        raise ZeroDivisionError
    with crm.session(SYSTEM) as s:
        assert s.query(Account).count() == 0
        assert s._unit.connection.execute(select(func.count()).select_from(crm.tables.system.journal)).scalar() == 0


def test_a_failed_call_leaves_what_was_before_it_and_the_session_usable(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        made(s, code="a:1")
        with pytest.raises(Conflict) as raised:
            made(s, code="a:1")
        assert raised.value.details[0].field == "code"
        made(s, code="a:2")
    with crm.session(SYSTEM) as s:
        assert sorted(d.code for d in s.query(Deal).all()) == ["a:1", "a:2"]


def test_all_errors_of_a_record_come_at_once(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
        wrong: Any = {"name": "x" * 256, "account": account.ref, "amount": 5, "stage": None}
        with pytest.raises(Invalid) as raised:
            s.create(Deal(**wrong))
        assert [(d.entity, d.field, d.code) for d in raised.value.details] == [
            ("shop.deal", "name", "too_long"),
            ("shop.deal", "amount", "wrong_type"),
            ("shop.deal", "stage", "required"),
        ]
        assert "x" * 20 not in str(raised.value)
        assert s.query(Deal).count() == 0


def test_an_update_keeps_what_is_missing_and_reads_plain_json(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        deal = made(s, weight=Decimal(1))
        new = s.update(Deal, deal.id, {"amount": {"amount": "7", "currency": "USD"}, "weight": None}, version=1)
        assert (new.amount, new.weight, new.stage, new.version) == (Money("7", "USD"), None, "new", 2)


def test_a_stale_version_is_a_conflict_with_yours_theirs_and_base(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        deal = made(s, name="old")
        s.update(Deal, deal.id, {"name": "theirs"})
        with pytest.raises(Conflict) as raised:
            s.update(Deal, deal.id, {"name": "yours"}, version=1)
        p = raised.value.params
        assert (p["yours"], p["theirs"], p["base"]) == ({"name": "yours"}, {"name": "theirs"}, {"name": "old"})
        deal.stage = "won"
        with pytest.raises(Conflict) as raised:
            s.save(deal)
        assert raised.value.params["yours"] == {"stage": "won"}


def test_save_writes_only_what_was_changed(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        deal = made(s)
        deal.stage = "won"
        assert s.save(deal).version == 2
        assert s.save(deal).version == 2
        assert s.get(Deal, deal.id).stage == "won"


def test_upsert_creates_then_changes_one_record(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        first = s.upsert(Account(name="Acme", external_ref="erp:7", industry="steel"), on="external_ref")
        second = s.upsert(Account(name="Acme GmbH", external_ref="erp:7"), on="external_ref")
        assert (first.id, second.name, second.industry) == (second.id, "Acme GmbH", "steel")
        with pytest.raises(Invalid):
            s.upsert(Account(name="x"), on="name")


def test_delete_protects_what_is_pointed_at_and_restore_brings_back(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        deal = made(s)
        with pytest.raises(Conflict) as raised:
            s.delete(deal.account)
        assert raised.value.code == "protected"
        s.delete(deal)
        assert s.find(Deal, deal.id) is None
        s.delete(deal.account)
        assert s.restore(Account, deal.account.id).name == "Acme"
        assert s.restore(Deal, deal.id).stage == "new"


def test_deleting_an_account_frees_its_contacts(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
        person = s.create(Contact(name="Ann", account=account.ref))
        s.delete(account)
        assert s.get(Contact, person.id).account is None


def test_create_many_collects_what_is_wrong_and_keeps_the_rest(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        refs = [None, "a:1", "a:2", "a:1", "a:3"]
        names = ["one", "two", "", "four", "five"]
        result = s.create_many([Account(name=n, external_ref=r) for n, r in zip(names, refs, strict=True)], on_error="collect")
        assert [r.name for r in result.ok] == ["one", "two", "five"]
        assert [(i, e.code) for i, e in result.failed] == [(2, "invalid"), (3, "not_unique")]
        with pytest.raises(Invalid) as raised:
            s.create_many([Account(name="six"), Account(name=""), Account(name="")])
        assert [d.row for d in raised.value.details] == [1, 2]
        assert s.query(Account).count() == 3


def test_an_actor_sees_and_changes_only_what_rules_allow(crm: Any) -> None:
    me, you = Actor("1", roles={"rep"}), Actor("2", roles={"rep"})
    with crm.session(me) as s:
        deal = made(s)
        assert deal.owner == "1"
    with crm.session(you) as s:
        assert s.query(Deal).count() == 0
        calls: list[Any] = [lambda: s.get(Deal, deal.id), lambda: s.update(Deal, deal.id, {"name": "x"}), lambda: s.delete(deal)]
        for call in calls:
            with pytest.raises(NotFound):
                call()
        with pytest.raises(Denied):
            made(s, owner="1")
        with pytest.raises(Denied):
            s.delete(s.create(Account(name="mine")))
    with crm.session(me) as s, pytest.raises(Denied):
        s.update(Deal, deal.id, {"owner": "2"})


def test_a_hidden_field_is_an_unset_slot_and_an_unknown_name(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        deal = made(s)
    with crm.session(Actor("3", roles={"blind"})) as s:
        seen = s.get(Deal, deal.id)
        assert seen.name == "***"
        with pytest.raises(NotReadable):
            _ = seen.amount
        assert "amount" not in repr(seen)
        assert "amount" not in crm.to_json(seen)
        for name in ("amount", "nonsense"):
            with pytest.raises(Invalid) as raised:
                s.update(Deal, deal.id, {name: "x"})
            assert raised.value.details[0].code == "unknown_field"
        with pytest.raises(NotReadable):
            s.execute(select(Deal.amount.sum()).group_by(Deal.amount.currency))
        seen.stage = "won"
        assert s.save(seen).stage == "won"


def test_a_reading_session_refuses_writes(crm: Any) -> None:
    with crm.session(SYSTEM, write=False) as s, pytest.raises(ReadOnly):
        s.create(Account(name="x"))


def test_tenants_do_not_see_each_other(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme", external_ref="a:1"))
    with crm.session(Actor.system("test", tenant="other")) as s:
        assert s.find(Account, account.id) is None
        assert s.create(Account(name="Other", external_ref="a:1")).tenant == "other"
        with pytest.raises(Invalid) as raised:
            s.create(Deal(name="x", account=account.ref, amount=Money("1", "EUR")))
        assert raised.value.details[0].code == "bad_ref"


def test_a_key_is_done_once_and_answers_again(crm: Any) -> None:
    def work() -> str:
        with crm.session(SYSTEM, idempotency_key="order:1") as s:
            account = s.upsert(Account(name="Acme", external_ref="a:9"), on="external_ref")
            return str(s.create(Deal(name="once", account=account.ref, amount=Money("1", "EUR"))).id)

    assert work() == work()
    with crm.session(SYSTEM) as s:
        assert s.query(Deal).count() == 1
    with pytest.raises(Conflict), crm.session(SYSTEM, idempotency_key="order:1") as s:
        s.create(Account(name="something else"))
    outcome = crm.outcome("order:1")
    assert [c["call"] for c in outcome["calls"]] == ["upsert", "create"]
    assert crm.outcome("never") is None


def test_pages_go_on_where_they_stopped(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
        weights = [None, Decimal(3), Decimal(1), Decimal(2), None, Decimal(2)]
        s.create_many([Deal(name=str(i), account=account.ref, amount=Money(i, "EUR"), weight=w) for i, w in enumerate(weights)])
        for order in (Deal.weight, Deal.weight.desc(), Deal.name.desc()):
            query = s.query(Deal).order_by(order)
            whole = [d.id for d in query.all()]
            seen, after = [], None
            while True:
                page = query.page(2, after=after)
                seen += [d.id for d in page]
                after = page.next
                if not page.has_more:
                    break
            assert seen == whole
        assert [d.id for d in s.query(Deal).stream(2)] == [d.id for d in s.query(Deal).all()]
        with pytest.raises(Invalid):
            s.query(Deal).page(2, after="nonsense")


def test_a_query_string_filters_what_is_allowed(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
        s.create_many([Deal(name=f"d{i}", account=account.ref, amount=Money(i, "EUR"), stage="won" if i % 2 else "new") for i in range(6)])
        allow = ["stage", "amount", "account", "name"]

        def names(**params: str) -> list[str]:
            return [d.name for d in s.query(Deal).matching(params, allow=allow).all()]

        assert names(stage="won", sort="-name", after="x") == ["d5", "d3", "d1"]
        assert names(amount__gte="EUR:4", sort="name") == ["d4", "d5"]
        assert names(stage__in="won,lost", name__startswith="d1") == ["d1"]
        assert len(names(account=account.id)) == 6
        for bad in ({"owner": "x"}, {"stage__like": "x"}, {"amount": "EUR:abc"}, {"sort": "owner"}, {"amount__gt": "12"}):
            with pytest.raises(Invalid):
                names(**bad)


def test_lists_are_found_by_normal_form_and_have_one_primary(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        a = s.create(Account(name="A", emails=[Email("Info@Example.COM"), Email("sales@example.com")]))
        assert [e.primary for e in a.emails] == [True, False]
        assert s.query(Account).where(Account.emails.has("info@example.com")).one() == a
        with pytest.raises(Invalid):
            s.update(Account, a.id, {"emails": [{"address": "a@b.de", "primary": True}, {"address": "c@b.de", "primary": True}]})
        s.update(Account, a.id, {"emails": [{"address": "new@example.com"}]})
        assert s.query(Account).where(Account.emails.has("info@example.com")).count() == 0


def test_related_records_are_preloaded_or_refused(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        deal = made(s)
        assert s.related(s.query(Deal).preload(Deal.account).one(), Deal.account).name == "Acme"
        with pytest.raises(Invalid):
            s.related(s.get(Deal, deal.id), Deal.account)
        expanded = crm.to_json(s.query(Deal).preload(Deal.account).page(), expand=["account"])
        assert expanded[0]["account"]["name"] == "Acme"


def test_a_share_opens_one_record_to_one_person(crm: Any) -> None:
    with crm.session(Actor("1", roles={"rep"})) as s:
        mine, other = made(s), made(s)
        s.share(mine, "user:2", "read")
        with pytest.raises(Denied):
            s.share(mine, "user:2", "assign")
    with crm.session(Actor("2", roles={"rep"})) as s:
        assert [d.id for d in s.query(Deal).all()] == [mine.id]
        with pytest.raises(Denied):
            s.update(Deal, mine.id, {"name": "x"})
        assert s.find(Deal, other.id) is None


def test_sums_of_whole_numbers_are_whole_numbers_on_both_databases(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        made(s, points=2)
        made(s, points=3)
        (total,) = s.execute(select(func.sum(Deal.points)).where(Deal.points * 2 > 3)).one()
        assert (total, type(total)) == (5, int)


def test_a_missing_rate_is_an_error_of_the_call_that_needs_it(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        made(s)
        with pytest.raises(Invalid) as raised:
            s.execute(select(Deal.amount.to("USD", at="today")))
        assert (raised.value.code, raised.value.params["base"], raised.value.params["quote"]) == ("missing_rate", "EUR", "USD")


def test_a_hosts_narrow_decimal_context_changes_no_amount(crm: Any) -> None:
    import decimal

    with decimal.localcontext(decimal.Context(prec=3)), crm.session(SYSTEM) as s:
        deal = made(s, amount=Money("12345678.12", "EUR"), weight=Decimal("1234567.891234"))
        assert s.get(Deal, deal.id).amount == Money("12345678.12", "EUR")
        assert s.query(Deal).one().weight == Decimal("1234567.891234")
