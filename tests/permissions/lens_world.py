"""A small company in two tenants, the kinds of users who look at it, and what each may see, worked out in plain Python."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Self

import attrs
import sqlalchemy as sa

from crm_core.entities.columns import attributes
from crm_core.entities.customer import ExchangeRate
from crm_core.entities.entity import Entity, Extension
from crm_core.entities.fields import Field, ListField, MoneyField, OptionalMoneyField, Ref, field
from crm_core.entities.meta import bind_extension, logical_table, spec
from crm_core.entities.values import Email
from crm_core.permissions.binding import bind
from crm_core.permissions.lens import Lens
from crm_core.permissions.money_sql import register_functions
from crm_core.permissions.predicates import F, Rule, Shared, everything, nothing, owner, related, subordinates, team
from crm_core.permissions.to_sql import SqlEnv, to_sql
from crm_core.permissions.views import View
from crm_core.storage.tables import Tables


class Firm(Entity):
    name: Field[str]
    owner: Field[str]
    parent: Field[Ref[Self] | None] = field(default=None)
    salary: Field[int] = field(default=0)
    phone: Field[str | None] = field(default=None)
    emails: ListField[Email] = field(factory=list)


class Deal(Entity):
    name: Field[str]
    owner: Field[str]
    firm: Field[Ref[Firm] | None] = field(default=None)
    stage: Field[str]
    chance: Field[int]
    amount: MoneyField
    amount_base: OptionalMoneyField = field(default=None)
    discount: Field[Decimal] = field(scale=4)
    signed: Field[datetime | None] = field(default=None)
    closes: Field[date]
    open: Field[bool]
    facts: Field[dict[str, Any]] = field(factory=dict)


class Loyalty(Extension):
    tier: Field[str] = field(default="none")


class Absent(Extension):
    points: Field[int] = field(default=0)


bind_extension(Loyalty, Firm, "loyalty")
bind_extension(Absent, Firm, "absent")

NOW = datetime(2026, 6, 15, 23, 30, tzinfo=UTC)
TENANTS = ("one", "two")
USERS = [f"u{i}" for i in range(8)]
# u1 leads u2 and u3, u3 leads u4; teams overlap.
MANAGERS = {"u2": "u1", "u3": "u1", "u4": "u3", "u6": "u5"}
TEAMS = {"u1": {"emea"}, "u2": {"emea", "apac"}, "u5": {"apac"}, "u6": {"emea"}}
CURRENCIES = ("EUR", "USD", "JPY")
Row = dict[str, Any]


def new_id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


@attrs.frozen
class Data:
    """All rows, as they are inserted."""

    firms: list[Row]
    deals: list[Row]
    shares: list[Row]


def make_data(seed: int, firms: int = 40, deals: int = 160) -> Data:
    chance = random.Random(seed)
    numbers = iter(range(1, 10**6))
    made: dict[str, list[Row]] = {"firms": [], "deals": [], "shares": []}

    def base(tenant: str) -> Row:
        at = NOW - timedelta(minutes=chance.randrange(500_000), microseconds=chance.randrange(10**6))
        gone = at if chance.random() < 0.1 else None
        stamps = {"created_at": at, "updated_at": at, "created_by": "u0", "updated_by": "u0", "deleted_at": gone}
        return {"id": new_id(next(numbers)), "tenant": tenant, "version": 1, **stamps}

    for tenant in TENANTS:
        own: list[str] = []
        for i in range(firms):
            row = base(tenant) | {
                "name": chance.choice(["Acme", "Zoë", "ärzte", "中国", "a_b%", "Ünal", "acme"]) + str(i),
                "owner": chance.choice(USERS),
                "parent": chance.choice(own) if own and chance.random() < 0.5 else None,
                "salary": chance.randrange(10**6),
                "phone": f"+49{i}" if i % 3 else None,
                "emails": [Email(f"p{i % 7}@x.example", primary=True)] if i % 4 else [],
                "loyalty_tier": chance.choice(["gold", "none"]),
            }
            own.append(row["id"])
            made["firms"].append(row)
        for i in range(deals):
            currency = chance.choice(CURRENCIES)
            base_amount = None if i % 5 else Decimal(chance.randrange(1, 10**6)) / 100
            row = base(tenant) | {
                "name": f"deal {i}",
                "owner": chance.choice(USERS),
                "firm": chance.choice(own) if chance.random() < 0.8 else None,
                "stage": chance.choice(["won", "lost", "open"]),
                "chance": chance.randrange(0, 100, 10),
                "amount": Decimal(chance.randrange(-(10**5), 10**7)) / (1 if currency == "JPY" else 100),
                "amount_currency": currency,
                "amount_base": base_amount,
                "amount_base_currency": None if base_amount is None else "EUR",
                "discount": Decimal(chance.randrange(10**6)) / 10**4,
                "signed": NOW - timedelta(seconds=chance.randrange(10**7)) if i % 3 == 0 else None,
                "closes": date(2026, 1, 1) + timedelta(days=chance.randrange(300)),
                "open": chance.random() < 0.5,
                "facts": {"source": chance.choice(["web", "fair"]), "n": chance.randrange(5)},
            }
            made["deals"].append(row)
            if chance.random() < 0.2:
                grantee = chance.choice([f"user:{chance.choice(USERS)}", "team:emea", "team:apac"])
                granted = {"entity": "deal", "record": row["id"], "grantee": grantee, "action": chance.choice(["read", "update"])}
                made["shares"].append({"tenant": tenant, "at": NOW, "actor": "u0", **granted})
    return Data(**made)


def leads(chief: str, user: str) -> bool:
    while user != chief:
        if user not in MANAGERS:
            return False
        user = MANAGERS[user]
    return True


Sees = Callable[[Data, Row, str], bool]


@attrs.frozen
class Kind:
    """A kind of user: its rules, and the same in plain Python."""

    name: str
    me: str
    firm: Rule
    deal: Rule
    sees_firm: Sees
    sees_deal: Sees
    hidden: frozenset[str] = frozenset()
    masked: frozenset[str] = frozenset()


def _mine(_: Data, row: Row, me: str) -> bool:
    return bool(row["owner"] == me)


def _below(_: Data, row: Row, me: str) -> bool:
    return leads(me, row["owner"])


def _peers(_: Data, row: Row, me: str) -> bool:
    return bool(TEAMS.get(row["owner"], set()) & TEAMS.get(me, set()))


def _shared(data: Data, row: Row, me: str) -> bool:
    grantees = {f"user:{me}", *(f"team:{t}" for t in TEAMS.get(me, ()))}
    return any(s["record"] == row["id"] and s["grantee"] in grantees and s["action"] == "read" for s in data.shares)


def _all(*_: Any) -> bool:
    return True


def _none(*_: Any) -> bool:
    return False


def _firm_mine(data: Data, row: Row, me: str) -> bool:
    firm = next((f for f in data.firms if f["id"] == row["firm"] and f["tenant"] == row["tenant"]), None)
    return firm is not None and firm["deleted_at"] is None and firm["owner"] == me


def _has_parent(_: Data, row: Row, __: str) -> bool:
    return row["parent"] is not None


def _won(_: Data, row: Row, __: str) -> bool:
    return bool(row["stage"] == "won")


def _not_lost(_: Data, row: Row, __: str) -> bool:
    return bool(row["stage"] != "lost")


def _or(*parts: Sees) -> Sees:
    return lambda data, row, me: any(p(data, row, me) for p in parts)


def _and(*parts: Sees) -> Sees:
    return lambda data, row, me: all(p(data, row, me) for p in parts)


_read_share = Shared("read", "deal")
KINDS = [
    Kind("sees all", "u0", everything, everything, _all, _all),
    Kind("owner", "u1", owner, owner, _mine, _mine),
    Kind("subordinates and team", "u1", owner | subordinates, subordinates | team, _or(_mine, _below), _or(_below, _peers)),
    Kind("shares", "u2", team, owner | _read_share, _peers, _or(_mine, _shared)),
    Kind("criteria", "u3", ~(F("parent").is_null()), F("stage") == "won", _has_parent, _won),
    Kind("related", "u4", everything, related("firm", owner) | owner, _all, _or(_firm_mine, _mine)),
    Kind("restricted", "u1", everything, (owner | team) & ~(F("stage") == "lost"), _all, _and(_or(_mine, _peers), _not_lost)),
    Kind("sees nothing", "u7", nothing, nothing, _none, _none),
    Kind("hidden and masked", "u1", everything, owner, _all, _mine, frozenset({"salary"}), frozenset({"phone"})),
]


class Seen:
    """An entity over a physical copy that holds only what may be seen: the truth that a lens is compared with."""

    def __init__(self, entity: type[Entity], table: Any) -> None:
        self._entity = entity
        self._table = table
        self._columns = attributes(table, {n: f for n, f in spec(entity).fields.items() if f.column in table.c})

    def __clause_element__(self) -> Any:
        return self._table

    def __getattr__(self, name: str) -> Any:
        try:
            return self._columns[name]
        except KeyError:
            raise AttributeError(name) from None

    def alias(self, name: str | None = None) -> Seen:
        return Seen(self._entity, self._table.alias(name))


class Company:
    """The rows in a database, physical, with a lens for each kind of user."""

    def __init__(self, engine: sa.Engine, seed: int = 1, **sizes: int) -> None:
        self.engine = engine
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", lambda dbapi, _: register_functions(dbapi))
        self.data = make_data(seed, **sizes)
        self.tables = Tables([Firm, Deal, ExchangeRate], {Firm: [Loyalty]})
        self.tables.metadata.create_all(engine)
        self.truths = 0
        with engine.begin() as connection:
            for table, rows in self._rows():
                if rows:
                    connection.execute(sa.insert(table), rows)
            if engine.dialect.name == "postgresql":
                # As autovacuum does soon; until then PostgreSQL takes every table to have one row, and joins by nested loops.
                connection.exec_driver_sql("ANALYZE")

    def _rows(self) -> Iterator[tuple[sa.Table, list[Row]]]:
        system, firms = self.tables.system, self.data.firms
        yield self.tables.entities[Firm], firms
        yield self.tables.entities[Deal], self.data.deals
        listed = [(f, e) for f in firms for e in f["emails"]]
        yield (
            self.tables.lists[Firm, "emails"],
            [{"tenant": f["tenant"], "record": f["id"], "position": 0, "value": e.address, "is_primary": True} for f, e in listed],
        )
        yield system.share, self.data.shares
        for tenant in TENANTS:
            chains = [(u, c) for u in USERS for c in USERS if leads(c, u)]
            yield system.member, [{"tenant": tenant, "user_id": u, "ancestor": c, "depth": int(u != c)} for u, c in chains]
            yield system.team_member, [{"tenant": tenant, "user_id": u, "team": t} for u, teams in TEAMS.items() for t in teams]

    def view(self, entity: type[Entity], rule: Rule, kind: Kind) -> View:
        physical = self.tables.entities[entity]
        system = self.tables.system
        names = {spec(e).name: t for e, t in self.tables.entities.items()}
        env = SqlEnv(physical, names, system.member, system.team_member, system.share)
        bound = bind(rule, spec(entity))
        return View(
            physical,
            None if rule is everything else to_sql(bound, env),
            frozenset(c.name for c in physical.c) - kind.hidden,
            kind.masked if entity is Firm else frozenset(),
            {column: t for (e, column), t in self.tables.lists.items() if e is entity},
            None if rule is everything else to_sql(bound, attrs.evolve(env, form="in")),
            frozenset({Loyalty}),
        )

    def lens(self, kind: Kind, **options: Any) -> Lens:
        views = {logical_table(Firm): self.view(Firm, kind.firm, kind), logical_table(Deal): self.view(Deal, kind.deal, kind)}
        names = {logical_table(e): self.tables.name(e) for e in (Firm, Deal)}
        limited = {table: names[table] for table, view in views.items() if view.sets is not None}
        given = {"limited": limited, "rates": self.tables.entities[ExchangeRate], "dialect": self.engine.dialect}
        return Lens(views, **{**given, **options})

    def visible(self, entity: type[Entity], kind: Kind, me: str, tenant: str) -> list[Row]:
        rows, sees = (self.data.firms, kind.sees_firm) if entity is Firm else (self.data.deals, kind.sees_deal)
        return [r for r in rows if r["tenant"] == tenant and r["deleted_at"] is None and sees(self.data, r, me)]

    def truth(self, connection: sa.Connection, kind: Kind, me: str, tenant: str) -> tuple[Seen, Seen]:
        """Copy what *me* may see into tables of its own."""
        self.truths += 1
        metadata = sa.MetaData()
        seen = []
        for entity in (Firm, Deal):
            rows = [self._masked(r, kind) for r in self.visible(entity, kind, me, tenant)]
            columns = [sa.Column(c.name, c.type) for c in self.tables.entities[entity].c if c.name not in kind.hidden]
            table = sa.Table(f"seen_{entity.__name__.lower()}_{self.truths}", metadata, *columns)
            table.create(connection)
            if rows:
                connection.execute(sa.insert(table), [{k: v for k, v in r.items() if k not in kind.hidden} for r in rows])
            seen.append(Seen(entity, table))
        return seen[0], seen[1]

    @staticmethod
    def _masked(row: Row, kind: Kind) -> Row:
        return {k: "***" if k in kind.masked and v is not None else v for k, v in row.items()}


def actor(me: str, tenant: str = "one") -> dict[str, Any]:
    """The binds of a user."""
    teams = sorted(TEAMS.get(me, ()))
    grantees = [f"user:{me}", *(f"team:{t}" for t in teams)]
    return {"crm_me": me, "crm_tenant": tenant, "crm_teams": json.dumps(teams), "crm_grantees": json.dumps(grantees), "crm_now": NOW}


def logical_names(entity: type[Entity]) -> list[str]:
    """The columns of an entity's own fields, in order."""
    return [column for f in spec(entity).fields.values() for column in f.columns]
