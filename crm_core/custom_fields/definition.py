"""What may be said of a custom field, and what of it stays as it is once there are values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import func, select

from ..entities.custom import KINDS
from ..entities.custom_field import CustomField
from ..entities.custom_kind import CustomKind
from ..entities.validate import one_line
from ..errors import Detail, Invalid
from ..messages import closest
from ..storage.custom_values import shared
from ..storage.writer import chunks
from .patterns import is_quick

if TYPE_CHECKING:
    from ..hooks.core_specs import Change
    from ..session import Session

MOST_FIELDS = 100
MOST_OPTIONS = 200
MOST_ROLES = 50
LONGEST_LABEL = 100
CLASSIFIED = ("public", "internal", "personal")  # reads of custom fields are not journalled, as those of sensitive ones must be
FIXED = ("entity", "name", "kind", "target", "currency", "scale")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LOCALE = re.compile(r"[a-z]{2,3}([_-][A-Za-z0-9]{2,8})*")
_BOUNDED = frozenset({"int", "decimal", "date", "datetime"})
_ENTITY = "custom_field"
Wrong = Iterator[Detail]


def check_definitions(session: Session, op: str, changes: Sequence[Change]) -> None:
    """Check definitions on their way into the database, and name them so that there is one of each.

    Raises:
        Invalid: ``details`` name all that does not fit.
    """
    if op == "delete":
        return
    wrong: list[Detail] = []
    for change in changes:
        definition = cast(CustomField, change.record)
        definition.key = f"{definition.entity}.{definition.name}"
        wrong += _problems(session, definition)
        wrong += _wrong_roles(session, change)
        if change.old is not None and "unique" in change.fields and definition.unique and _is_shared(session, definition):
            wrong.append(_detail("unique", "custom_not_unique", field=definition.key))
        if change.old is not None:
            wrong += (_detail(name, "custom_fixed") for name in FIXED if name in change.fields)
    wrong += _used_before(session, [cast(CustomField, c.record) for c in changes if c.old is None])
    _check_room(session, [cast(CustomField, c.record) for c in changes if c.old is None])
    if wrong:
        raise Invalid(details=wrong)


def _used_before(session: Session, new: Sequence[CustomField]) -> Wrong:
    """Name the fields that take over the name of one that was deleted, and are something else or for more readers.

    History keeps what stood under a name, and shows it to whoever may read the field of that name.
    """
    table = session.crm.tables.entities[CustomField]
    gone = select(*(table.c[n] for n in ("entity", "name", "kind", "target", "currency", "scale", "readers", "writers")))
    mine = (table.c.tenant == session.actor.tenant, table.c.deleted_at.is_not(None))
    names = {d.name for d in new}
    for part in chunks(sorted(names)):
        for old in session._unit.connection.execute(gone.where(*mine, table.c.name.in_(part))):
            for made in (d for d in new if (d.entity, d.name) == (old.entity, old.name)):
                same = all(getattr(made, n) == getattr(old, n) for n in ("kind", "target", "currency", "scale"))
                if not same or _opens(old, made):
                    yield _detail("name", "custom_name_used")


def _opens(old: Any, new: Any) -> bool:
    """Say whether somebody may read the new field who could not read the old one."""
    before, now = (set(f.readers) | set(f.writers) if f.readers else None for f in (old, new))
    return before is not None and (now is None or not now <= before)


def _detail(field: str, code: str, /, **params: Any) -> Detail:
    return Detail(_ENTITY, field, code, "", params)


def _problems(session: Session, definition: CustomField) -> Wrong:
    if not _NAME.fullmatch(definition.name):
        yield _detail("name", "custom_name")
    if not _may_have_fields(session, definition.entity):
        yield _detail("entity", "unknown_entity", given=definition.entity[:60])
    if (definition.kind is CustomKind.REFERENCE) != bool(definition.target):
        yield _detail("target", "custom_target")
    elif definition.target and not _is_known(session, definition.target):
        yield _detail("target", "unknown_entity", given=definition.target[:60])
    if (definition.kind is CustomKind.MONEY) != bool(definition.currency):
        yield _detail("currency", "custom_money")
    if definition.classified not in CLASSIFIED:
        yield _detail("classified", "bad_enum", allowed=", ".join(CLASSIFIED))
    yield from _wrong_label("label", definition.label)
    yield from _wrong_options(definition)
    yield from _wrong_bounds(definition)
    if definition.pattern is not None and (definition.kind is not CustomKind.TEXT or not is_quick(definition.pattern)):
        yield _detail("pattern", "custom_pattern")


def _wrong_roles(session: Session, change: Change) -> Wrong:
    """Names that were right when they were given stay, whatever became of the roles."""
    for name in ("readers", "writers"):
        roles = getattr(change.record, name)
        if len(roles) > MOST_ROLES or not all(isinstance(role, str) and 0 < len(role) <= 255 for role in roles):
            yield _detail(name, "custom_roles", limit=MOST_ROLES)
        elif change.old is None or name in change.fields:
            known = session.crm.policies.names(session.actor.tenant)
            for role in sorted(set(roles) - set(known)):
                yield _detail(name, "custom_role_unknown", given=role[:60], suggestion=closest(role, known))


def _is_shared(session: Session, definition: CustomField) -> bool:
    tables, entity = session.crm.tables, session.crm.named_entity(definition.entity)
    if entity is None:
        return False
    return shared(session._unit.connection, tables.system.custom_value, tables.entities[entity], definition.id)


def _may_have_fields(session: Session, name: str) -> bool:
    return name != _ENTITY and _is_known(session, name)


def _is_known(session: Session, name: str) -> bool:
    """Say whether there is such an entity for this actor: one of which they may read nothing is none."""
    entity, policy = session.crm.named_entity(name), session.policy
    return entity is not None and not policy.is_nothing(policy.rule("read", entity))


def _wrong_label(field: str, label: Any) -> Wrong:
    good = isinstance(label, dict) and all(
        isinstance(locale, str) and _LOCALE.fullmatch(locale) and isinstance(text, str) and len(text) <= LONGEST_LABEL and one_line(text)
        for locale, text in label.items()
    )
    if not good:
        yield _detail(field, "custom_label", limit=LONGEST_LABEL)


def _wrong_options(definition: CustomField) -> Wrong:
    options = definition.options
    if definition.kind is not CustomKind.CHOICE:
        if options:
            yield _detail("options", "custom_options", limit=MOST_OPTIONS)
        return
    values = [o.get("value") if isinstance(o, dict) and not o.keys() - {"value", "label"} else None for o in options]
    texts = [v for v in values if isinstance(v, str) and 0 < len(v) <= LONGEST_LABEL and one_line(v)]
    if not 0 < len(options) <= MOST_OPTIONS or len(set(texts)) != len(options):
        yield _detail("options", "custom_options", limit=MOST_OPTIONS)
        return
    for n, option in enumerate(options):
        yield from _wrong_label(f"options[{n}].label", option.get("label", {}))


def _wrong_bounds(definition: CustomField) -> Wrong:
    kind, _ = KINDS[definition.kind]
    found: dict[str, Any] = {}
    for name in ("least", "most"):
        text = getattr(definition, name)
        if text is not None:
            try:
                found[name] = bound(kind, text) if kind in _BOUNDED else None
            except (ValueError, InvalidOperation):
                found[name] = None
            if found[name] is None:
                yield _detail(name, "custom_bound")
    if len(found) == 2 and None not in found.values() and found["least"] > found["most"]:
        yield _detail("most", "custom_bound")


def bound(kind: str, text: str | None) -> Any:
    """Read a bound of numbers, dates or instants.

    Raises:
        ValueError, InvalidOperation: it is none.
    """
    if text is None:
        return None
    match kind:
        case "int":
            return int(text)
        case "decimal":
            number = Decimal(text)
            return number if number.is_finite() else None
        case "date":
            return date.fromisoformat(text)
        case "datetime":
            instant = datetime.fromisoformat(text)
            return instant if instant.tzinfo is not None else None
    return None


def _check_room(session: Session, new: Sequence[CustomField]) -> None:
    table = session.crm.tables.entities[CustomField]
    mine = (table.c.tenant == session.actor.tenant, table.c.deleted_at.is_(None))
    for entity in sorted({d.entity for d in new}):
        counted = select(func.count()).select_from(table).where(*mine, table.c.entity == entity)
        known = int(session._unit.connection.execute(counted).scalar_one())
        if known + sum(d.entity == entity for d in new) > MOST_FIELDS:
            raise Invalid("custom_too_many", entity=entity[:60], limit=MOST_FIELDS)
