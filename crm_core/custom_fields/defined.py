"""What a tenant defined: its custom fields by entity, read at most once a second, and at once by whoever changed them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import select

from ..entities.custom import KINDS, CustomSpec
from ..entities.custom_field import CustomField
from ..entities.custom_kind import PREFIX, CustomKind
from ..entities.fields import CLASSIFICATIONS, FieldOptions
from ..entities.tenant_codec import TenantCodec
from ..permissions.prepared import driver_rows
from ..storage.custom_values import claim, fill
from .definition import bound, check_definitions

if TYPE_CHECKING:
    from ..crm import CRM
    from ..entities.codec import Codec
    from ..hooks.core_specs import Change
    from ..permissions.policy import Policy
    from ..permissions.roles import FieldLevel
    from ..scope import Scope
    from ..session import Session

FRESH_SECONDS = 1.0
Row = tuple[Any, ...]
_NONE: Mapping[str, CustomSpec] = {}


class TenantFields:
    """The custom fields of one tenant, as they were defined at one moment."""

    def __init__(self, crm: CRM, definitions: Sequence[CustomField]) -> None:
        self._crm = crm
        self._entities: dict[type[Any], dict[str, CustomSpec]] = {}
        for definition in sorted(definitions, key=lambda d: (d.position, d.name)):
            entity = crm.named_entity(definition.entity)
            target = crm.named_entity(definition.target) if definition.target else None
            # A plugin that is not here any more takes the fields of its entities along, until it comes back.
            if entity is not None and (target is not None or definition.kind is not CustomKind.REFERENCE):
                found = spec_of(definition, target)
                self._entities.setdefault(entity, {})[found.name] = found
        self._codecs = {e: TenantCodec(crm.codec(e), fields) for e, fields in self._entities.items()}
        self._levels: WeakKeyDictionary[Policy, dict[type[Any], dict[str, FieldLevel]]] = WeakKeyDictionary()
        self._seen: WeakKeyDictionary[Policy, str] = WeakKeyDictionary()

    def __bool__(self) -> bool:
        return bool(self._entities)

    @property
    def entities(self) -> Mapping[type[Any], Mapping[str, CustomSpec]]:
        """The fields by their names as ``custom.<name>``, by entity."""
        return self._entities

    def codec(self, entity: type[Any]) -> Codec:
        """Return an entity's codec, with the tenant's fields where it has any."""
        return self._codecs.get(entity) or self._crm.codec(entity)

    def references(self, target: type[Any]) -> Iterator[tuple[type[Any], CustomSpec]]:
        """Yield the tenant's fields that point at an entity, with the entity that has each."""
        yield from ((e, f) for e, fields in self._entities.items() for f in fields.values() if f.target is target)

    def levels(self, policy: Policy, entity: type[Any]) -> dict[str, FieldLevel]:
        """Return the levels of an entity's fields that are not simply writable, the tenant's own among them."""
        if entity not in self._entities:
            return policy.fields(entity)
        known = self._levels.setdefault(policy, {})
        if entity not in known:
            mine = {n: _level(policy, entity, f) for n, f in self._entities[entity].items()}
            known[entity] = policy.fields(entity) | {n: level for n, level in mine.items() if level != "write"}
        return known[entity]

    def readable(self, policy: Policy, entity: type[Any]) -> Mapping[str, CustomSpec]:
        """Return the tenant's fields of an entity that may be read."""
        fields = self._entities.get(entity)
        if fields is None:
            return _NONE
        levels = self.levels(policy, entity)
        return {n: f for n, f in fields.items() if levels.get(n, "write") != "none"}

    def seen(self, policy: Policy) -> str | None:
        """Return which fields may be read, as statements are told; None where the tenant has none."""
        if not self._entities:
            return None
        if policy not in self._seen:
            readable = {e: self.readable(policy, e).values() for e in self._entities}
            names = {f"{self._crm.codec(e).facts.name}.{f.short}:{f.form}": f.id for e, fields in readable.items() for f in fields}
            self._seen[policy] = json.dumps(names)
        return self._seen[policy]


