"""The customer 360 view: who a customer is, what happened with them, and what each plugin shows beside them, in one actor's sight."""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs

from .entities.customer import Account
from .entities.entity import Entity
from .entities.fields import Ref
from .entities.meta import spec
from .entities.money import Money
from .entities.validate import structure
from .errors import CRMError, Denied, Invalid, NotFound, NotReadable
from .events.journal import history, reconstruct
from .hooks.dispatch import run
from .logs import facts
from .masking import masked
from .messages import wordless
from .storage.failures import retryable
from .timeline import Timeline, timeline

if TYPE_CHECKING:
    from .hooks.parts import Panel
    from .session import Session

_log = logging.getLogger(__name__)


@attrs.frozen
class PanelView:
    """What one plugin shows beside a record.

    Attributes:
        name: the panel's: ``sales.open_deals``.
        plugin: whose it is.
        label: what people call it, in the actor's language.
        data: what it shows: records, values, and dicts and lists of them; None where the plugin failed.
        error: where it failed: the message that says so, in the actor's language.
    """

    name: str
    plugin: str
    label: str
    data: Mapping[str, Any] | None
    error: str | None = None


@attrs.frozen
class View360:
    """All that one actor may see around a record, at one instant. ``crm.to_json`` writes it as plain JSON.

    Attributes:
        record: who or what it is, without the fields that the actor may not read.
        at: as of when, where the view is of the past; None for now.
        timeline: the newest interactions and notes; :meth:`Session.timeline` goes on from its ``next``.
        panels: what the plugins show, in the order they load; of the past there are none.
        account: the view of the account that the record belongs to; None without one, or where the actor may not see it.
    """

    record: Entity
    at: datetime | None
    timeline: Timeline
    panels: tuple[PanelView, ...]
    account: View360 | None

    def panel(self, name: str) -> PanelView | None:
        """Return a panel by its name; None where there is none for this actor."""
        return next((p for p in self.panels if p.name == name), None)


def view360(session: Session, entity: type[Entity], id: str, size: int, at: datetime | None) -> View360:
    """Put the view of a record together; see :meth:`Session.view360`."""
    if at is not None and at.utcoffset() is None:
        raise Invalid("naive_datetime", field="at")
    record = session.get(entity, id)
    shown = record if at is None else _as_of(session, record, at)
    panels = () if at is not None else tuple(_panels(session, record))
    return View360(shown, at, timeline(session, record.id, size, None, at), panels, _account(session, shown, size, at))


def _account(session: Session, record: Entity, size: int, at: datetime | None) -> View360 | None:
    """Return the view of the account that a record's field ``account`` points at."""
    field = spec(type(record)).fields.get("account")
    ref = dict(record._items()).get("account") if field is not None and field.target is Account else None
    if ref is None:
        return None
    try:
        return view360(session, Account, ref.id, size, at)
    except NotFound:
        return None


def _as_of(session: Session, record: Entity, at: datetime) -> Entity:
    """Return a record that the actor sees today as the journal has it at an instant.

    Raises:
        NotFound: it was not there then.
    """
    crm, entity = session.crm, type(record)
    codec = session.codec(entity)
    name = codec.facts.name
    entries = history(session._unit.connection, crm.tables, session.actor.tenant, name, record.id)
    values = reconstruct(entries, at=at)
    if values is None:
        raise NotFound(entity=name)
    past = [e for e in entries if e.is_automatic and e.at <= at]
    nothing: dict[str, Any] = {f.name: None for f in codec.writable if f.extension is None and f.columns and f.options.init}
    then = entity(**nothing)
    for field in codec.writable:
        empty: Any = [] if field.kind == "list" else None
        known = field.column if field.extension else field.name
        codec.set(then, known, structure(name, field, values.get(known, empty)))
    then.id, then.tenant, then.version, then.deleted_at = record.id, session.actor.tenant, past[-1].version, None
    then.created_at, then.created_by = past[0].at, past[0].actor
    then.updated_at, then.updated_by = past[-1].at, past[-1].actor
    return session.reader.revealed(then)


# -- panels -----------------------------------------------------------------------------------------------------------------------


def _panels(session: Session, record: Entity) -> Iterator[PanelView]:
    health = session.hooks.registry.health
    for panel in session.hooks.registry.panels(type(record)):
        if health.is_off(panel.plugin, session.actor.tenant):
            continue
        view = _run(session, panel, record)
        if view is not None:
            yield view


def _run(session: Session, panel: Panel, record: Entity) -> PanelView | None:
    """Run one panel; None where the actor may not see it or it has nothing to say."""
    policy = session.policy
    if panel.reads and all(policy.is_nothing(policy.rule("read", e)) for e in panel.reads):
        return None
    label = session.messages.template(panel.label, session.actor.locale) or panel.label
    try:
        with _apart(session):
            data = run(session.hooks, panel, session.derive(plugin=panel.plugin), record)
            return None if data is None else PanelView(panel.name, panel.plugin, label, _seen(session, data))
    except (Denied, NotReadable):
        return None
    except Exception as e:
        if retryable(e):
            raise
        words = session.crm.registry.health.words
        extra = facts("panel_failed", plugin=panel.plugin, function=panel.name, error=type(e).__name__)
        _log.warning(
            "the panel %s failed%s", panel.name, "" if words else f": {wordless(e)}", exc_info=e if words else masked(e, None), extra=extra
        )
        return PanelView(panel.name, panel.plugin, label, None, _said(session, panel, e))


@contextmanager
def _apart(session: Session) -> Iterator[None]:
    """Keep a panel's failing statement from ending PostgreSQL's transaction, and its calls from being kept under the session's key."""
    with ExitStack() as stack:
        if session._unit.keyed is not None:
            stack.enter_context(session._unit.keyed.nested())
        if not session._unit.looks:
            stack.enter_context(session.savepoint())
        yield


def _said(session: Session, panel: Panel, error: Exception) -> str:
    reason = error.params.get("reason", error.code) if isinstance(error, CRMError) else type(error).__name__
    given = {"plugin": panel.plugin, "function": panel.name, "reason": reason}
    return session.messages.text("panel_failed", given, session.actor.locale)


def _seen(session: Session, data: Any) -> dict[str, Any]:
    """Return a panel's data with its records as the actor may see them, however the plugin read them.

    Raises:
        TypeError: it is no dict, or holds what cannot be shown.
    """
    if not isinstance(data, dict):
        raise TypeError(f"returned {type(data).__name__} instead of a dict")
    wanted: dict[type[Any], list[str]] = {}
    for record in _records(data):
        wanted.setdefault(type(record), []).append(record.id)
    found = {(e, r.id): r for e, ids in wanted.items() for r in session.query(e).where(e.id.in_(ids)).all()}
    shown: dict[str, Any] = _shown(data, found)
    return shown


def _records(value: Any) -> Iterator[Entity]:
    if isinstance(value, Entity):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _records(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _records(each)


def _shown(value: Any, found: Mapping[tuple[type[Entity], str], Entity]) -> Any:
    """Return a value with what the actor may not see taken out."""
    match value:
        case Entity():
            return found.get((type(value), value.id))
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise TypeError("returned a dict whose keys are not all texts")
            return {key: _shown(each, found) for key, each in value.items()}
        case list() | tuple():
            return [s for each in value if (s := _shown(each, found)) is not None or each is None]
        case None | bool() | int() | str() | Decimal() | Money() | date() | enum.Enum() | Ref():
            return value
        case float() if math.isfinite(value):
            return value
    raise TypeError(f"returned {type(value).__name__}, which cannot be shown")
