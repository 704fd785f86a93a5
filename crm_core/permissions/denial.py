"""The errors of what an actor may not do: a plugin's own actor is told which grant its plugin does not declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..entities.fields import Ref
from ..entities.meta import spec
from ..errors import Denied, NotFound
from .roles import ACTIONS

if TYPE_CHECKING:
    from ..scope import Scope


def denied(session: Scope, action: str, entity: str = "") -> Denied:
    """Make the error of *action*, one on records of *entity* or a permission."""
    return Denied(action=action, entity=entity, **_missing(session, action, entity))


def not_found(session: Scope, entity: type[Any], id: Any) -> NotFound:
    """Make the error of a record that is not there; what cannot be an id at all is named by its type."""
    name = spec(entity).name
    return unseen(session, NotFound(entity=name) if isinstance(id, str | Ref) else NotFound(entity=name, given=type(id).__name__))


def unseen(session: Scope, error: NotFound) -> NotFound:
    """Add to the error of a record that is not there what a plugin lacks to see any of its entity."""
    error.params |= _missing(session, "read", error.params["entity"])
    return error


def _missing(session: Scope, action: str, entity: str) -> dict[str, Any]:
    plugin, roles = session.actor.plugin, session.policy.roles
    covered = any(role.allows(action, entity) or role.permits_alone(action) for role in roles)
    return {} if not plugin or covered else {"plugin": plugin, "grant": f"{entity}:{action}" if action in ACTIONS else action}
