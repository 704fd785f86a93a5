"""Mappings: which of the ERP's records are which of ours, field by field, declared in TOML and read both ways [C63]."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import attrs

from crm_core import CRMError, LoadError

from .codecs import CODECS, Options

Owner = Literal["erp", "crm", "manual"]
Flow = Literal["always", "needed", "known", "never"]
Values = dict[str, Any]
LISTS = {"email": ("address", "emails"), "phone": ("number", "phones")}


@attrs.frozen(kw_only=True)
class FieldMap:
    """One line of a mapping.

    Attributes:
        field: ours.
        erp: the path in the ERP's data, ``address.city``.
        owner: whose word counts: ``erp``, ``crm``, or ``manual`` where both changed it and a person decides.
        stream: for ``ref``: in which stream the record it points at is found.
    """

    field: str
    erp: str
    codec: str = "text"
    owner: Owner = "erp"
    stream: str = ""
    options: Options = attrs.field(factory=Options)

    def read(self, data: Mapping[str, Any]) -> Any:
        """Return the canonical value in the ERP's data, or None.

        Raises:
            Invalid: ``erp_bridge.bad_value``.
        """
        value = _get(data, self.erp)
        if value is None or value == "":
            return None
        if self.codec == "money":
            fixed = self.options.currency
            value = (value, fixed[1:] if fixed.startswith("=") else _get(data, fixed))
        try:
            return CODECS[self.codec].to_crm(value, self.options)
        except CRMError as e:
            e.params |= {"field": self.field, "erp": self.erp}  # the mapping's, and not one inside of it
            raise

    def write(self, value: Any, data: dict[str, Any]) -> None:
        """Put a canonical value into the ERP's data."""
        if self.codec == "money":
            _set(data, self.erp, None if value is None else value["amount"])
            if not self.options.currency.startswith("="):
                _set(data, self.options.currency, None if value is None else value["currency"])
        else:
            _set(data, self.erp, None if value is None else CODECS[self.codec].to_erp(value, self.options))

    def ours(self, plain: Mapping[str, Any]) -> Any:
        """Return the canonical value in our record's plain form."""
        value = plain.get(self.field)
        if self.codec in LISTS and isinstance(value, list):
            part = LISTS[self.codec][0]
            chosen = next((v for v in value if v.get("primary")), value[0] if value else None)
            return chosen[part] if chosen else None
        if value is not None and self.codec in ("decimal", "instant"):
            return CODECS[self.codec].to_crm(value, self.options)
        return value

    def into(self, value: Any, plain: Mapping[str, Any]) -> Any:
        """Return what our field becomes with a canonical value: of a list, its primary item alone changes."""
        if self.codec not in LISTS:
            return value
        part = LISTS[self.codec][0]
        rest = [{**v, "primary": False} for v in plain.get(self.field) or () if v[part] not in (value, self.ours(plain))]
        return [{part: value, "primary": True}, *rest] if value else rest


@attrs.frozen(kw_only=True)
class Stream:
    """One section of a mapping: a kind of the ERP's records and a kind of ours.

    Attributes:
        entity: what the connector calls it; several streams may share one.
        record: our entity's name.
        to_erp: which of our new records are made there: ``always``, ``needed`` (another record that goes there points at it), ``never``.
        from_erp: which of theirs are made here: ``always``, ``known`` (only changes of what is bound), ``never``.
        match: our fields by which a record that comes for the first time is recognised, before it is made anew.
    """

    name: str
    entity: str
    record: str
    fields: Mapping[str, FieldMap]
    to_erp: Flow = "never"
    from_erp: Flow = "always"
    match: Sequence[str] = ()

    @property
    def parents(self) -> list[str]:
        """The streams that its references look into."""
        return [f.stream for f in self.fields.values() if f.codec == "ref"]

    @property
    def sent(self) -> list[FieldMap]:
        """The fields that we write there."""
        return [f for f in self.fields.values() if f.owner != "erp"]

    @property
    def paths(self) -> list[str]:
        """The paths in the ERP's data that it reads or writes."""
        currencies = [f.options.currency for f in self.fields.values() if f.codec == "money" and not f.options.currency.startswith("=")]
        return [*(f.erp for f in self.fields.values()), *currencies]

    def read(self, data: Mapping[str, Any]) -> Values:
        """Return the canonical values in the ERP's data; a reference is still the ERP's id.

        Raises:
            Invalid: ``erp_bridge.bad_value``.
        """
        return {name: f.read(data) for name, f in self.fields.items()}

    def unsaid(self, data: Mapping[str, Any]) -> list[str]:
        """Return the fields of which the ERP's data does not speak: their paths are not in it."""
        return [name for name, f in self.fields.items() if not _has(data, f.erp)]

    def ours(self, plain: Mapping[str, Any]) -> Values:
        """Return the canonical values of a record of ours."""
        return {name: f.ours(plain) for name, f in self.fields.items()}


