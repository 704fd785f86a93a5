"""A small CRM with something in every corner: every kind of field, circles of references, two tenants, a subscriber that fails."""

from __future__ import annotations

import enum
import json
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import inspect

from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    Created,
    Email,
    Entity,
    Field,
    Link,
    Money,
    Note,
    OptionalMoneyField,
    Phone,
    Plugin,
    Ref,
    Role,
    Session,
    field,
)
from crm_core.events.journal import read
from crm_core.events.sequencer import sequence

AT = datetime(2026, 3, 29, 1, 30, 0, 120, tzinfo=UTC)
HARD = "人名 “quoted” 'single' \\ back %s :name 😀"
# Numbers that JSON, Python and PostgreSQL write in different ways.
NUMBERS = {"b": [1e16, 1e22, 1e-7, 0.1, 1.0, -2.5e-9, 10**18, 123456789.123456789], "a": {"é": None, "": [True, {}]}, "l": "\u2028\x85\n"}

lab = Plugin("lab", version="1.2.3")


class Colour(enum.Enum):
    RED = "red"


class Thing(Entity):
    name: Field[str]
    number: Field[int | None] = field(default=None)
    exact: Field[Decimal | None] = field(default=None, scale=9)
    price: OptionalMoneyField = field(default=None)
    at: Field[datetime | None] = field(default=None)
    on: Field[date | None] = field(default=None)
    done: Field[bool] = field(default=False)
    colour: Field[Colour] = field(default=Colour.RED)
    data: Field[dict[str, Any] | None] = field(default=None)
    parent: Field[Ref[Thing] | None] = field(default=None)
    part: Field[Ref[Part] | None] = field(default=None)


class Part(Entity):
    name: Field[str]
    thing: Field[Ref[Thing] | None] = field(default=None)


lab.entities(Thing, Part)
lab.grants("account:read", "note:create", "note:read")
knows = lab.link(Account, Contact)


@lab.on(Created[Account])
def greet(s: Session, event: Created[Account]) -> None:
    if event.new["name"] == "poison":
        raise ValueError("poison")
    found = s.find(Account, event.record)  # it may be gone by now
    s.create(Note(body=f"hello {event.new['name']}", links=[Link.to(found)] if found else []))


def system(tenant: str = "main") -> Actor:
    return Actor.system("test", tenant=tenant)


def fill(crm: CRM, tenants: tuple[str, ...] = ("main", "acme")) -> None:
    """Write, deliver, and leave something undelivered."""
    for tenant in tenants:
        with crm.session(system(tenant), idempotency_key="once") as s:
            group = s.create(Account(name=f"{tenant} group", industry=HARD))
            emails = [Email("a@example.com"), Email("b@example.com", primary=True)]
            below = s.create(Account(name="below", parent=group.ref, emails=emails))
            s.create(Account(name="poison"))
            s.update(Account, below.id, {"name": HARD}, version=below.version)
            ann = s.create(Contact(name="Ann", account=group.ref, phones=[Phone("+4366012345678")]))
            s.link(knows, group, ann)
            s.delete(s.create(Account(name="gone")))
            whole = Thing(
                name="whole", number=-(2**62), exact=Decimal("-0.000000001"), price=Money("1234567.89", "EUR"), at=AT, data=NUMBERS
            )
            first = s.create(whole)
            part = s.create(Part(name="part", thing=first.ref))
            s.update(Thing, first.id, {"part": part.ref, "on": date(999, 1, 2), "done": True}, version=first.version)
            s.create(Thing(name="child", parent=first.ref))
            s.share(group, "user:7", "read")
            s.define_role(Role("local").allow(Account, "read"))
    crm.run_pending()
    for tenant in tenants:
        with crm.session(system(tenant)) as s:
            s.create(Account(name="late"))


def hard_things(count: int, seed: int) -> list[Thing]:
    """Return things with values that databases, Python and JSON are likely to write in different ways."""
    chance = random.Random(seed)
    years = [2, 99, 999, 1900, 1969, 2000, 9998]

    def instant() -> datetime:
        year, micro = chance.choice(years), chance.choice([0, 1, 999_999, chance.randrange(10**6)])
        return datetime(year, chance.randint(1, 12), chance.randint(2, 28), chance.randrange(24), 59, 59, micro, tzinfo=UTC)

    def number() -> Any:
        forms = [chance.randint(-(2**63), 2**63 - 1), chance.uniform(-1, 1) * 10.0 ** chance.randint(-300, 300), 0.0, -0.0, 5e-324]
        return chance.choice(forms)

    def text() -> str:
        return "".join(chance.choice("aäß人😀 \"'%:{}[]\u2028\u00a0\ud7ff\uffff\U0010ffff") for _ in range(chance.randrange(12)))

    def decimal() -> Decimal:
        return (
            Decimal(chance.randint(-(2**63) + 1, 2**63 - 1)).scaleb(-9)
            if chance.random() < 0.5
            else Decimal(chance.randint(-9, 9)).scaleb(-9)
        )

    return [
        Thing(
            name=f"{n}{text()}".replace("\u2028", ""),
            number=chance.choice([None, chance.randint(-(2**63) + 1, 2**63 - 1)]),
            exact=decimal(),
            price=Money(Decimal(chance.randint(-(10**9), 10**9)).scaleb(-2), "EUR"),
            at=instant(),
            on=instant().date(),
            data={text() or "k": number() for _ in range(4)} | {"deep": [[number()], {text(): text()}]},
        )
        for n in range(count)
    ]


def raw(crm: CRM, *, without: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Return what stands in the database, row by row, whoever wrote it."""
    found: dict[str, list[str]] = {}
    with crm.bound.begin(write=False) as connection:
        for name in sorted(inspect(connection).get_table_names()):
            if name.removeprefix("crm_") not in without:
                rows = connection.exec_driver_sql(f"SELECT * FROM {name}")
                found[name] = sorted(repr([_parsed(value) for value in row]) for row in rows)
    return found


def _parsed(value: Any) -> Any:
    """Read JSON, in which the order of keys says nothing, nor how a number is written."""
    return json.dumps(json.loads(value, parse_int=float), sort_keys=True) if isinstance(value, str) and value[:1] in ("{", "[") else value


def plain(crm: CRM, tenant: str = "main") -> dict[str, Any]:
    """Return the records as sessions read them."""
    found: dict[str, Any] = {}
    with crm.session(system(tenant), write=False) as s:
        for entity in crm.registry.entities:
            found[entity.__name__] = [crm.to_json(r) for r in s.query(entity).order_by(entity.id).all()]
    return found


def journal(crm: CRM) -> list[tuple[Any, ...]]:
    """Return the journal by position, which every row has by then."""
    with crm.bound.begin() as connection:
        while sequence(connection, crm.tables):
            pass
        entries = read(connection, crm.tables, limit=10**6)
    return [(e.position, e.tenant, e.at, e.actor, e.kind, e.record, e.version, e.payload) for e in entries]


def counts(crm: CRM) -> dict[str, int]:
    with crm.bound.begin(write=False) as connection:
        names = inspect(connection).get_table_names()
        return {n: connection.exec_driver_sql(f"SELECT count(*) FROM {n}").scalar_one() for n in names}
