"""The errors of what an actor may not do: a plugin's own actor is told which grant its plugin does not declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..entities.fields import Ref
from ..entities.meta import spec
from ..errors import Denied, NotFound
from .roles import ACTIONS

ID_LENGTH = 36

if TYPE_CHECKING:
    from ..scope import Scope


def denied(session: Scope, action: str, entity: str = "") -> Denied:
    """Make the error of *action*, one on records of *entity* or a permission."""
    return Denied(action=action, entity=entity, **_missing(session, action, entity))


def not_found(session: Scope, entity: type[Any], id: Any) -> NotFound:
    """Make the error of a record that is not there; what cannot be an id is named by its type, a host's key by what makes the id of it."""
    adopted = entity in session.crm.tables.adopted
    facts: dict[str, Any] = {}
    is_id = isinstance(id, Ref) or (isinstance(id, str) and (len(id) == ID_LENGTH or not adopted))
    if not is_id and not isinstance(id, str):
        facts["given"] = type(id).__name__
    if not is_id and adopted:
        facts["call"] = f"crm.adoption.id({entity.__name__}, key)"
    return unseen(session, NotFound(entity=spec(entity).name, **facts))


def unseen(session: Scope, error: NotFound) -> NotFound:
    """Add to the error of a record that is not there what a plugin lacks to see any of its entity."""
    error.params |= _missing(session, "read", error.params["entity"])
    return error


def _missing(session: Scope, action: str, entity: str) -> dict[str, Any]:
    plugin, roles = session.actor.plugin, session.policy.roles
    covered = any(role.allows(action, entity) or role.permits_alone(action) for role in roles)
    return {} if not plugin or covered else {"plugin": plugin, "grant": f"{entity}:{action}" if action in ACTIONS else action}