class CustomFields:
    """The custom fields of all tenants of one CRM, as ``crm.custom_fields``. Another process sees a change within a second."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._known: dict[str, tuple[float, list[Row], TenantFields]] = {}
        self._none = TenantFields(crm, ())

    def of(self, scope: Scope) -> TenantFields:
        """Return the custom fields of a session's tenant, as its transaction sees them."""
        tenant = scope.actor.tenant
        now = self._crm.runtime.clock.monotonic()
        known = self._known.get(tenant)
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[2]
        table = self._crm.tables.entities[CustomField]
        columns, load = self._crm.codec(CustomField).loader(self._crm.codec(CustomField).every)
        wanted = select(*(table.c[c] for c in columns)).where(table.c.tenant == tenant, table.c.deleted_at.is_(None), ~table.c.retired)
        rows = sorted((tuple(row) for row in driver_rows(scope._unit.connection.execute(wanted))), key=lambda row: str(row[0]))
        same = known is not None and rows == known[1]
        found = known[2] if known is not None and same else TenantFields(self._crm, list(map(load, rows))) if rows else self._none
        # What a transaction wrote and may yet undo is its own sessions' alone.
        if same or not (scope._unit.joined or scope._unit.wrote) or (known is None and not rows):
            self._known[tenant] = (now, rows, found)
        return found

    def fill(self, scope: Scope, codec: Codec, records: Sequence[Any]) -> None:
        """Read the custom values of whole records, whoever may see them."""
        fill(scope._unit.connection, self._crm.tables.system.custom_value, codec, records)

    def check(self, session: Session, op: str, changes: Sequence[Change]) -> None:
        """Check definitions on their way into the database, and name them so that there is one of each."""
        check_definitions(session, op, changes)

    def changed(self, session: Session, changes: Sequence[Change]) -> None:
        """Look at the definitions anew: this transaction now, others when they can see it."""
        session._unit.defines = True
        self.forget(session.actor.tenant)
        table, connection = self._crm.tables.system.custom_value, session._unit.connection
        for change in changes:
            definition = cast("CustomField", change.record)
            entity = self._crm.named_entity(definition.entity)
            if change.old is not None and "unique" in change.fields and entity is not None:
                claim(connection, table, self._crm.tables.entities[entity], definition.id, unique=definition.unique)

    def forget(self, tenant: str) -> None:
        """Read a tenant's definitions again at the next look."""
        known = self._known.get(tenant)
        if known is not None:
            self._known[tenant] = (float("-inf"), *known[1:])


def spec_of(definition: CustomField, target: type[Any] | None) -> CustomSpec:
    """Return the field that a definition makes."""
    kind, type_ = KINDS[definition.kind]
    level = CLASSIFICATIONS.index(definition.classified)
    options = FieldOptions(
        default=None,
        label=definition.label.get("en", ""),
        length=definition.length if kind == "str" else None,
        scale=definition.scale,
        min=bound(kind, definition.least),
        max=bound(kind, definition.most),
        unique=definition.unique,
        index=True,
        on_delete="protect" if definition.required else "set_null",
        classified=CLASSIFICATIONS[level],
        pii=level >= CLASSIFICATIONS.index("personal"),
    )
    return CustomSpec(
        f"{PREFIX}{definition.name}", kind, type_, True, options, f"{PREFIX}{definition.name}",
        target=None if target is None else lambda: target, id=definition.id, short=definition.name, said=definition.kind,
        currency=definition.currency or "", must=definition.required,
        choices={o["value"]: o.get("label", {}) for o in definition.options}, words=definition.label,
        pattern=None if definition.pattern is None else re.compile(definition.pattern),
        readers=frozenset(definition.readers), writers=frozenset(definition.writers),
    )  # fmt: skip


def _level(policy: Policy, entity: type[Any], field: CustomSpec) -> FieldLevel:
    """Return what a policy gives of a field: what its roles say of it, and no more than the field says of roles."""
    level = policy.custom_level(entity, field.name)
    roles = {role.name for role in policy.roles}
    if policy.sees_all:
        return "write"
    if level == "masked" or (field.readers and field.readers.isdisjoint(roles | field.writers & roles)):
        return "none"
    return "read" if level == "write" and field.writers and field.writers.isdisjoint(roles) else level
