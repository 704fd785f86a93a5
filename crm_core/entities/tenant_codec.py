"""One entity in one tenant: the codec of the CRM, and the custom fields that the tenant's administrator added."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..errors import Detail
from .codec import Codec
from .custom import CustomSpec, CustomValues
from .custom_kind import PREFIX
from .validate import plain


class TenantCodec(Codec):
    """A codec whose ``fields`` have the tenant's own too, as ``custom.<name>``. Rows are made as without them.

    Attributes:
        custom: the tenant's fields, by their names here.
    """

    def __init__(self, base: Codec, custom: Mapping[str, CustomSpec]) -> None:
        self.__dict__ |= base.__dict__
        self._base = base
        self.custom = dict(custom)
        self.fields = {**base.fields, **custom}
        self.writable = (*base.writable, *custom.values())
        self.references = (*base.references, *(n for n, f in custom.items() if f.kind == "ref"))
        self.personal = base.personal or any(f.apart for f in custom.values())
        self.journalled = self._journalled

    def get(self, record: Any, name: str) -> Any:
        """Read a field by its name here."""
        field = self.custom.get(name)
        return self._base.get(record, name) if field is None else (record._custom or {}).get(field.short)

    def set(self, record: Any, name: str, value: Any) -> None:
        """Set a field by its name here."""
        field = self.custom.get(name)
        if field is None:
            self._base.set(record, name, value)
        else:
            record.custom[field.short] = value

    def values(self, record: Any) -> dict[str, Any]:
        """Return all set values by name."""
        found = self._base.values(record)
        given = record._custom or {}
        return found | {n: given[f.short] for n, f in self.custom.items() if f.short in given}

    def given(self, record: Any, owner: str) -> frozenset[str]:
        """Return the names of the fields that differ from their defaults."""
        return self._base.given(record, owner) | {n for n in self.custom if self.get(record, n) is not None}

    def receive(self, record: Any) -> None:
        """Read the plain values of a new record, and say None of those that were not given."""
        given = record._custom or {}
        known = {f.short: f.read(self.facts.name, given.get(f.short)) for f in self.custom.values()}
        record._custom = CustomValues({**given, **known})

    def check(self, record: Any, row: int | None = None, names: Collection[str] | None = None) -> list[Detail]:
        """Return all that is wrong with a record's fields (or the *names* among them)."""
        wrong = self.unknown(record, row) if record._custom else []
        if not self._sound(record):
            wrong += self.check_own(record, row, names)
        for name, field in self.custom.items():
            if names is None or name in names:
                wrong += field.problems(self.facts.name, self.get(record, name), row)
        return wrong

    def _journalled(self, record: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        public, personal = self._base.journalled(record)
        for name, field in self.custom.items():
            value = self.get(record, name)
            if value is not None:
                (personal if field.apart else public)[name] = plain(field, value)
        return public, personal


def short(name: str) -> str | None:
    """Return a custom field's own name, of ``custom.<name>``; None for the name of another field."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None
