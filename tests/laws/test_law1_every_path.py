"""Law 1: whichever way a record is written, its hooks, its journal row and its delivered event are the same [C52, G18]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import select

from crm_core import (
    CRM,
    Account,
    Actor,
    Change,
    Created,
    Deleted,
    Entity,
    Event,
    Field,
    FixedClock,
    Plugin,
    Restored,
    Runtime,
    Session,
    Updated,
    WriteCtx,
    after_write,
    before_write,
    check_write,
    field,
)
from crm_core.io import Importer, mapping_of
from tests.conftest import MakeCRM

SYSTEM = Actor.system("test", tenant="main")
KEY = "a:1"
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
OLD, NEW = {"name": "A", "industry": "steel"}, {"name": "B", "industry": "steel"}


class Order(Entity):
    """What tells a hook which verb to do with full rights."""

    verb: Field[str] = field()


@attrs.frozen
class Do:
    """Do a verb as an action."""

    verb: str


Verb = Callable[[Session], Any]


def plain(value: Any) -> Any:
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def found(s: Session) -> Account:
    return s.query(Account).where(Account.external_ref == KEY).one()


def fresh() -> Account:
    return Account(name="A", industry="steel", external_ref=KEY)


def saved(s: Session) -> Account:
    record = found(s)
    record.name = "B"
    return s.save(record)


def brought_back(s: Session) -> Any:
    table = s.crm.tables.entities[Account]
    with s.crm.bound.begin(write=False) as connection:
        id = connection.execute(select(table.c.id).where(table.c.external_ref == KEY)).scalar_one()
    return s.restore(Account, id)


VERBS: dict[str, Verb] = {
    "created": lambda s: s.create(fresh()),
    "updated": lambda s: s.update(Account, found(s).id, {"name": "B"}),
    "deleted": lambda s: s.delete(found(s)),
}
DIRECT: dict[tuple[str, str], Verb] = {
    ("created", "create"): VERBS["created"],
    ("created", "create_many"): lambda s: s.create_many([fresh()]),
    ("created", "create_many, collected"): lambda s: s.create_many([fresh()], on_error="collect"),
    ("created", "upsert"): lambda s: s.upsert(fresh(), on="external_ref"),
    ("updated", "update"): VERBS["updated"],
    ("updated", "save"): saved,
    ("updated", "update_where"): lambda s: s.update_where(s.query(Account).where(Account.external_ref == KEY), {"name": "B"}),
    ("updated", "upsert"): lambda s: s.upsert(Account(name="B", external_ref=KEY), on="external_ref"),
    ("deleted", "delete"): VERBS["deleted"],
    ("deleted", "delete, by reference"): lambda s: s.delete(found(s).ref),
    ("restored", "restore"): brought_back,
}
Way = Callable[[CRM, str, Path], Any]


def joined(crm: CRM, verb: str, _: Path) -> None:
    with crm.bound.begin() as host, crm.session(SYSTEM, on=host) as s:
        VERBS[verb](s)


def keyed(crm: CRM, verb: str, _: Path) -> None:
    for _attempt in range(2):
        with crm.session(SYSTEM, idempotency_key="once") as s:
            VERBS[verb](s)


def imported(crm: CRM, verb: str, folder: Path) -> None:
    (folder / "accounts.csv").write_text(f"ref,name,industry\n1,{'A' if verb == 'created' else 'B'},steel\n")
    mapping = mapping_of({"key": "a:{ref}", "fields": {"name": "name", "industry": "industry"}})
    Importer(crm, SYSTEM, mapping, entity="account").run(folder / "accounts.csv")


def in_session(work: Callable[[Session, str], Any]) -> Way:
    def run(crm: CRM, verb: str, _: Path) -> None:
        with crm.session(SYSTEM) as s:
            work(s, verb)

    return run


INDIRECT: dict[str, Way] = {
    "a service": in_session(lambda s, verb: s.use(Office).do(verb)),
    "an action": in_session(lambda s, verb: s.perform(Do(verb))),
    "a hook's elevation": in_session(lambda s, verb: s.create(Order(verb=verb))),
    "a host's transaction": joined,
    "transact": lambda crm, verb, _: crm.transact(SYSTEM, VERBS[verb]),
}


def _directly(work: Verb, s: Session, _: str) -> None:
    work(s)


PATHS: dict[tuple[str, str], Way] = {
    **{path: in_session(partial(_directly, work)) for path, work in DIRECT.items()},
    **{(verb, how): run for verb in VERBS for how, run in INDIRECT.items()},
    ("created", "a key, twice"): keyed,
    ("updated", "a key, twice"): keyed,
    ("created", "an import"): imported,
    ("updated", "an import"): imported,
}
# The record's own values in what the journal keeps and the subscriber gets; the rest of a new record is its defaults.
EXPECTED: dict[str, dict[str, Any]] = {
    "created": {"new": {**OLD, "external_ref": KEY}},
    "updated": {"changes": {"name": [OLD["name"], NEW["name"]]}},
    "deleted": {"old": {**OLD, "external_ref": KEY}},
    "restored": {"changes": {"deleted_at": [plain(START), None]}},
}
OPERATIONS = {"created": "create", "updated": "update", "deleted": "delete", "restored": "restore"}


class Office:
    """A service that writes."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def do(self, verb: str) -> None:
        VERBS[verb](self._session)


