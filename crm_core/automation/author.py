"""Whose rights a rule has: those its author had when it was written, as far as the author still has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import CRMError
from ..permissions.actor import Actor
from ..storage.kept import keep, restore

if TYPE_CHECKING:
    from ..session import Session


def captured(actor: Actor) -> dict[str, Any]:
    """Return an actor as plain JSON."""
    return {
        "id": actor.id,
        "kind": actor.kind,
        "roles": sorted(actor.roles),
        "teams": sorted(actor.teams),
        "attributes": {name: keep(value) for name, value in actor.attributes.items()},
        "locale": actor.locale,
        "timezone": actor.timezone,
    }


def revived(session: Session, runs_as: dict[str, Any]) -> Actor | None:
    """Return the author as an actor of today; None where there is no such user, or plugin, any more.

    Where the CRM has a directory, what it knows of the user counts, and of the roles of then those that the user still has. Without
    one, the host has nobody to ask, and the rights of then stay until somebody rewrites or stops the rule.
    """
    tenant, id, kind = session.actor.tenant, str(runs_as.get("id", "")), runs_as.get("kind")
    try:
        if kind == "system":
            return Actor.system(id.removeprefix("system:"), tenant=tenant)
        if kind == "service":
            plugin = id.removeprefix("plugin:")
            return Actor.service(session.crm.registry.plugin(plugin).name, tenant=tenant)
        return _user(session, id, runs_as)
    except (CRMError, LookupError, TypeError):  # what a hand wrote into the table is nobody
        return None


def _user(session: Session, id: str, runs_as: dict[str, Any]) -> Actor | None:
    tenant, directory = session.actor.tenant, session.crm.directory
    then = Actor(
        id,
        tenant=tenant,
        roles=runs_as["roles"],
        teams=runs_as["teams"],
        attributes={name: restore(value, Any, session) for name, value in runs_as["attributes"].items()},
        locale=runs_as["locale"],
        timezone=runs_as["timezone"],
    )
    if directory is None:
        return then
    user, now = session.people.get(id), directory.actor(tenant, id)
    if user is None or not user.active or now is None or (now.id, now.tenant, now.kind) != (id, tenant, "user"):
        return None
    return Actor(
        id,
        tenant=tenant,
        roles=then.roles & now.roles,
        teams=now.teams,
        attributes=now.attributes,
        locale=now.locale,
        timezone=now.timezone,
    )
