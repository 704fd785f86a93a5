"""An office whose records are reached by every door there is, the kinds of people who work in it, and what each may see in plain Python."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import sqlalchemy as sa

import crm_analytics
from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    Entity,
    Field,
    Interaction,
    Money,
    MoneyField,
    Note,
    Plugin,
    Ref,
    Role,
    Runtime,
    Session,
    User,
    field,
)
from crm_core.entities.activity import Link
from crm_core.rules import F, Rule, everything, owner, related, subordinates, team

plugin = Plugin("office", version="1.0.0")
SYSTEM = Actor.system("test", tenant="main")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
USERS = ("u1", "u2", "u3", "u4")
STAGES = ("new", "won", "secret")


class Deal(Entity):
    name: Field[str]
    account: Field[Ref[Account]]
    amount: MoneyField
    stage: Field[str] = field(default="new")
    salary: Field[int | None] = field(default=None)
    phone: Field[str | None] = field(default=None)
    owner: Field[str | None] = field(default=None)
    code: Field[str | None] = field(default=None, unique=True)


plugin.entities(Deal)
beside = plugin.link(Account, Deal)
deals_by_stage = plugin.rollup("by_stage", Deal, by=["stage", "owner"], of="amount")
plugin.dimension("stage", Deal, "stage", label="Stage")
plugin.measure("deals", Deal, label="Deals", unit="deals", formula="number of deals")
plugin.dimension("phone", Deal, "phone", label="Phone")
plugin.measure("salaries", Deal, of="salary", label="Salaries", unit="euro", formula="sum of salaries")
plugin.measure("value", Deal, of="amount", label="Value", unit="money", formula="sum of amounts")


@attrs.frozen
class Close:
    """Close a deal."""

    deal: Ref[Deal]


@plugin.action(permission="office.close", label="Close", on=Deal)
def close(s: Session, command: Close) -> Deal:
    return s.update(Deal, command.deal.id, {"stage": "won"})


@plugin.panel(Account, label="Deals", reads=[Deal])
def deals_of(s: Session, account: Account) -> dict[str, Any]:
    found = s.query(Deal).where(Deal.account == account.id).order_by(Deal.name).all()
    return {"count": len(found), "deals": found}


class People:
    """u1 leads u2, u2 leads u3; u1 and u4 share a team."""

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        managers, teams = {"u2": "u1", "u3": "u2"}, {"u1": {"emea"}, "u4": {"emea"}}
        return [User(u, u, manager=managers.get(u), teams=teams.get(u, set())) for u in USERS]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


ENTITIES: tuple[type[Any], ...] = (Account, Contact, Deal, Interaction, Note)
ACTIONS = ("read", "create", "update", "delete", "export")
Sees = Callable[["World", Any, str], bool]


def _mine(_: World, record: Any, me: str) -> bool:
    return bool(record.owner == me)


def _below(_: World, record: Any, me: str) -> bool:
    reports = {"u1": {"u1", "u2", "u3"}, "u2": {"u2", "u3"}}
    return record.owner in reports.get(me, {me})


def _beside_me(_: World, record: Any, me: str) -> bool:
    return me in ("u1", "u4") and record.owner in ("u1", "u4")


def _shared(world: World, record: Any, me: str) -> bool:
    return record.id in world.shared


def _of_my_account(world: World, record: Any, me: str) -> bool:
    account = getattr(record, "account", None)
    return account is not None and world.records[account.id].owner == me


@attrs.frozen
class Kind:
    """A kind of user: by which rules it sees what, the same in Python, and which fields it does not see or sees masked."""

    name: str
    me: str
    rules: Mapping[type[Any], Rule] | Rule
    sees: Sees
    hidden: frozenset[str] = frozenset()
    masked: frozenset[str] = frozenset()
    limit: Rule | None = None

    def role(self, rules: Mapping[type[Any], Rule] | Rule | None = None, limit: Rule | None = None) -> Role:
        """Write its role, or one of the same fields that sees all."""
        role = Role("kind")
        given = self.rules if rules is None else rules
        for entity in ENTITIES:
            where = given if isinstance(given, Rule) else given.get(entity)
            levels: dict[str, Any] = {**dict.fromkeys(self.hidden, "none"), **dict.fromkeys(self.masked, "masked")}
            if where is not None:
                role.allow(entity, *ACTIONS, where=where, fields=levels if entity is Deal else None)
        if given != {}:
            role.permit("office.close")
        return role if limit is None else role.restrict(Deal, "read", where=limit)

    @property
    def actor(self) -> Actor:
        """Who it is."""
        return Actor(self.me, roles={"kind"}, teams={"emea"} if self.me in ("u1", "u4") else ())


_hides: Mapping[str, Any] = {"hidden": frozenset({"salary"}), "masked": frozenset({"phone"})}
_own = dict.fromkeys(ENTITIES, owner)
KINDS = [
    Kind("owner", "u3", owner, _mine, **_hides),
    Kind("boss", "u1", team | subordinates, lambda w, r, me: _below(w, r, me) or _beside_me(w, r, me), **_hides),
    Kind("sparse, by a share", "u9", owner, lambda w, r, me: _mine(w, r, me) or _shared(w, r, me), **_hides),
    Kind(
        "by the account",
        "u2",
        {**_own, Deal: related("account", owner), Contact: related("account", owner) | owner},
        lambda w, r, me: _of_my_account(w, r, me) if type(r) is Deal else _of_my_account(w, r, me) or _mine(w, r, me),
    ),
    Kind("restricted", "u1", everything, lambda w, r, me: getattr(r, "stage", "") != "secret", limit=F("stage") != "secret", **_hides),
    Kind("all-seeing", "u4", everything, lambda w, r, me: True),
    Kind("no fields", "u3", everything, lambda w, r, me: True, hidden=frozenset({"salary", "phone", "amount", "account"})),
    Kind("nobody", "u3", {}, lambda w, r, me: False),
]


@attrs.define
class World:
    """A CRM with its records.

    Attributes:
        records: all of the tenant, by id.
        shared: what is shared with ``u9``.
        folder: where files go.
    """

    crm: CRM
    records: dict[str, Any]
    shared: set[str]
    folder: Path
    visible: list[Any] = attrs.field(factory=list)
    unseen: list[Any] = attrs.field(factory=list)

    def of(self, entity: type[Any], records: Sequence[Any] | None = None) -> list[Any]:
        """Return the records of an entity, in the order they were made."""
        return [r for r in (self.records.values() if records is None else records) if type(r) is entity]

    def stand_as(self, kind: Kind) -> None:
        """Divide the records into what a kind sees and what it does not."""
        told = [(r, kind.rules != {} and kind.sees(self, r, kind.me)) for r in self.records.values()]
        self.visible = [r for r, seen in told if seen]
        self.unseen = [r for r, seen in told if not seen]


PLUGINS = (plugin, crm_analytics.plugin)


def opened(databases: Any, seed: int, folder: Path, *roles: Role) -> World:
    """Open a CRM on a database with the records of a seed in it; it is filled once."""
    made: list[World] = []

    def prepare(database: Any) -> None:
        crm = CRM(database.url, plugins=PLUGINS, directory=People(), runtime=runtime(seed))
        crm.migrate()
        made.append(fill(crm, seed, folder))
        if database.kind == "postgresql":
            with crm.bound.begin() as connection:
                connection.exec_driver_sql("ANALYZE")
        crm.close()

    database = databases.reserve()
    databases.fill(database, f"office {seed}", prepare)
    if made:
        _FILLED[databases, seed] = made[0]
    first = _FILLED[databases, seed]
    crm = CRM(database.url, plugins=PLUGINS, directory=People(), roles=roles, runtime=runtime(seed + 1_000))
    return attrs.evolve(first, crm=crm, folder=folder)


_FILLED: dict[tuple[Any, int], World] = {}


def fill(crm: CRM, seed: int, folder: Path) -> World:
    """Make the records: the same ids and values for the same seed."""
    chance = random.Random(seed)
    owners = [*USERS, None, "gone"]
    with crm.session(SYSTEM) as s:
        accounts = s.create_many(
            Account(name=chance.choice(["Acme", "Öl AG", "中国石油", "acme"]) + f" {i}", owner=chance.choice(owners), external_ref=f"a:{i}")
            for i in range(16)
        ).ok
        for i in range(4, 16, 3):
            s.update(Account, accounts[i].id, {"parent": accounts[i - 4].ref})
        deals = s.create_many(
            Deal(
                name=f"deal {i:02}", account=chance.choice(accounts).ref,
                amount=Money(chance.randrange(1, 10**4), chance.choice(["EUR", "USD"])),
                stage=chance.choice(STAGES), salary=chance.randrange(10**5), phone=f"+49{i}" if i % 4 else None,
                owner=chance.choice(owners),
                code=f"d:{i}",
            )
            for i in range(40)
        ).ok  # fmt: skip
        contacts = s.create_many(
            Contact(name=f"person {i:02}", account=chance.choice(accounts).ref if i % 5 else None, owner=chance.choice(owners))
            for i in range(16)
        ).ok
        links = [Link.to(r) for r in (*accounts, *deals, *contacts)]
        calls = s.create_many(
            Interaction(at=NOW - timedelta(hours=i), subject=f"call {i}", links=chance.sample(links, 2), owner=chance.choice(owners))
            for i in range(30)
        ).ok
        notes = s.create_many(Note(body=f"note {i}", links=chance.sample(links, 2), owner=chance.choice(owners)) for i in range(16)).ok
        for _ in range(24):
            s.link(beside, chance.choice(accounts), chance.choice(deals))
        shared = [accounts[3], deals[5], contacts[2]]
        for record in shared:
            s.share(record, "user:u9", "read", "update", "delete", "export")
        s.rebuild(deals_by_stage)
    with crm.session(Actor.system("test", tenant="other")) as s:
        theirs = s.create(Account(name="Acme other", owner="u1"))
        s.create_many(Deal(name=f"deal {i:02}", account=theirs.ref, amount=Money(1, "EUR"), owner="u1") for i in range(5))
    records = {r.id: r for r in (*accounts, *contacts, *deals, *calls, *notes)}
    return World(crm, records, {r.id for r in shared}, folder)


def unsettle(world: World, kind: Kind, seed: int) -> None:
    """Change what a kind does not see: values of its records and fields, and more records than there were, related to what it sees."""
    chance = random.Random(seed)
    tables = world.crm.tables.entities
    with world.crm.bound.begin() as connection:
        for record in world.unseen:
            table = tables[type(record)]
            text = "subject" if isinstance(record, Interaction) else "body" if isinstance(record, Note) else "name"
            connection.execute(sa.update(table).where(table.c.id == record.id).values({text: f"other {chance.random()}", "version": 9}))
        for deal in world.of(Deal):
            hidden: dict[str, Any] = {"salary": chance.randrange(10**6)} if "salary" in kind.hidden else {}
            if "amount" in kind.hidden:
                hidden["amount"] = chance.randrange(10**6)
            if deal.phone and ("phone" in kind.masked or "phone" in kind.hidden):
                hidden["phone"] = f"+1{chance.random()}"
            if hidden:
                connection.execute(sa.update(tables[Deal]).where(tables[Deal].c.id == deal.id).values(hidden))
    other = CRM(world.crm.url, plugins=PLUGINS, directory=People(), runtime=runtime(seed + 50))
    accounts, seen = world.of(Account), [r for r in world.visible if type(r) in (Account, Deal, Contact)]
    with other.session(SYSTEM) as s:
        if world.unseen:
            theirs = world.of(Account, world.unseen)
            if kind.limit is None:
                theirs = [s.create(Account(name=a.name, owner="gone", parent=chance.choice(accounts).ref)) for a in accounts]
            for i in range(30):
                deal = s.create(
                    Deal(name=f"deal {i:02}", account=chance.choice(theirs or accounts).ref, amount=Money(i + 1, "EUR"), stage="secret")
                )
                s.link(beside, chance.choice(accounts), deal)
                s.share(deal, "user:u8", "read")
            if kind.limit is None:
                for i in range(20):
                    links = [Link.to(r) for r in chance.sample(seen, min(2, len(seen)))]
                    s.create(Interaction(at=NOW - timedelta(minutes=i), subject=f"unseen {i}", links=links, owner="gone"))
                    s.create(Note(body=f"unseen {i}", links=links, owner="gone"))
                    s.create(Contact(name=f"person {i:02}", account=theirs[0].ref, owner="gone"))
        s.rebuild(deals_by_stage)
    other.close()


def hide(world: World, kind: Kind) -> None:
    """Take what a kind does not see out of the database: its records are deleted, its fields empty, and a masked one says nothing."""
    tables = world.crm.tables.entities
    with world.crm.bound.begin() as connection:
        for entity in ENTITIES:
            gone = [r.id for r in world.of(entity, world.unseen)]
            name = {"subject": "gone"} if entity is Interaction else {"body": "gone"} if entity is Note else {"name": "gone"}
            if gone:
                connection.execute(sa.update(tables[entity]).where(tables[entity].c.id.in_(gone)).values(deleted_at=NOW, **name))
        if "salary" in kind.hidden:
            connection.execute(sa.update(tables[Deal]).values(salary=-7))
        if kind.masked:
            connection.execute(sa.update(tables[Deal]).where(tables[Deal].c.phone.is_not(None)).values(phone="?"))
    with world.crm.session(SYSTEM) as s:
        s.rebuild(deals_by_stage)


def runtime(seed: int) -> Runtime:
    """Return a runtime that stands still."""
    return Runtime.seeded(seed, start=NOW)
