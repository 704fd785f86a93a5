"""Mapping: which column of a file becomes which field, as a TOML file that people can write and read."""

from __future__ import annotations

import collections.abc
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from ..errors import Detail, Invalid
from ..settings import load
from .form import Form

_PLACE = re.compile(r"\{([^{}]+)\}")


@attrs.frozen
class Source:
    """Where a field's values come from, and how they are written there. One of ``column``, ``template``, ``constant`` and ``record``.

    Attributes:
        column: the name of a column.
        template: text with columns in it: ``"maven:{account}"``; a value with an empty column is empty.
        constant: the same for all rows.
        record: for a reference: the name of a related record that the same row carries.
        values: what stands for what: ``{Won = "won"}``; ``other`` is what all else stands for.
        default: what an empty value stands for. Without one, a new record takes the field's default, a known one keeps what it has.
        lookup: the field of the record a reference points at that holds the value: ``name``, ``external_ref``.
        missing: what happens where no such record is found: the row fails, the record is created, or the field stays empty.
        currency: of an amount, where it does not stand in the value; ``currency_column`` says it row by row.
        decimal: the decimal point, ``.`` or ``,``.
        dates: how dates and times are written, as in ``strptime``; ISO 8601 where nothing is said.
        zone: the IANA zone of times without one.
        separator: between the items of a list.
        user: the value is the id or name of a user whom the host's directory knows.
    """

    column: str = ""
    template: str = ""
    constant: Any = None
    record: str = ""
    values: dict[str, str] = attrs.Factory(dict)
    other: str | None = None
    default: str | None = None
    lookup: str = ""
    missing: Literal["fail", "create", "empty"] = "fail"
    currency: str = ""
    currency_column: str = ""
    decimal: Literal["", ".", ","] = ""
    dates: list[str] = attrs.Factory(list)
    zone: str = ""
    separator: str = ""
    user: bool = False

    def __attrs_post_init__(self) -> None:
        if sum((bool(self.column), bool(self.template), self.constant is not None, bool(self.record))) != 1:
            raise Invalid("import_one_source")

    @property
    def columns(self) -> Iterator[str]:
        """The columns it is made of."""
        yield from ([self.column] if self.column else [])
        yield from _PLACE.findall(self.template)
        yield from ([self.currency_column] if self.currency_column else [])


@attrs.frozen
class Written:
    """How values are written in a whole file; a field may say otherwise."""

    decimal: Literal[".", ","] = "."
    dates: list[str] = attrs.Factory(list)
    zone: str = "UTC"
    currency: str = ""


@attrs.frozen
class Related:
    """A record that a row carries beside its own: the customer in a row that is a deal.

    Rows with the same key are about the same record; a row with nothing in its columns has none.

    Attributes:
        entity: which record it is.
        fields: by field, as in a mapping.
        key, match: by what it is known again; one of them must be there.
    """

    entity: str = ""
    fields: dict[str, Source] = attrs.Factory(dict)
    key: str = ""
    match: str = ""


@attrs.frozen
class Mapping:
    """What becomes of a file's columns.

    Attributes:
        entity: which records the rows are: ``sales.opportunity``, ``opportunity`` or ``opportunities``.
        fields: by field; the parts of a list's items after a dot: ``addresses.city``.
        key: a template for ``external_ref``, by which a second import knows a record again.
        match: another field by which records are known again, unique or not, where there is no key.
        records: by name, further records that a row carries; a field points at one with ``record``.
        ignore: columns that are left out on purpose.
        path: the file it is for, in a mapping of several.
        file: how the file is written.
        written: how its values are written.
    """

    entity: str = ""
    fields: dict[str, Source] = attrs.Factory(dict)
    key: str = ""
    match: str = ""
    records: dict[str, Related] = attrs.Factory(dict)
    ignore: list[str] = attrs.Factory(list)
    path: str = ""
    file: Form = attrs.Factory(Form)
    written: Written = attrs.Factory(Written)

    @property
    def columns(self) -> list[str]:
        """All columns that it names, each once."""
        found: list[str] = []
        parts: list[Mapping | Related] = [self, *self.records.values()]
        for part in parts:
            found += [c for source in part.fields.values() for c in source.columns]
            found += _PLACE.findall(part.key)
        return list(dict.fromkeys(found))


def read_mappings(path: Path | str) -> list[Mapping]:
    """Read a mapping file: one mapping, or several under ``[[import]]``.

    Raises:
        Invalid: ``import_bad_mapping``: the details name what is wrong by its place in the file.
        Invalid: ``import_no_file``.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as e:
        raise Invalid("import_no_file", path=str(path)[-200:], reason=e.strerror or "") from e
    except ValueError as e:
        raise Invalid("import_bad_mapping", path=path.name, reason=str(e)[:200]) from e
    several = data.get("import")
    if several is None:
        return [mapping_of(data, path.name)]
    if set(data) != {"import"} or not isinstance(several, list):
        raise Invalid("import_bad_mapping", path=path.name, reason="beside [[import]] nothing else may stand")
    return [mapping_of(each, path.name) for each in several]


def mapping_of(data: Any, name: str = "mapping") -> Mapping:
    """Make a mapping of what a TOML file says.

    Raises:
        Invalid: ``import_bad_mapping``: the details name what is wrong.
    """
    data = _in_full(data)
    if isinstance(data, collections.abc.Mapping) and isinstance(data.get("records"), collections.abc.Mapping):
        data = {**data, "records": {n: _in_full(part) for n, part in data["records"].items()}}
    try:
        return load(Mapping, data)
    except Invalid as e:
        details = [attrs.evolve(d, entity=name) for d in e.details]
        raise Invalid("import_bad_mapping", path=name, reason=_first(details), details=details) from e


def _in_full(data: Any) -> Any:
    """Write out the short form of a field: the name of its column alone."""
    if not (isinstance(data, collections.abc.Mapping) and isinstance(data.get("fields"), collections.abc.Mapping)):
        return data
    return {**data, "fields": {n: {"column": s} if isinstance(s, str) else s for n, s in data["fields"].items()}}


def _first(details: Sequence[Detail]) -> str:
    return "; ".join(f"{d.field}: {d.message()}" for d in details[:3])


def pieces(template: str) -> list[tuple[str, str]]:
    """Cut a template into pairs of text and the column behind it; the last pair has no column."""
    parts = [*_PLACE.split(template), ""]
    return list(zip(parts[::2], parts[1::2], strict=True))
