"""One entity in one CRM: validation, rows for the driver, records from rows, plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

import attrs

from ..errors import CRMError, Detail, Invalid
from .activity import Link
from .custom_kind import PREFIX
from .fields import FieldSpec
from .generated import Generator
from .meta import EntitySpec, extension_fields, spec
from .sealing import Unseal
from .validate import plain, problems, withheld
from .values import normalise_values

Loader = Callable[[Sequence[Any]], Any]


class Codec:
    """One entity's fields and functions in one CRM.

    Attributes:
        fields: its fields by name, the extensions' under their column's name.
        columns: the physical columns in row order.
        every: the names of all fields, for :meth:`loader`.
        read_only: the names of those that only their plugin sets.
        references: the names of its fields that point at records.
        lists: the names of its embedded lists.
        links: those of them that point at records of any entity.
        points: the names of its fields that hold the id of a record of any entity, with those that name the entity.
        sealed: its sealed fields, with their places in ``columns``.
        stored: the columns that are written: ``columns``, then the blind indexes of the sealed fields.
        subject_field: the reference to whom its sealed and personal values are about; None for itself.
        personal: whether the journal keeps any of its values apart.
        to_row: makes a driver's row, in the order of ``columns``, of a whole record.
        copy: makes an independent record of a whole one, with the same values.
        journalled: gives the plain values that the journal keeps of a whole record, and the personal ones apart; without None and
            empty lists.
    """

    def __init__(self, entity: type[Any], extensions: Sequence[type[Any]], dialect: str, unseal: Unseal | None = None) -> None:
        self.entity = entity
        self.extensions = tuple(extensions)
        self.facts: EntitySpec = spec(entity)
        own = list(self.facts.fields.values())
        added = [f for e in extensions for f in extension_fields(e).values()]
        self.fields: dict[str, FieldSpec] = {f.name: f for f in own} | {f.column: f for f in added}
        self.columns: tuple[str, ...] = tuple(c for f in self.fields.values() for c in f.columns)
        self.every = frozenset(self.fields)
        self.writable = tuple(f for f in self.fields.values() if not f.system)
        self.read_only = frozenset(n for n, f in self.fields.items() if f.options.read_only)
        self.references = tuple(n for n, f in self.fields.items() if f.kind == "ref")
        self.lists = tuple(n for n, f in self.fields.items() if f.kind == "list")
        self.links = tuple(n for n in self.lists if self.fields[n].type is Link)
        self.points: Mapping[str, str] = entity.__dict__.get("__points__", {})
        self.sealed = tuple((self.columns.index(f.column), f) for f in self.fields.values() if f.options.sealed)
        self.stored = (*self.columns, *(f.blind_column for _, f in self.sealed if f.blind_column))
        self.personal = any(f.apart for f in self.fields.values())
        self.subject_field = self.fields[subject] if (subject := entity.__dict__.get("__subject__")) else None
        self._normalised = tuple(n for n in self.lists if hasattr(self.fields[n].type, "normalised"))
        self._generator = Generator(entity, self.extensions, self.fields, dialect, unseal)
        self._loaders: dict[frozenset[str], tuple[tuple[str, ...], Loader]] = {}
        self.to_row = self._generator.to_row()
        self.copy = self._generator.copy()
        self.journalled = self._generator.journalled()
        self._values = self._generator.values()
        self._sound = self._generator.sound()
        self._given = self._generator.given()
        self._owner = 1 << list(self.fields).index("owner") if "owner" in self.fields else 0
        self._named = lru_cache(1024)(self._names)

    # -- values of a record -------------------------------------------------------------------------------------------------------

    def get(self, record: Any, name: str) -> Any:
        """Read a field by its name here (extensions' by column)."""
        field = self.fields[name]
        return getattr(record if field.extension is None else record[field.extension], field.name)

    def set(self, record: Any, name: str, value: Any) -> None:
        """Set a field by its name here."""
        field = self.fields[name]
        setattr(record if field.extension is None else record[field.extension], field.name, value)

    def values(self, record: Any) -> dict[str, Any]:
        """Return all set values by name."""
        try:
            return self._values(record)
        except CRMError:  # a slot is not set
            found = dict(record._items())
            for extension in self.extensions:
                fields = extension_fields(extension)
                found |= {fields[n].column: v for n, v in record[extension]._items()}
            return found

    def resealed(self, names: Collection[str]) -> Collection[str]:
        """Return what is sealed anew when the fields *names* change: everything sealed, where the record is about somebody else now."""
        if not self.sealed or self.subject_field is None or self.subject_field.name not in names:
            return ()
        return [n for n, f in self.fields.items() if f.options.sealed]

    def subject(self, record: Any) -> str:
        """Name whom a record's sealed and personal values are about: itself, or what its ``__subject__`` points at."""
        ref = None if self.subject_field is None else self.get(record, self.subject_field.name)
        return f"{self.facts.name}/{record.id}" if ref is None else f"{spec(ref.entity).name}/{ref.id}"

    def given(self, record: Any, owner: str) -> frozenset[str]:
        """Return the names of the fields that differ from their defaults; for the field ``owner``, *owner* is one too."""
        bits = self._given(record)
        if bits & self._owner and record.owner == owner:
            bits ^= self._owner
        return self._named(bits)

    def _names(self, bits: int) -> frozenset[str]:
        return frozenset(name for i, name in enumerate(self.fields) if bits >> i & 1)

    def check(self, record: Any, row: int | None = None, names: Collection[str] | None = None) -> list[Detail]:
        """Return all that is wrong with a record's fields (or the *names* among them)."""
        wrong = self.unknown(record, row) if record._custom else []
        return wrong if self._sound(record) else wrong + self.check_own(record, row, names)

    def check_own(self, record: Any, row: int | None, names: Collection[str] | None) -> list[Detail]:
        """Return what is wrong with the fields of the entity and its extensions."""
        wrong: list[Detail] = []
        for name, field in self.fields.items():
            if field.system or (names is not None and name not in names):
                continue
            value = self.get(record, name)
            if type(value) is str and value == "" and field.required:
                value = None
            wrong += problems(self.facts.name, field, value, row)
        return wrong

    def receive(self, record: Any) -> None:
        """Read the plain values that a new record has for custom fields; here there are none."""

    def unknown(self, record: Any, row: int | None = None) -> list[Detail]:
        """Name the values of a record that are in no custom field of its tenant."""
        names = (f"{PREFIX}{name}" for name in record._custom)
        return [Detail(self.facts.name, name[:60], "unknown_field", "", {}, row) for name in names if name not in self.fields]

    def normalise(self, record: Any, region: str, row: int | None = None, names: Collection[str] | None = None) -> list[Detail]:
        """Bring the items of embedded lists to their normal form, in place; return what cannot be."""
        wrong: list[Detail] = []
        for name in self._normalised if names is None else [n for n in self._normalised if n in names]:
            given = self.get(record, name)
            try:
                if given:
                    self.set(record, name, normalise_values(given, region))
            except Invalid as e:
                details = (withheld(self.fields[name], d) for d in e.details)
                wrong += [attrs.evolve(d, entity=self.facts.name, field=f"{name}{d.field}", row=row) for d in details]
        return wrong

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Turn values by name into plain JSON."""
        return {n: plain(self.fields[n], v) for n, v in values.items()}

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def loader(self, names: frozenset[str]) -> tuple[tuple[str, ...], Loader]:
        """Return the columns to select for *names*, and the function that makes a record of a driver's row of them.

        Fields outside *names* stay unset slots. Rows are the driver's own, whose values no type of SQLAlchemy has read.
        """
        found = self._loaders.get(names)
        if found is None:
            found = self._loaders[names] = self._generator.loader(names)
        return found
