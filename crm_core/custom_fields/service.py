"""What a tenant's administrator does with custom fields: ``session.custom_fields``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..arguments import check_entity, check_text
from ..entities.custom_field import CustomField
from ..entities.custom_kind import PREFIX, CustomKind
from ..entities.meta import logical_table, spec
from ..errors import Conflict, Invalid, NotFound, WrongArgument
from .definition import MOST_OPTIONS
from .emptying import emptied

if TYPE_CHECKING:
    from ..entities.custom_columns import CustomColumn
    from ..entities.entity import Entity
    from ..session import Session

Label = str | Mapping[str, str]
Bound = int | Decimal | date | datetime | str


class CustomFieldAdmin:
    """The custom fields of the session's tenant. Each verb is a change of a ``CustomField``, and needs the rights on it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self,
        entity: type[Entity],
        name: str,
        *,
        kind: CustomKind | str = CustomKind.TEXT,
        label: Label = "",
        options: Sequence[str] | Mapping[str, Label] = (),
        target: type[Entity] | None = None,
        currency: str | None = None,
        required: bool = False,
        unique: bool = False,
        min: Bound | None = None,
        max: Bound | None = None,
        pattern: str | None = None,
        length: int = 255,
        scale: int = 6,
        position: int = 0,
        classified: str = "internal",
        readers: Sequence[str] = (),
        writers: Sequence[str] = (),
    ) -> CustomField:
        """Add a field to an entity; it is there at once, without a change of any table.

        Args:
            name: small letters, digits and ``_``, at most 40; its values are ``record.custom[name]``.
            kind: ``text``, ``integer``, ``decimal``, ``boolean``, ``date``, ``instant``, ``choice``, ``money``, ``reference``,
                ``url`` or ``email``.
            label: what people call it, in English or by locale: ``{"en": "Region", "zh": "区域"}``.
            options: of a choice: its values, each with a label where given.
            target: the entity that a reference points at.
            currency: of all amounts of a money field, by ISO 4217.
            required: new records need a value.
            unique: no two living records share a value.
            min, max: inclusive bounds of numbers, dates and instants.
            pattern: a regular expression that a text must match as a whole.
            length: most characters of a text, at most 500.
            scale: digits after the point of a decimal or an amount, at most 9.
            position: where it stands among the fields; the least first.
            classified: ``public``, ``internal``, or ``personal``: kept apart in the journal, and emptied when the person is erased.
            readers, writers: names of the roles that may read (write) it; all that may read (write) the record, where empty.

        Raises:
            Denied: the actor may not create a ``CustomField``.
            Invalid: something of it does not fit; ``custom_too_many``: the entity has 100 fields of the tenant.
            Conflict: there is one of this name, living or retired.
        """
        check_entity(entity)
        return self._session.create(
            CustomField(
                entity=spec(entity).name,
                name=name,
                kind=kind_of(kind),
                label=labels(label),
                options=choices(options),
                target=None if target is None else spec(target).name,
                currency=currency,
                required=required,
                unique=unique,
                least=text_of(min),
                most=text_of(max),
                pattern=pattern,
                length=length,
                scale=scale,
                position=position,
                classified=classified,
                readers=list(readers),
                writers=list(writers),
            )
        )

    def list(self, entity: type[Entity] | None = None, *, retired: bool = False) -> list[CustomField]:
        """Return the definitions that the actor may read, in their order; retired ones too where asked."""
        query = self._session.query(CustomField)
        if entity is not None:
            query = query.where(CustomField.entity == spec(entity).name)
        if not retired:
            query = query.where(CustomField.retired.is_(False))
        return query.order_by(CustomField.entity, CustomField.position, CustomField.name).all()

    def get(self, entity: type[Entity], name: str) -> CustomField:
        """Return a definition, living or retired.

        Raises:
            NotFound: there is none for this actor.
        """
        check_entity(entity)
        check_text(name)
        found = self._session.query(CustomField).where(CustomField.entity == spec(entity).name, CustomField.name == name).first()
        if found is None:
            raise NotFound(entity=spec(CustomField).name)
        return found

    def change(self, entity: type[Entity], name: str, /, **changes: Any) -> CustomField:
        """Change what a field is called, offers, demands or who may see it; its name, kind and target stay.

        Args:
            changes: as :meth:`add` takes them.
        """
        read = {"label": labels, "options": choices, "min": text_of, "max": text_of, "readers": list, "writers": list}
        named = {"min": "least", "max": "most"}
        given: dict[str, Any] = {named.get(n, n): read[n](v) if n in read else v for n, v in changes.items()}
        return self._session.update(CustomField, self.get(entity, name).id, given)

    def retire(self, entity: type[Entity], name: str) -> CustomField:
        """Take a field out of use: it is as unknown as one that was never there, and its values are kept."""
        return self._session.update(CustomField, self.get(entity, name).id, {"retired": True})

    def restore(self, entity: type[Entity], name: str) -> CustomField:
        """Put a retired field back, with its values."""
        return self._session.update(CustomField, self.get(entity, name).id, {"retired": False})

    def delete(self, entity: type[Entity], name: str, *, with_data: bool = False) -> int:
        """Delete a field for good, and empty it in all records; return in how many. History keeps what stood there.

        Args:
            with_data: on purpose: without it, a field that has values is not deleted.

        Raises:
            Denied: the actor may not delete the definition.
            Conflict: ``custom_has_data``.
        """
        return self._session._keyed("custom_fields.delete", (entity, name, with_data), lambda: self._delete(entity, name, with_data))

    def _delete(self, entity: type[Entity], name: str, with_data: bool) -> int:
        definition = self.get(entity, name)
        with self._session._unit.atomic():
            self._session.pipeline.delete(CustomField, [definition.id])
            with self._session._elevated_core(f"custom field deleted: {definition.key}") as core:
                count = emptied(core, definition, dry=not with_data)
            if count and not with_data:
                raise Conflict("custom_has_data", field=definition.key, count=count)
        return count

    def column(self, entity: type[Entity], name: str) -> CustomColumn:
        """Return a field as a column for ``session.execute(select(...))``, on an entity or an alias of it.

        Raises:
            Invalid: ``unknown_field``: it is not there, or not for this actor.
        """
        from ..entities.columns import entity_table
        from ..entities.custom_columns import CustomColumn

        table: Any = entity.__clause_element__() if hasattr(entity, "__clause_element__") else logical_table(entity)
        base: Any = entity_table(table)
        field = self._session.readable_custom(base.entity).get(f"{PREFIX}{name}")
        if field is None:
            raise Invalid("unknown_field", field=f"{PREFIX}{name}"[:60])
        return CustomColumn(field, table.c.id)


def kind_of(kind: CustomKind | str) -> CustomKind:
    """Read a kind.

    Raises:
        Invalid: ``bad_enum``.
    """
    try:
        return CustomKind(kind)
    except ValueError:
        raise Invalid("bad_enum", given=str(kind)[:40], allowed=[k.value for k in CustomKind]) from None


def labels(label: Label) -> dict[str, Any]:
    """Write a label by locale."""
    return ({"en": label} if label else {}) if isinstance(label, str) else dict(label)


def choices(options: Sequence[str] | Mapping[str, Label]) -> list[Any]:
    """Write the options of a choice."""
    if isinstance(options, str):
        raise WrongArgument(given="a text", expected="the values of a choice, not one text")
    named = options.items() if isinstance(options, Mapping) else ((value, "") for value in options)
    return [{"value": value, "label": labels(label)} for value, label in islice(named, MOST_OPTIONS + 1)]


def text_of(bound: Bound | None) -> str | None:
    """Write a bound."""
    return None if bound is None else bound.isoformat() if isinstance(bound, date) else str(bound)
