"""A small random company for the properties of rules: two entities, several tenants, people in circles, rows full of NULLs."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import sqlalchemy as sa
from hypothesis import strategies as st

from crm_core.entities.entity import Entity
from crm_core.entities.fields import Field, OptionalMoneyField, Ref, field
from crm_core.entities.meta import spec
from crm_core.entities.money import Money
from crm_core.permissions.actor import Actor
from crm_core.permissions.directory import User
from crm_core.permissions.members import Members, sync
from crm_core.permissions.predicates import F, Rule, actor, everything, nothing, owner, related, subordinates, team
from crm_core.permissions.to_sql import SqlEnv
from crm_core.storage.tables import Tables
from tests.permissions.loaded import LoadedFacts


class Stage(enum.Enum):
    NEW = "new"
    WON = "won"
    LOST = "lost"


class Company(Entity):
    name: Field[str]
    owner: Field[str | None] = field(default=None)
    region: Field[str | None] = field(default=None)
    parent: Field[Ref[Company] | None] = field(default=None)


class Deal(Entity):
    title: Field[str | None] = field(default=None)
    memo: Field[str | None] = field(default=None, text=True)
    stage: Field[Stage | None] = field(default=None)
    amount: OptionalMoneyField = field(default=None)
    discount: Field[Decimal | None] = field(default=None)
    rate: Field[Decimal | None] = field(default=None, scale=2)
    seats: Field[int | None] = field(default=None)
    hot: Field[bool | None] = field(default=None)
    due: Field[date | None] = field(default=None)
    seen: Field[datetime | None] = field(default=None)
    company: Field[Ref[Company] | None] = field(default=None)
    owner: Field[str | None] = field(default=None)
    extra: Field[dict[str, Any] | None] = field(default=None)


class Remark(Entity):
    """Has no owner."""

    text: Field[str]


TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "abc",
    "aB",
    "b",
    "é",
    "e\u0301",
    "z",
    "Z",
    "ä",
    "中",
    "中文",
    "\U0001f600",
    "\U0010ffff",
    "%",
    "_",
    "a%",
    "a_b",
    "a'b",
    "\ue000",
    "ß",
]
DAY, MOMENT = date(2026, 3, 1), datetime(2026, 3, 1, 12, tzinfo=UTC)
USERS = [f"u{i}" for i in range(8)]
TEAMS = ["emea", "apac", "亚太"]
TENANTS = ["t0", "t1", "t2", "t3"]
_VALUES: Mapping[str, list[Any]] = {
    "title": TEXTS,
    "memo": TEXTS,
    "stage": list(Stage),
    "amount": [
        Money(a, c) for a in ("0", "-5", "100.00", "99.99", "1000000.25") for c in ("EUR", "USD", "JPY") if c != "JPY" or "." not in a
    ],
    "discount": [Decimal(v) for v in ("0", "0.1", "0.10", "-1", "0.000001", "12345.678901", "3")],
    "rate": [Decimal(v) for v in ("0", "0.10", "7.25", "-1")],
    "seats": [0, 1, -1, 3, 2**62, 10_000],
    "hot": [True, False],
    "due": [DAY + timedelta(days=d) for d in (-1, 0, 1, 400)],
    "seen": [MOMENT + timedelta(microseconds=d) for d in (-1, 0, 1, 10**12)],
    "owner": [*USERS, "deleted-user", "U1"],
    "region": [*TEAMS, "EMEA", ""],
}


def _id(n: int) -> str:
    return f"00000000-0000-7000-8000-{n:012x}"


COMPANY_IDS = [_id(n) for n in range(1, 33)]
DEAL_IDS = [_id(n) for n in range(1001, 1201)]


@attrs.frozen(eq=False)
class World:
    """Rows in a database and the same rows in Python, with the people of each tenant."""

    seed: int
    tables: Tables
    companies: list[dict[str, Any]]
    deals: list[dict[str, Any]]
    members: Mapping[str, Members]
    shares: frozenset[tuple[str, str, str, str, str]]

    def put(self, connection: sa.Connection, place: int, deal: dict[str, Any]) -> dict[str, Any]:
        """Replace a deal in the database and here, and return what was there."""
        table, old = self.tables.entities[Deal], self.deals[place]
        connection.execute(table.update().where(table.c.id == old["id"]).values(_row(deal)))
        self.deals[place] = deal
        return old

    def drawn(self, place: int, seed: int) -> dict[str, Any]:
        """Make another deal for a place: other NULLs, another owner, perhaps one whom nobody knows, perhaps deleted."""
        return _deal(random.Random(seed), self.deals[place]["id"])

    def env(self, form: Any) -> SqlEnv:
        system = self.tables.system
        physical = {spec(e).name: t for e, t in self.tables.entities.items()}
        return SqlEnv(self.tables.entities[Deal], physical, system.member, system.team_member, system.share, form)

    def facts(self, who: Actor) -> LoadedFacts:
        living = {("company", c["id"]): c for c in self.companies if c["tenant"] == who.tenant and c["deleted_at"] is None}
        granted = frozenset((e, r, a) for t, e, r, g, a in self.shares if t == who.tenant and g in who.grantees)
        return LoadedFacts(who, self.members[who.tenant], living, granted)

    def actors(self) -> Iterator[Actor]:
        chance = random.Random(self.seed)
        for tenant in TENANTS:
            listed = sorted(self.members[tenant].users)
            unlisted = [u for u in USERS if u not in listed]
            for user in (chance.choice(listed), chance.choice(unlisted)):
                teams = chance.sample(TEAMS, chance.randrange(3))
                mixed = {name: chance.choice(_VALUES["title"] + _VALUES["seats"] + _VALUES["due"]) for name in ("any", "other")}
                typed = {
                    "region": chance.choice([*TEAMS, "x"]),
                    "regions": chance.sample(TEAMS, 2),
                    "limit": chance.choice([1, Decimal("0.1"), 3]),
                    "day": DAY,
                    "moment": MOMENT,
                    "company": chance.choice(COMPANY_IDS),
                    "yes": True,
                }
                attributes = {k: v for k, v in (typed | mixed).items() if v not in ("", 2**62) and chance.random() < 0.8}
                yield Actor(user, tenant=tenant, teams=teams, attributes=attributes)


def build(engine: sa.Engine, seed: int) -> World:
    """Create the tables and fill them with random rows."""
    chance = random.Random(seed)
    tables = Tables([Company, Deal, Remark], {}, prefix="crm_")
    companies = [_company(chance, id) for id in COMPANY_IDS]
    for company in companies:
        company["parent"] = chance.choice([None, Ref(Company, chance.choice(COMPANY_IDS))])
    deals = [_deal(chance, id) for id in DEAL_IDS]
    members = {tenant: Members.of(_people(chance)) for tenant in TENANTS}
    shares = frozenset(
        (chance.choice(TENANTS), "deal", chance.choice(DEAL_IDS), chance.choice([*(f"user:{u}" for u in USERS), "team:emea"]), action)
        for action in ("read", "update")
        for _ in range(60)
    )
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        flat = [{**c, "parent": None} for c in companies]
        connection.execute(tables.entities[Company].insert(), flat)
        own = tables.entities[Company]
        for c in companies:
            connection.execute(own.update().where(own.c.id == c["id"]).values(parent=c["parent"]))
        connection.execute(tables.entities[Deal].insert(), [_row(d) for d in deals])
        for tenant, people in members.items():
            sync(connection, tables.system, tenant, people, MOMENT)
        names = ("tenant", "entity", "record", "grantee", "action")
        connection.execute(tables.system.share.insert(), [dict(zip(names, s, strict=True)) | {"at": MOMENT, "actor": "u0"} for s in shares])
    return World(seed, tables, companies, deals, members, shares)


def _system(chance: random.Random, id: str) -> dict[str, Any]:
    return {
        "id": id,
        "tenant": chance.choice(TENANTS),
        "version": 1,
        "created_at": MOMENT,
        "created_by": "u0",
        "updated_at": MOMENT,
        "updated_by": "u0",
        "deleted_at": MOMENT if chance.random() < 0.15 else None,
    }


def _company(chance: random.Random, id: str) -> dict[str, Any]:
    return _system(chance, id) | {"name": chance.choice(TEXTS), "owner": _some(chance, "owner"), "region": _some(chance, "region")}


def _deal(chance: random.Random, id: str) -> dict[str, Any]:
    company = Ref(Company, chance.choice(COMPANY_IDS)) if chance.random() < 0.8 else None
    own = {name: _some(chance, name) for name in _VALUES if name != "region"}
    return _system(chance, id) | own | {"company": company, "extra": None}


def _some(chance: random.Random, name: str) -> Any:
    return None if chance.random() < 0.25 else chance.choice(_VALUES[name])


def _row(deal: Mapping[str, Any]) -> dict[str, Any]:
    money = deal["amount"]
    amount, currency = (None, None) if money is None else (money.amount, money.currency)
    return {**deal, "amount": amount, "amount_currency": currency}


def _people(chance: random.Random) -> list[User]:
    """Managers at random: chains, circles, oneself, and some the directory does not know."""
    managers = [None, *USERS, "gone"]
    return [
        User(
            id,
            f"Name of {id}",
            manager=chance.choice(managers),
            teams=chance.sample(TEAMS, chance.randrange(3)),
            active=chance.random() < 0.8,
        )
        for id in chance.sample(USERS, 6)
    ]


_OPERATORS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
_COMPANY_LEAVES = st.one_of(
    st.sampled_from([owner, team, subordinates, F("region").is_null(), F("parent").is_null(), F("region") == actor("region")]),
    st.builds(lambda v, op: getattr(F("name"), op)(v), st.sampled_from(TEXTS), st.sampled_from(_OPERATORS)),
    st.builds(lambda v: F("name").startswith(v), st.sampled_from(TEXTS)),
)


def _comparison(name: str, operators: tuple[str, ...]) -> st.SearchStrategy[Rule]:
    return st.builds(lambda v, op: getattr(F(name), op)(v), st.sampled_from(_VALUES[name]), st.sampled_from(operators))


def _membership(name: str) -> st.SearchStrategy[Rule]:
    return st.builds(lambda v: F(name).in_(v), st.lists(st.sampled_from(_VALUES[name]), max_size=4))


def _combined(leaves: st.SearchStrategy[Rule], most: int) -> st.SearchStrategy[Rule]:
    def grow(inner: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
        return st.one_of(
            st.builds(lambda a, b: a & b, inner, inner),
            st.builds(lambda a, b: a | b, inner, inner),
            st.builds(lambda a: ~a, inner),
        )

    return st.recursive(leaves, grow, max_leaves=most)


_OWN_LEAVES = st.one_of(
    st.sampled_from([owner, team, subordinates, everything, nothing]),
    st.sampled_from([F(name).is_null() for name in (*(n for n in _VALUES if n != "region"), "company", "extra")]),
    *(_comparison(name, _OPERATORS) for name in ("title", "memo", "amount", "discount", "rate", "seats", "due", "seen", "owner")),
    *(_comparison(name, _OPERATORS[:2]) for name in ("stage", "hot")),
    *(_membership(name) for name in ("title", "stage", "discount", "seats", "due", "seen", "owner")),
    st.builds(lambda name, v: F(name).startswith(v), st.sampled_from(["title", "memo"]), st.sampled_from(TEXTS)),
    st.builds(lambda v: F("company") == v, st.sampled_from([Ref(Company, i) for i in COMPANY_IDS])),
    st.builds(lambda v: F("company").in_(v), st.lists(st.sampled_from(COMPANY_IDS), min_size=1, max_size=9)),
    st.builds(
        lambda pair, op: getattr(F(pair[0]), op)(actor(pair[1])),
        st.sampled_from(
            [
                ("title", "region"),
                ("discount", "limit"),
                ("seats", "limit"),
                ("due", "day"),
                ("seen", "moment"),
                ("title", "any"),
                ("seats", "any"),
                ("due", "other"),
                ("memo", "none"),
            ]
        ),
        st.sampled_from(_OPERATORS),
    ),
    st.sampled_from(
        [
            F("title").in_(actor("regions")),
            F("owner").in_(actor("regions")),
            F("company") == actor("company"),
            F("company") != actor("any"),
            F("hot") == actor("yes"),
            F("stage") == actor("any"),
        ]
    ),
    st.builds(lambda inner: related("company", inner), _combined(_COMPANY_LEAVES, 4)),
)
RULES = _combined(_OWN_LEAVES, 8)
