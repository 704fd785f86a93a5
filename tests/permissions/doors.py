"""Every door by which a record, a field or a number can leave a CRM, each asked with ids that may be anyone's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import case, exists, func, lateral, literal, select, true, union_all

from crm_analytics.api import Analytics, Report
from crm_core import Account, Contact, CRMError, Entity, Interaction, Money, Note, Ref, Role, Session, alias
from crm_core.io import Importer, export, mapping_of
from crm_core.rules import F
from tests.permissions.doors_world import NOW, Close, Deal, World, beside, deals_by_stage

Door = Callable[[Session, World, int], Any]
DOORS: dict[str, Door] = {}
GHOST = "00000000-0000-7000-8000-000000000000"


def door(fn: Door) -> Door:
    """Add a door to the catalogue; its name is the function's."""
    DOORS[fn.__name__] = fn
    return fn


def answer(s: Session, world: World, name: str, n: int, other: Door | None = None) -> str:
    """Ask by a door, or do something else, and write down what came of it: the answer, or the error as its caller gets it."""
    try:
        return json.dumps(_plain(s, (other or DOORS[name])(s, world, n)), ensure_ascii=False, sort_keys=True)
    except CRMError as e:
        return json.dumps([type(e).__name__, e.problem(), str(e)], ensure_ascii=False, sort_keys=True, default=str)


def _plain(s: Session, value: Any) -> Any:
    match value:
        case Entity():
            return [s.crm.to_json(value), repr(value)]
        case dict():
            return {str(k): _plain(s, v) for k, v in value.items()}
        case str() | int() | float() | bool() | None:
            return value
        case Iterator() | list() | tuple() | set() | frozenset():
            return [_plain(s, v) for v in (sorted(value, key=repr) if isinstance(value, set | frozenset) else value)]
    return repr(value)


def _pick(world: World, entity: type[Any], n: int) -> Any:
    found = world.of(entity)
    return found[n % len(found)]


def _forged(record: Any) -> Any:
    """Make a record of nothing but an id, as somebody who guessed it would."""
    made: Any = object.__new__(type(record))
    for name, value in record._items():
        object.__setattr__(made, name, value)
    made._origin = True
    return made


def _rows(s: Session, statement: Any) -> list[Any]:
    return sorted(([*map(str, row)] for row in s.execute(statement)), key=repr)


def _each(name: str, fn: Callable[[Session, World, int, type[Any]], Any]) -> None:
    """Add a door for each kind of record."""
    for entity in (Account, Contact, Deal, Interaction, Note):
        DOORS[f"{name} {entity.__name__.lower()}"] = lambda s, w, n, entity=entity: fn(s, w, n, entity)  # type: ignore[misc]  # bound now


# -- records ---------------------------------------------------------------------------------------------------------------------------

_each("get", lambda s, w, n, e: s.get(e, _pick(w, e, n).id))
_each("find", lambda s, w, n, e: s.find(e, _pick(w, e, n).ref))
_each("all", lambda s, w, n, e: s.query(e).all())
_each("count", lambda s, w, n, e: [s.query(e).count(), s.query(e).count(limit=3)])
_each("ids", lambda s, w, n, e: sorted(s.query(e).ids()))
_each("pages", lambda s, w, n, e: _pages(s.query(e).order_by(e.created_at.desc(), e.owner), n))
_each("can", lambda s, w, n, e: [s.can(a, _forged(_pick(w, e, n))) for a in ("read", "update", "delete", "export")])
_each("get many", lambda s, w, n, e: s.get_many(e, [r.id for r in w.of(e)][n % 3 :: 2]))
_each("lock", lambda s, w, n, e: s.lock(e, _pick(w, e, n).id))
_each("seen", lambda s, w, n, e: s.seen(_forged(_pick(w, e, n))))
_each("describe", lambda s, w, n, e: [sorted(s.describe(e)["fields"]), s.describe(e)["actions"]])
_each("view", lambda s, w, n, e: s.crm.to_json(s.view360(_pick(w, e, n).ref, size=1 + n % 5)))
_each("timeline", lambda s, w, n, e: _timeline(s, _pick(w, e, n), 1 + n % 4))
_each("history", lambda s, w, n, e: _history(s, _pick(w, e, n), 1 + n % 3))
_each("view of the past", lambda s, w, n, e: s.crm.to_json(s.view360(_pick(w, e, n).ref, at=NOW + timedelta(hours=n % 3))))


