"""Law 5: a denied or failed call leaves the database as it was, in our own transaction and in a host's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from crm_core import CRM, Account, Actor, CRMError, Email, Invalid, LoadError, Money, Plugin, Ref, Refused, Unavailable
from crm_core.testing.state import state_hash
from tests.laws.shop import READER, REP, Deal, Shop, plugin

SYSTEM = Actor.system("test", tenant="main")
GHOST = "00000000-0000-7000-8000-000000000000"


def _cyclic() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = found
    return found


@pytest.fixture
def crm(make_crm: Any) -> Any:
    return make_crm(plugins=[plugin], roles=[REP, READER])


@pytest.fixture
def deal(crm: Any) -> Deal:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme", owner="1"))
        made: Deal = s.create(Deal(name="d", account=account.ref, amount=Money(5, "EUR"), owner="1", code="c:1"))
        s.create(Deal(name="other", account=account.ref, amount=Money(5, "EUR"), owner="2", code="c:2"))
        return made


WRONG_VALUES: dict[str, tuple[str, Callable[[], Any], str]] = {
    "a wrong type": ("name", lambda: 5, "wrong_type"),
    "an unknown field": ("nonsense", lambda: 5, "unknown_field"),
    "a system field": ("version", lambda: 99, "read_only_field"),
    "another tenant": ("tenant", lambda: "other", "read_only_field"),
    "a currency that does not exist": ("amount", lambda: {"amount": "1", "currency": "XYZ"}, "bad_currency"),
    "an amount beyond all bounds": ("amount", lambda: {"amount": "1e1000000", "currency": "EUR"}, "too_big"),
    "an amount that is no number": ("amount", lambda: {"amount": "NaN", "currency": "EUR"}, "not_finite"),
    "a float as an amount": ("amount", lambda: {"amount": 0.1, "currency": "EUR"}, "wrong_type"),
    "an amount finer than is kept": ("amount", lambda: Money("0.0000001", "EUR"), "too_precise"),
    "a number beyond 64 bits": ("salary", lambda: 2**63, "too_big"),
    "a bool for a number": ("salary", lambda: True, "wrong_type"),
    "a text of 50 MB": ("name", lambda: "x" * 50_000_000, "too_long"),
    "a NUL character": ("name", lambda: "a\x00b", "control_character"),
    "half a surrogate pair": ("name", lambda: "a\ud800", "control_character"),
    "nothing where something is needed": ("stage", lambda: None, "required"),
    "a cyclic structure": ("details", _cyclic, "cyclic"),
    "NaN inside JSON": ("details", lambda: {"a": float("nan")}, "bad_json"),
    "an object that is not JSON": ("details", lambda: {"a": object()}, "bad_json"),
    "a reference to nothing": ("account", lambda: GHOST, "bad_ref"),
    "a reference that is no id": ("account", lambda: "'; DROP TABLE crm_account; --", "bad_ref"),
    "a reference to another entity": ("account", lambda: Ref(Deal, GHOST), "wrong_type"),
    "a value that is taken": ("code", lambda: "c:2", "not_unique"),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
@pytest.mark.parametrize("door", ["own", "joined"])
def test_a_wrong_value_is_a_typed_error_that_names_the_field_and_changes_nothing(crm: Any, deal: Deal, case: str, door: str) -> None:
    name, value, code = WRONG_VALUES[case]
    before = state_hash(crm)
    with ExitStack() as stack:
        host = stack.enter_context(crm.bound.begin()) if door == "joined" else None
        s = stack.enter_context(crm.session(SYSTEM, on=host))
        with pytest.raises(CRMError) as raised:
            s.update(Deal, deal.id, {name: value()})
        detail = raised.value.details[0]
        assert (detail.entity, detail.field, detail.code) == ("shop.deal", name, code)
        assert raised.value.status in (409, 422)
        assert len(str(raised.value)) < 1000
        assert s.get(Deal, deal.id) == deal
    assert state_hash(crm) == before


def test_a_naive_datetime_is_refused_in_values_and_in_filters(crm: Any, deal: Deal) -> None:
    from crm_core import Interaction

    with crm.session(SYSTEM) as s:
        with pytest.raises(Invalid) as raised:
            s.create(Interaction(at=datetime(2026, 1, 1), subject="x"))  # noqa: DTZ001  # naive on purpose
        assert raised.value.details[0].code == "naive_datetime"
        with pytest.raises(Invalid):
            s.query(Deal).where(Deal.created_at > datetime(2026, 1, 1)).all()  # noqa: DTZ001  # naive on purpose


def test_an_account_cannot_be_above_itself(crm: Any) -> None:
    with crm.session(SYSTEM) as s:
        top = s.create(Account(name="top"))
        middle = s.create(Account(name="middle", parent=top.ref))
        bottom = s.create(Account(name="bottom", parent=middle.ref))
        for parent in (top, middle, bottom):
            with pytest.raises(Invalid) as raised:
                s.update(Account, top.id, {"parent": parent.ref})
            assert raised.value.details[0].code == "cyclic_reference"


DENIED: dict[str, Callable[[Any, Deal], Any]] = {
    "create for someone else": lambda s, d: s.create(Deal(name="x", account=d.account, amount=Money(1, "EUR"), owner="1")),
    "create many": lambda s, d: s.create_many([Account(name="mine"), Account(name="x", owner="1")]),
    "update": lambda s, d: s.update(Deal, d.id, {"name": "x"}),
    "steal": lambda s, d: s.update(Deal, d.id, {"owner": s.actor.id}),
    "save": lambda s, d: s.save(d),
    "upsert onto a hidden record": lambda s, d: s.upsert(Deal(name="x", account=d.account, amount=Money(1, "EUR"), code="c:1"), on="code"),
    "delete": lambda s, d: s.delete(d),
    "restore": lambda s, d: s.restore(Deal, d.id),
    "a service's work": lambda s, d: s.use(Shop).close(d),
    "share": lambda s, d: s.share(d, "user:2"),
    "a foreign event": lambda s, d: s.emit(__import__("tests.laws.shop", fromlist=["x"]).DealClosed(record=d.ref, amount=Money(1, "EUR"))),
    "an unknown action": lambda s, d: s.perform(object()),
    "elevation without a plugin": lambda s, d: s.elevated("because").__enter__(),
    "a raw statement": lambda s, d: s.execute(text("DELETE FROM crm_account")),
}


@pytest.mark.parametrize("case", DENIED)
@pytest.mark.parametrize("role", ["rep", "reader", "nobody"])
def test_a_denied_call_changes_nothing(crm: Any, deal: Deal, case: str, role: str) -> None:
    before = state_hash(crm)
    with crm.session(Actor("2", roles={role})) as s:
        with pytest.raises(CRMError) as raised:
            DENIED[case](s, deal)
        assert raised.value.status in (403, 404, 409, 422)
    assert state_hash(crm) == before


def test_a_hidden_records_unique_value_gives_the_error_that_any_taken_value_gives(crm: Any, deal: Deal) -> None:
    with crm.session(Actor("2", roles={"rep"})) as s:
        account = s.create(Account(name="mine"))
        errors = []
        for code in ("c:1", "c:2"):
            with pytest.raises(CRMError) as raised:
                s.create(Deal(name="x", account=account.ref, amount=Money(1, "EUR"), code=code))
            errors.append(raised.value.problem())
        assert errors[0] == errors[1]
        assert deal.id not in str(errors[0])


def test_two_primaries_in_one_list_are_refused_by_the_database_too(crm: Any) -> None:
    """[C01] The database itself enforces one primary."""
    from sqlalchemy.exc import IntegrityError

    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="A", emails=[Email("a@example.com")]))
    table = crm.tables.lists[Account, "emails"]
    row = {"tenant": "main", "record": account.id, "position": 1, "value": "b@example.com", "is_primary": True}
    engine = crm.bound.engine
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(table.insert().values(**row))


def test_a_crm_that_does_not_fit_together_does_not_start() -> None:
    def deal_hook() -> Plugin:
        wrong = Plugin("wrong", version="1")
        from crm_core import VetoHook, WriteCtx

        chekc_write: VetoHook[WriteCtx, list[Any]] = VetoHook("chekc_write", by_entity=True)
        wrong.hook(chekc_write)(lambda ctx, changes: None)
        return wrong

    cases: list[tuple[list[Plugin], str]] = [
        ([Plugin("one", version="1"), Plugin("one", version="2")], "one"),
        ([deal_hook()], "check_write"),
        ([Plugin("needy", version="1", requires={"sales": ">=1"})], "sales"),
        ([Plugin("needy", version="1", requires={"core": ">=99"})], "99"),
    ]
    for plugins, word in cases:
        with pytest.raises(LoadError) as raised:
            CRM("sqlite://", plugins=plugins)
        assert word in str(raised.value)


def test_a_database_without_our_tables_says_so(database: Any) -> None:
    crm = CRM(database.url)
    from crm_core import SchemaBehind

    with pytest.raises(SchemaBehind):
        crm.migrations.check()
    with pytest.raises((SchemaBehind, Unavailable)), crm.session(SYSTEM) as s:
        s.create(Account(name="x"))
    crm.close()


def test_a_hosts_connection_in_autocommit_is_refused(crm: Any) -> None:
    with crm.bound.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as host:
        before = state_hash(crm)
        with pytest.raises(Refused), crm.session(SYSTEM, on=host) as s:
            s.create(Account(name="x"))
    assert state_hash(crm) == before