class ErpMapping:
    """All streams of one bridge, parents first.

    Raises:
        LoadError: ``erp_bridge.bad_mapping`` says where and what is expected.
    """

    def __init__(self, source: str, given: Mapping[str, Any]) -> None:
        self.source = source
        streams = {name: self._stream(name, section) for name, section in given.items()}
        for stream in streams.values():
            for parent in stream.parents:
                if parent not in streams:
                    raise self._bad(stream.name, f"a reference into one of {', '.join(streams)}")
        self.streams: Mapping[str, Stream] = {s.name: s for s in self._ordered(streams)}

    @classmethod
    def load(cls, path: str | Path) -> ErpMapping:
        """Read a file of TOML."""
        try:
            return cls(str(path), tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as e:
            raise LoadError("erp_bridge.bad_mapping", source=str(path), section="", expected=str(e)[:200]) from e

    def _bad(self, section: str, expected: str) -> LoadError:
        return LoadError("erp_bridge.bad_mapping", source=self.source, section=section, expected=expected)

    def _stream(self, name: str, given: Any) -> Stream:
        if not isinstance(given, dict) or not isinstance(given.get("fields"), dict) or "record" not in given:
            raise self._bad(name, "a section with record = and a table fields")
        unknown = given.keys() - {"record", "entity", "owner", "to_erp", "from_erp", "match", "fields"}
        if unknown:
            raise self._bad(name, f"no {', '.join(sorted(unknown))}")
        flows = {key: given[key] for key in ("to_erp", "from_erp") if key in given}
        if any(flow not in get_args(Flow) for flow in flows.values()):
            raise self._bad(name, f"to_erp and from_erp one of {', '.join(get_args(Flow))}")
        fields = {f: self._field(f"{name}.{f}", f, line, given.get("owner", "erp")) for f, line in given["fields"].items()}
        return Stream(
            name=name, entity=given.get("entity", name), record=given["record"], fields=fields, match=given.get("match", []), **flows
        )

    def _field(self, where: str, name: str, line: Any, owner: str) -> FieldMap:
        if not isinstance(line, str | dict):
            raise self._bad(where, "a path, or a table with erp =")
        given: dict[str, Any] = {"erp": line} if isinstance(line, str) else dict(line)
        said: dict[str, Any] = {key: given.pop(key) for key in ("currency", "values", "zone", "format") if key in given}
        try:
            options = Options(**said)
        except (TypeError, ValueError) as e:
            raise self._bad(where, str(e.args[0])) from e
        if given.keys() - {"erp", "codec", "owner", "stream"} or not given.get("erp"):
            raise self._bad(where, "erp, codec, owner, stream, currency, values, zone, format")
        found = FieldMap(field=name, options=options, **{"owner": cast(Owner, owner), **given})
        if found.codec not in CODECS:
            raise self._bad(where, f"a codec of {', '.join(CODECS)}")
        if found.owner not in get_args(Owner):
            raise self._bad(where, f"an owner of {', '.join(get_args(Owner))}")
        if (found.codec == "money" and not found.options.currency) or (found.codec == "ref" and not found.stream):
            raise self._bad(where, "currency = for money, stream = for ref")
        if found.codec == "enum" and not options.values:
            raise self._bad(where, "values = for enum")
        return found

    def _ordered(self, streams: Mapping[str, Stream]) -> Iterator[Stream]:
        done: set[str] = set()
        while len(done) < len(streams):
            ready = [s for s in streams.values() if s.name not in done and done.issuperset(p for p in s.parents if p != s.name)]
            if not ready:
                raise self._bad(", ".join(sorted(streams.keys() - done)), "references without a circle")
            yield from ready
            done.update(s.name for s in ready)


def _get(data: Any, path: str) -> Any:
    for part in path.split("."):
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _has(data: Any, path: str) -> bool:
    *parents, last = path.split(".")
    found = _get(data, ".".join(parents)) if parents else data
    return isinstance(found, Mapping) and last in found


def _set(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        data = data.setdefault(part, {})
    data[last] = value
