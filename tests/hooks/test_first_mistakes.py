"""What a newcomer does wrong at first is said where it is, with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from crm_core import (
    CRM,
    Account,
    Actor,
    Created,
    Denied,
    Entity,
    Event,
    Field,
    LoadError,
    Money,
    MoneyField,
    Plugin,
    Role,
    Session,
    check_write,
    field,
)
from crm_core.entities.meta import spec

SETUP = Actor.system("setup", tenant="main")


def new() -> Plugin:
    return Plugin("acme.new", version="1.0")


def entity(hint: Any, **options: Any) -> list[str]:
    """Open a CRM with an entity of one field; return the names of the entities that the plugin brought."""
    plugin = new()
    plugin.entities(type("Thing", (Entity,), {"__annotations__": {"value": hint}, "value": field(**options)}))
    crm = CRM("sqlite://", plugins=[plugin])
    crm.close()
    return [spec(each).name for each in crm.registry.entities if crm.registry.owner(each) == plugin.name]


def nameless() -> None:
    class Done(Event[Account], version=1):
        note: str

    new().on(Done)


def by_name() -> None:
    plugin = new()
    hook: Any = plugin.hook
    hook("check_write", on=Account)(lambda ctx, changes: None)
    CRM("sqlite://", plugins=[plugin])


def granting(grant: str) -> None:
    plugin = new()
    plugin.grants(grant)
    CRM("sqlite://", plugins=[plugin]).close()


def with_level() -> None:
    CRM("sqlite://", roles=[Role("clerk").allow(Account, "read", fields={"namee": "none"})])


MISTAKES: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: entity(Field[float]), "bad_annotation", "Thing.value: Field[float] is not a type a field can have. Write Field[Decimal]."),
    (lambda: entity(Field[Money]), "bad_annotation", "Write MoneyField."),
    (lambda: entity(str), "bad_annotation", "str is not a type a field can have. Write Field[str]."),
    (lambda: entity(MoneyField, min=Money(1, "EUR")), "field_bounds", "int or Decimal, for every currency, not Money"),
    (
        lambda: entity(Field[int], min="1"),
        "field_bounds",
        "of a field of the kind int are of the type int, not str",
    ),
    (lambda: entity(Field[int], max=Decimal(1)), "field_bounds", "not Decimal"),
    (lambda: entity(Field[int], max=True), "field_bounds", "not bool"),
    (lambda: entity(Field[str], min=1), "field_bounds", "are of the type none, not int"),
    (lambda: entity(Field[date], min=datetime(2026, 1, 1, tzinfo=UTC)), "field_bounds", "of the type date, not datetime"),
    (lambda: new().on("account.created"), "not_an_event", "or take Created[Account]"),  # type: ignore[call-overload]
    (lambda: new().on(Account), "not_an_event", "Account is not an event class with a name"),
    (nameless, "not_an_event", "Done is not an event class with a name. Write class X(Event[Account], name=..., version=1)"),
    (by_name, "not_a_hook", "implements 'check_write', which is no hook. Import the hook itself, as in: from crm_core import check_write"),
    (lambda: granting("account:write"), "grant_unknown", "has no write. On records there are read, create, update, delete"),
    (lambda: Role("clerk").allow(Account, "write"), "role_action", "On records there are read, create, update, delete"),
    (with_level, "role_field", "Did you mean name?"),
]


@pytest.mark.parametrize(("mistake", "code", "said"), MISTAKES, ids=[f"{code}-{n}" for n, (_, code, _) in enumerate(MISTAKES)])
def test_a_first_mistake_is_said_with_what_to_write(mistake: Callable[[], Any], code: str, said: str) -> None:
    with pytest.raises(LoadError) as error:
        mistake()
    assert error.value.code == code
    assert said in str(error.value)


def test_bounds_that_fit_are_taken() -> None:
    assert entity(MoneyField, min=0, max=Decimal("9.5")) == ["acme.new.thing"]
    assert entity(Field[Decimal], min=0) == ["acme.new.thing"]
    assert entity(Field[date | None], min=date(2026, 1, 1)) == ["acme.new.thing"]
    assert entity(Field[datetime], max=datetime(2026, 1, 1, tzinfo=UTC)) == ["acme.new.thing"]


def test_an_event_that_was_not_declared_is_not_called_somebody_elses(make_crm: Callable[..., CRM]) -> None:
    plugin = new()

    class Greeted(Event[Account], name="acme.new.greeted", version=1):
        """Somebody was greeted."""

    @plugin.service
    class Greeting:
        def __init__(self, session: Session) -> None:
            self.session = session

        def greet(self, account: Account) -> None:
            self.session.emit(Greeted(record=account.ref))

    crm = make_crm(plugins=[plugin])
    with pytest.raises(Denied, match=r"acme.new emits Greeted, .* Declare it: plugin.events\(Greeted\)") as error, crm.session(SETUP) as s:
        s.use(Greeting).greet(s.create(Account(name="Acme")))
    assert error.value.code == "event_undeclared"


def test_right_ones_are_not_mistaken() -> None:
    plugin = new()
    plugin.on(Created[Account])(lambda s, e: None)
    plugin.hook(check_write, on=Account)(lambda ctx, changes: None)
    crm = CRM("sqlite://", plugins=[plugin])
    assert crm.registry.plugin("acme.new") is plugin
    assert [each.plugin for each in crm.registry.subscriptions] == ["acme.new"]
    crm.close()