def _pages(query: Any, n: int) -> list[Any]:
    found, after = [], None
    for _ in range(20):
        page = query.page(1 + n % 7, after=after)
        found.append([page.items, page.next])
        after = page.next
        if after is None:
            break
    return found


def _timeline(s: Session, record: Any, size: int) -> list[Any]:
    found, after = [], None
    for _ in range(20):
        page = s.timeline(record.ref, size=size, after=after)
        found.append([[(e.entity, e.at.isoformat(), e.record) for e in page], page.next])
        after = page.next
        if after is None:
            break
    return found


def _history(s: Session, record: Any, size: int) -> list[Any]:
    found, after = [], None
    for _ in range(20):
        page = s.history(record.ref, size=size, after=after)
        found.append([[(e.verb, e.version, e.actor, {n: [c.old, c.new] for n, c in e.changes.items()}) for e in page], page.next])
        after = page.next
        if after is None:
            break
    return found


@door
def nonexistent(s: Session, w: World, n: int) -> Any:
    return s.get(Deal, GHOST)


@door
def first_and_one(s: Session, w: World, n: int) -> Any:
    return [s.query(Deal).order_by(Deal.name).first(), s.query(Account).where(Account.name == _pick(w, Account, n).name).one()]


@door
def streamed(s: Session, w: World, n: int) -> Any:
    return list(s.query(Deal).order_by(Deal.stage).stream(1 + n % 5))


@door
def filtered_by_a_query_string(s: Session, w: World, n: int) -> Any:
    allow = ["name", "stage", "salary", "phone", "owner", "account", "amount"]
    asked = [{"stage": "won", "sort": "-name"}, {"salary__gte": str(n)}, {"sort": "salary"}, {"phone__startswith": "+4"}, {"sort": "phone"}]
    asked += [{"account": _pick(w, Account, n).id}, {"owner": "u1", "sort": "stage,-owner"}, {"amount__gt": "EUR:500"}, {"nothing": "1"}]
    return s.query(Deal).matching(asked[n % len(asked)], allow=allow).all()


@door
def preloaded(s: Session, w: World, n: int) -> Any:
    found = s.query(Deal).order_by(Deal.name).preload(Deal.account).all()
    return [[s.crm.to_json(d, expand=["account"]), s.related(d, Deal.account)] for d in found]


@door
def linked(s: Session, w: World, n: int) -> Any:
    return [s.linked(beside, _forged(_pick(w, Account, n))), s.linked(beside, _forged(_pick(w, Deal, n)))]


@door
def actions(s: Session, w: World, n: int) -> Any:
    return [(a.name, a.allowed, a.why_not) for a in s.actions(_forged(_pick(w, Deal, n)))]


@door
def links_of_a_list(s: Session, w: World, n: int) -> Any:
    return s.query(Interaction).where(Interaction.links.has(_pick(w, Account, n).id)).order_by(Interaction.subject).all()


# -- selects ---------------------------------------------------------------------------------------------------------------------------

_other = alias(Deal, "other")


def _select(name: str, build: Callable[[World, int], Any]) -> None:
    DOORS[f"select {name}"] = lambda s, w, n: _rows(s, build(w, n))