@attrs.define
class Log:
    """What hooks and subscribers saw of accounts."""

    hooks: list[tuple[str, str, int]] = attrs.Factory(list)
    events: list[Event[Account]] = attrs.Factory(list)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def crm(make_crm: MakeCRM, log: Log) -> CRM:
    plugin = Plugin("office", version="1")
    plugin.entities(Order)
    plugin.service(Office)
    plugin.grants("account:create", "account:read", "account:update", "account:delete")

    @plugin.hook(before_write, on=Account)
    def before(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        log.hooks.append(("before", ctx.op, len(changes)))
        return changes

    @plugin.hook(check_write, on=Account)
    def check(ctx: WriteCtx, changes: list[Change]) -> None:
        log.hooks.append(("check", ctx.op, len(changes)))

    @plugin.hook(after_write, on=Account)
    def after(ctx: WriteCtx, changes: list[Change]) -> None:
        log.hooks.append(("after", ctx.op, len(changes)))

    @plugin.hook(after_write, on=Order)
    def obey(ctx: WriteCtx, changes: list[Change]) -> None:
        with ctx.elevated("it was ordered") as full:
            for change in changes:
                VERBS[change.record.verb](full)  # type: ignore[attr-defined]  # it is an order

    @plugin.on(Created[Account])
    @plugin.on(Updated[Account])
    @plugin.on(Deleted[Account])
    @plugin.on(Restored[Account])
    def hear(s: Session, event: Event[Account]) -> None:
        log.events.append(event)

    @plugin.action(permission="office.do", label="Do")
    def do(s: Session, command: Do) -> None:
        VERBS[command.verb](s)

    made: CRM = make_crm(plugins=[plugin], runtime=Runtime.seeded(1, clock=FixedClock(START)))
    made.run_pending()
    return made


def rows(crm: CRM) -> list[tuple[str, dict[str, Any]]]:
    """Return what the journal says of accounts, what is personal in its place."""
    table = crm.tables.system.journal
    statement = select(table.c.kind, table.c.payload, table.c.personal).where(table.c.entity == "account").order_by(table.c.id)
    with crm.bound.begin(write=False) as connection:
        found = connection.execute(statement).all()
    return [(r.kind, r.payload | {part: r.payload.get(part, {}) | values for part, values in (r.personal or {}).items()}) for r in found]


def only(values: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values.get(name) for name in wanted}


@pytest.mark.parametrize(("verb", "how"), list(PATHS), ids=lambda part: part.replace(" ", "-"))
def test_c52_g18_every_path_passes_the_same_hooks_and_leaves_the_same_event(
    crm: CRM, log: Log, verb: str, how: str, tmp_path: Path
) -> None:
    if verb != "created":
        crm.transact(SYSTEM, VERBS["created"])
    if verb == "restored":
        crm.transact(SYSTEM, VERBS["deleted"])
    crm.run_pending()
    before = len(rows(crm))
    log.hooks.clear()
    log.events.clear()

    PATHS[verb, how](crm, verb, tmp_path)

    assert log.hooks == [(kind, OPERATIONS[verb], 1) for kind in ("before", "check", "after")]
    [(kind, payload)] = rows(crm)[before:]
    [(part, wanted)] = EXPECTED[verb].items()
    assert kind == f"account.{verb}.v1"
    assert payload.keys() == {"id", part}
    assert (payload[part] if part == "changes" else only(payload[part], wanted)) == wanted
    crm.run_pending()
    [event] = log.events
    assert (type(event).__name__.lower(), event.record.entity) == (verb, Account)
    told = getattr(event, part)
    heard = {n: [plain(c.old), plain(c.new)] for n, c in told.items()} if part == "changes" else only(told, wanted)
    assert heard == wanted
