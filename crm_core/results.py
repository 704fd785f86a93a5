"""What an action returns, shown as the actor of a session may see it: its records are read again, wherever they stand in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from .entities.entity import Entity
from .entities.fields import Ref
from .entities.money import Money

if TYPE_CHECKING:
    from .session import Session


def shown(session: Session, result: Any) -> Any:
    """Return a result with each record as the actor may see it: None in place of a hidden one, which a list leaves out."""
    if isinstance(result, Entity):
        return session.seen(result)
    if type(result) in (list, tuple):
        return type(result)(s for r in result if (s := shown(session, r)) is not None or r is None)
    if type(result) is dict:
        return {key: shown(session, each) for key, each in result.items()}
    if attrs.has(type(result)) and not isinstance(result, Ref | Money):
        parts = ((a.alias or a.name, getattr(result, a.name)) for a in attrs.fields(type(result)) if a.init)
        changed = {name: s for name, each in parts if _has_records(each) and (s := shown(session, each)) is not each}
        return attrs.evolve(result, **changed) if changed else result
    return result


def _has_records(value: Any) -> bool:
    if type(value) in (list, tuple):
        return any(map(_has_records, value))
    if type(value) is dict:
        return any(map(_has_records, value.values()))
    return isinstance(value, Entity) or (attrs.has(type(value)) and not isinstance(value, Ref | Money))
