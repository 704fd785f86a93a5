"""What a session does with its tenant's settings, roles and suppressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .arguments import check, check_entity, check_many, check_text
from .entities.entity import Entity
from .errors import Invalid
from .messages import redact
from .permissions.role_codec import role_to_json
from .permissions.roles import Role
from .scope import Scope, once
from .secrets import Secret
from .storage.door import typed_errors

if TYPE_CHECKING:
    from .custom_fields.service import CustomFieldAdmin

S = TypeVar("S")


@typed_errors
class TenantSession(Scope):
    """The part of a session that deals with what its tenant decided."""

    @once
    def _kept_settings(self) -> dict[type[Any], tuple[int | None, Any]]:
        """What was read, and at which epoch of the transaction."""
        return {}

    @property
    def custom_fields(self) -> CustomFieldAdmin:
        """The custom fields of this tenant: see, add, change, retire them."""
        from .custom_fields.service import CustomFieldAdmin

        return CustomFieldAdmin(cast("Any", self))

    def json_schema(self, entity: type[Entity], locale: str = "en") -> dict[str, Any]:
        """Return the JSON Schema of an entity's plain form as :meth:`CRM.json_schema`, with the custom fields that the actor may read."""
        from .describe import json_schema

        check_entity(entity)
        return json_schema(self.crm, entity, locale, self.readable_custom(entity))

    def settings(self, cls: type[S]) -> S:
        """Return a plugin's settings in this tenant."""
        check(cls, type, "a class of settings")
        epoch, found = self._kept_settings.get(cls, (None, None))
        if epoch != self._unit.epoch:
            found = self.crm.settings.get(self, cls)
            self._kept_settings[cls] = (self._unit.epoch, found)
        return cast("S", found)

    def change_settings(self, cls: type[S], changes: Mapping[str, Any]) -> S:
        """Change some of a plugin's settings in this tenant, given as plain JSON. Needs the permission ``<plugin>.settings``."""
        check(cls, type, "a class of settings")
        if not isinstance(changes, Mapping):
            raise Invalid("wrong_type", field="changes", given=redact(changes), expected="object")
        return self._keyed("change_settings", (cls, changes), lambda: self.crm.settings.change(self, cls, changes), returns=cls)

    def reset_settings(self, cls: type[S], *names: str) -> S:
        """Let the defaults count again for some of a plugin's settings in this tenant. Needs the permission ``<plugin>.settings``."""
        check(cls, type, "a class of settings")
        check_text(*names)
        return self._keyed("reset_settings", (cls, names), lambda: self.crm.settings.reset(self, cls, names), returns=cls)

    def secret(self, secret: Secret) -> str:
        """Read the secret that a setting refers to; keep it no longer than it is needed.

        Raises:
            Unavailable: ``secret_missing``.
        """
        check(secret, Secret, "a Secret, as settings have it")
        return secret.read(self.crm.secrets, tenant=self.actor.tenant)

    def define_role(self, role: Role) -> None:
        """Define a role of this tenant, as data. Needs the permission ``core.roles``; it counts from the next session on."""
        check(role, Role, "a Role")
        self._keyed("define_role", role_to_json(role), lambda: self.crm.roles.put(self, role))

    def remove_role(self, name: str) -> None:
        """Take a role of this tenant away."""
        check_text(name)
        self._keyed("remove_role", name, lambda: self.crm.roles.remove(self, name))

    def blocked(self, entity: type[Entity], ids: Iterable[str]) -> frozenset[str]:
        """Return which of some records are of people who must not be written to: restricted, or with an address that is suppressed.

        Whoever sends asks it, whatever the actor sees of the addresses; see :mod:`crm_core.privacy`.
        """
        from .privacy.suppression import blocked

        check_entity(entity)
        check_many(ids, "an iterable of ids")
        return blocked(cast("Any", self), entity, list(ids))