_select("count", lambda w, n: select(func.count()).select_from(Deal))
_select("sum", lambda w, n: select(Deal.amount.sum()).group_by(Deal.amount.currency))
_select("group", lambda w, n: select(Deal.stage, func.count(), func.max(Deal.name)).group_by(Deal.stage))
_select("join", lambda w, n: select(Deal.name, Account.name).join(Account, Account.id == Deal.account))
_select(
    "outer join", lambda w, n: select(Account.name, func.count(Deal.id)).outerjoin(Deal, Deal.account == Account.id).group_by(Account.name)
)
_select("self join", lambda w, n: select(Deal.name, _other.name).join(_other, _other.account == Deal.account))
_select("exists", lambda w, n: select(Account.name).where(exists().where(Deal.account == Account.id)))
_select("not exists", lambda w, n: select(Account.name).where(~exists().where(Deal.account == Account.id)))
_select("in", lambda w, n: select(Contact.name).where(Contact.account.in_(select(Deal.account).where(Deal.stage == "won"))))
_select("not in", lambda w, n: select(Account.name).where(Account.id.not_in(select(Deal.account))))
_select("union", lambda w, n: union_all(select(Deal.name), select(Account.name), select(Contact.name)))
_select("cte", lambda w, n: select((c := select(Deal.stage, func.count().label("n")).group_by(Deal.stage).cte()).c.stage, c.c.n))
_select("window", lambda w, n: select(Deal.name, func.row_number().over(partition_by=Deal.stage, order_by=Deal.name)))
_select("case", lambda w, n: select(func.sum(case((Deal.stage == "won", 1), else_=0))))
_select(
    "scalar subquery", lambda w, n: select(Account.name, select(func.count(Deal.id)).where(Deal.account == Account.id).scalar_subquery())
)
_select("by id", lambda w, n: select(Deal.name).where(Deal.id == _pick(w, Deal, n).id))
_select("hidden field", lambda w, n: select(Deal.salary))
_select("hidden field in a filter", lambda w, n: select(Deal.name).where(Deal.salary >= n))
_select("hidden field in an order", lambda w, n: select(Deal.name).order_by(Deal.salary))
_select("hidden field in a group", lambda w, n: select(func.count()).select_from(Deal).group_by(Deal.salary))
_select("hidden field in a sum", lambda w, n: select(func.max(Deal.salary)))
_select("masked field", lambda w, n: select(Deal.name, Deal.phone))
_select("masked field in a filter", lambda w, n: select(Deal.name).where(Deal.phone.startswith("+49")))
_select("constants", lambda w, n: select(literal(1)).select_from(Account).limit(1))


@door
def select_recursive(s: Session, w: World, n: int) -> Any:
    tree = select(Account.id, Account.name).where(Account.parent.is_(None)).cte("tree", recursive=True)
    return _rows(s, select(tree.union_all(select(Account.id, Account.name).join(tree, Account.parent == tree.c.id)).c.name))


@door
def select_lateral(s: Session, w: World, n: int) -> Any:
    if s.crm.bound.kind == "sqlite":
        return "SQLite has no lateral"
    last = lateral(select(Deal.name).where(Deal.account == Account.id).order_by(Deal.name).limit(1), "last")
    return _rows(s, select(Account.name, last.c.name).join(last, true()))


# -- figures, files, other people's code ------------------------------------------------------------------------------------------------


@door
def cells(s: Session, w: World, n: int) -> Any:
    where = [F("stage") == "won", F("owner") == "u1", ~F("owner").is_null()][n % 3]
    kept = s.cells(deals_by_stage, where)
    column = [Deal.stage == "won", Deal.owner == "u1", Deal.owner.is_not(None)][n % 3]
    scan = (
        select(Deal.stage, Deal.owner, func.count(), Deal.amount.sum()).where(column).group_by(Deal.stage, Deal.owner, Deal.amount.currency)
    )
    scanned = sorted(([stage, owner, total.currency, count, str(total.amount)] for stage, owner, count, total in s.execute(scan)), key=repr)
    if kept is not None:
        cells = sorted(([c.values["stage"], c.values["owner"], c.currency, c.records, f"{c.amount:.2f}"] for c in kept), key=repr)
        assert [[*c[:4]] for c in cells] == [[*c[:4]] for c in scanned]
    return scanned


@door
def report(s: Session, w: World, n: int) -> Any:
    asked = [
        Report(metrics=["office.deals"], by=["office.stage"]),
        Report(metrics=["office.value"], where=F("owner") == "u1"),
        Report(metrics=["office.deals"], where=F("salary") > n),
    ][n % 3]
    return s.use(Analytics).json(asked)


@door
def exported(s: Session, w: World, n: int) -> Any:
    fields = [(), ("name", "account.name", "stage"), ("name", "salary"), ("name", "phone")][n % 4]
    path = w.folder / f"deals.{'csv' if n % 2 else 'jsonl'}"
    done = export(s, s.query(Deal).order_by(Deal.name), path, fields=fields)
    return [done.rows, done.withheld, list(done.fields), path.read_text(encoding="utf-8")]


@door
def imported_dry(s: Session, w: World, n: int) -> Any:
    path = w.folder / "deals.csv"
    account, deal = _pick(w, Account, n), _pick(w, Deal, n)
    path.write_text(f"id,name,account,amount\n{deal.code[2:]},{deal.name},{account.name},5\n", encoding="utf-8")
    fields = {"name": "name", "account": {"column": "account", "lookup": "name"}, "amount": {"column": "amount", "currency": "EUR"}}
    mapping = mapping_of({"match": "name", "fields": fields} if n % 2 else {"key": "x:{id}", "fields": fields})
    found = Importer(s.crm, s.actor, mapping, entity="office.deal").run(path, dry_run=True, within=s)
    return [found.created, found.updated, found.failed, [f.error.problem() for f in found.failures]]


@door
def labels_and_schema(s: Session, w: World, n: int) -> Any:
    return [sorted(s.people), [(a.name, a.allowed) for a in s.actions(_forged(_pick(w, Deal, n)))]]


@door
def performed_on_what_is_not_there(s: Session, w: World, n: int) -> Any:
    found = w.unseen and [r for r in w.unseen if type(r) is Deal]
    return s.perform(Close(deal=Ref(Deal, found[n % len(found)].id if found else GHOST)))


def _unseen(w: World, entity: type[Any], n: int) -> str:
    found = w.of(entity, w.unseen)
    return found[n % len(found)].id if found else GHOST


_each("update unseen", lambda s, w, n, e: s.update(e, _unseen(w, e, n), {"owner": s.actor.id}))
_each("stale update unseen", lambda s, w, n, e: s.update(e, _unseen(w, e, n), {"owner": s.actor.id}, version=7))
_each("delete unseen", lambda s, w, n, e: s.delete(Ref(e, _unseen(w, e, n))))


@door
def refer_to_unseen(s: Session, w: World, n: int) -> Any:
    return s.create(Deal(name="x", account=Ref(Account, _unseen(w, Account, n)), amount=Money(1, "EUR")))


@door
def share_unseen(s: Session, w: World, n: int) -> Any:
    found = w.of(Deal, w.unseen)
    return s.share(_forged(found[n % len(found)]), f"user:{s.actor.id}", "read") if found else s.get(Deal, GHOST)


@door
def link_unseen(s: Session, w: World, n: int) -> Any:
    found, mine = w.of(Deal, w.unseen), w.of(Account, w.visible)
    return s.link(beside, mine[n % len(mine)], _forged(found[n % len(found)])) if found and mine else s.get(Deal, GHOST)


@door
def define_a_role(s: Session, w: World, n: int) -> Any:
    return s.define_role(Role("own").allow(Deal, "read"))


@door
def elevated_outside_a_plugin(s: Session, w: World, n: int) -> Any:
    with s.elevated("because") as e:
        return e.query(Deal).count()
