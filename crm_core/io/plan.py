"""A mapping fitted to the columns of a file and the fields of an entity: what turns each row into a draft of a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Pairs
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.custom_kind import PREFIX
from ..entities.meta import snake, spec
from ..entities.validate import MAX_ITEMS, problems, withheld
from ..entities.values import normalise_values
from ..errors import CRMError, Detail, Invalid
from ..messages import closest, redact
from .mapping import Mapping, Source, pieces
from .readers import LONGEST, Row
from .values import Read, reader, zone_of

if TYPE_CHECKING:
    from ..crm import CRM
    from ..custom_fields.defined import TenantFields
    from ..entities.codec import Codec
    from ..entities.fields import FieldSpec
    from ..permissions.policy import Policy

Take = Callable[[Sequence[Any]], Any]
Entities = Iterable[type[Any]]


@attrs.define(eq=False)
class Draft:
    """A row on its way to a record.

    Attributes:
        values: what its cells say, by field; empty ones are not there.
        wanted: by field, what a reference or user is called in the file, to be looked up.
        key: by what the record is known again.
        errors: what is wrong with its cells.
        parts: by name, the drafts of the related records that the row carries.
    """

    row: Row
    values: dict[str, Any]
    wanted: dict[str, str]
    key: Any
    errors: list[Detail]
    parts: dict[str, Draft] = attrs.Factory(dict)


@attrs.frozen
class Link:
    """A field whose values are looked up: among the records of *target* by their field *by*, or among users where there is none."""

    name: str
    source: Source
    target: type[Any] | None
    by: FieldSpec | None


@attrs.frozen
class _Cell:
    """One field, or one part of a list's items."""

    name: str
    part: str
    take: Take
    read: Read


def find_entity(entities: Entities, name: str) -> type[Any]:
    """Find an entity by its name, whole or short, in the singular or plural: ``sales.opportunity``, ``opportunities``.

    Raises:
        Invalid: ``import_unknown_entity``: none is called so, or several are.
    """
    asked = name.strip().lower().replace("-", "_").replace(" ", "_")
    known = {spec(e).name: e for e in entities}
    if asked in known:
        return known[asked]
    alike = {n: e for n, e in known.items() if asked in (short := snake(e.__name__), plural(short), plural(n))}
    if len(alike) != 1:
        near = ", ".join(sorted(alike)) or closest(asked, [*known, *(plural(snake(e.__name__)) for e in known.values())])
        raise Invalid("import_unknown_entity", given=name[:60], suggestion=near, known=sorted(known))
    return next(iter(alike.values()))


def plural(name: str) -> str:
    """Write an English noun in the plural: ``opportunity`` as ``opportunities``."""
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")


class Plan:
    """How the rows of one file become drafts.

    Args:
        tenant: the custom fields of the tenant.
        related: the entities of the related records that the same row carries, by name.

    Attributes:
        links: the fields that are looked up.
        joins: by field, the name of the related record that it points at.

    Raises:
        Invalid: ``import_bad_mapping``: the details name every column, field and option that does not fit.
    """

    def __init__(
        self,
        crm: CRM,
        policy: Policy,
        tenant: TenantFields,
        entity: type[Any],
        mapping: Mapping,
        columns: Sequence[str],
        related: Pairs[str, type[Any]] | None = None,
    ) -> None:
        self.entity = entity
        self.codec: Codec = tenant.codec(entity)
        self._levels = tenant.levels(policy, entity)
        self.mapping = mapping
        self._region = crm.region
        self._related = related or {}
        self._name = self.codec.facts.name
        self._at = {name: n for n, name in enumerate(columns)}
        self._wrong: list[Detail] = []
        self._own = [self._at[c] for c in mapping.columns if c in self._at]
        self.match = "external_ref" if mapping.key else mapping.match
        self.links: list[Link] = []
        self.joins: dict[str, str] = {}
        self._link_takes: list[tuple[Link, Take]] = []
        self._cells: list[_Cell] = []
        for name, source in mapping.fields.items():
            self._add(name, source, policy)
        self._key = self._fitted_key(mapping.key) if mapping.key else None
        self._required = frozenset(n for n, f in self.codec.fields.items() if f.required)
        self._extended = frozenset(n for n, f in self.codec.fields.items() if f.extension is not None or not f.columns)
        self._check_whole()
        if self._wrong:
            reason = "; ".join(f"{d.field}: {d.message()}" for d in self._wrong[:5])
            raise Invalid("import_bad_mapping", path=mapping.path or self._name, reason=reason, details=self._wrong)

    # -- fitting ------------------------------------------------------------------------------------------------------------------

    def _add(self, name: str, source: Source, policy: Policy) -> None:
        base, _, part = (name, "", "") if name.startswith(PREFIX) else name.partition(".")
        field = self._field(base)
        missing = [c for c in source.columns if c not in self._at]
        for column in missing:
            self._refuse(name, "import_no_column", column=column[:60], suggestion=closest(column, self._at))
        if field is None or missing:
            return
        try:
            if source.record:
                self._join(name, field, source.record)
                return
            take = self._take(source)
            if source.lookup or source.user:
                self._link(name, field, source, take, policy)
            elif field.kind == "list":
                self._cells.append(_Cell(base, self._part(name, field, part), take, str))
            else:
                read = reader(self._name, field, source, self.mapping.written)
                self._cells.append(_Cell(base, "", take, self._with_currency(read, source) if field.kind == "money" else read))
        except Invalid as e:
            self._refuse(name, e.code, **e.params)

    def _field(self, name: str) -> FieldSpec | None:
        """Hidden and unknown fields give the same error."""
        field = self.codec.fields.get(name)
        levels = self._levels
        if field is None or levels.get(name, "write") == "none":
            known = [n for n, f in self.codec.fields.items() if not f.system and levels.get(n, "write") != "none"]
            self._refuse(name, "import_no_field", known=known, suggestion=closest(name, known))
            return None
        if field.system or field.options.read_only or levels.get(name, "write") != "write":
            self._refuse(name, "read_only_field")
            return None
        return field

    def _link(self, name: str, field: FieldSpec, source: Source, take: Take, policy: Policy) -> None:
        """What a record is called must be readable in full: a hidden or masked field gives the error of an unknown one."""
        by = spec(field.target).fields.get(source.lookup) if field.target else None
        if by is not None and field.target and policy.fields(field.target).get(by.name, "write") in ("none", "masked"):
            by = None
        if source.user and field.kind == "str":
            link = Link(name, source, None, None)
        elif by is not None and by.kind == "str":
            link = Link(name, source, field.target, by)
        else:
            raise Invalid("import_no_lookup", lookup=source.lookup or "user")
        self.links.append(link)
        self._link_takes.append((link, take))

    def _join(self, name: str, field: FieldSpec, record: str) -> None:
        if record not in self._related or field.target is not self._related[record]:
            fitting = [n for n, e in self._related.items() if e is field.target]
            raise Invalid("import_no_record", record=record[:60], suggestion=closest(record, fitting))
        self.joins[name] = record

    def _part(self, name: str, field: FieldSpec, part: str) -> str:
        parts = [a.name for a in attrs.fields(field.type)]
        if part and part not in parts:
            raise Invalid("import_no_field", known=parts, suggestion=closest(part, parts))
        return part or parts[0]

    def _with_currency(self, read: Read, source: Source) -> Read:
        """Amounts whose currency stands in a column of its own come as pairs."""
        if not source.currency_column:
            return read
        point = source.decimal or self.mapping.written.decimal

        def amount(value: Any) -> str:
            return value if isinstance(value, str) else str(value).replace(".", point)

        return lambda pair: read(f"{amount(pair[0])} {pair[1]}" if isinstance(pair, tuple) else pair)

    def _take(self, source: Source) -> Take:
        """Compile where a value comes from and what it stands for."""
        raw = self._raw(source)
        values, other, default = source.values, source.other, source.default

        def plain(cells: Sequence[Any]) -> Any:
            value = raw(cells)
            return value.strip() if type(value) is str else value

        def take(cells: Sequence[Any]) -> Any:
            value = raw(cells)
            if type(value) is str:
                value = value.strip()
                if values:
                    value = values.get(value, value if other is None else other)
            return default if value in ("", None) and default is not None else value

        if not source.currency_column:
            return take if values or default is not None else plain
        at = self._at[source.currency_column]

        def priced(cells: Sequence[Any]) -> Any:
            value, currency = take(cells), str(cells[at]).strip()
            return (value, currency) if value not in ("", None) and currency else value

        return priced

    def _raw(self, source: Source) -> Take:
        if source.column:
            return itemgetter(self._at[source.column])
        if source.template:
            unknown = [c for _, c in pieces(source.template) if c and c not in self._at]
            if unknown:
                raise Invalid("import_no_column", column=unknown[0][:60], suggestion=closest(unknown[0], self._at))
            parts = [(text, self._at.get(column)) for text, column in pieces(source.template)]
            return lambda cells: _filled(parts, cells)
        return lambda _: source.constant

    def _fitted_key(self, template: str) -> Take | None:
        try:
            return self._take(Source(template=template))
        except Invalid as e:
            self._refuse("key", e.code, **e.params)
            return None

    def _check_whole(self) -> None:
        """Check what no single field says: how records are known again, and that required fields have a source."""
        if self.match:
            field = self._field(self.match)
            if field is not None and field.kind != "str":
                self._refuse(self.match, "import_no_lookup", lookup=self.match)
            if not self.mapping.key and self.match not in self.mapping.fields:
                self._refuse(self.match, "import_unmapped_field")
        taken = {name if name.startswith(PREFIX) else name.partition(".")[0] for name in self.mapping.fields} | (
            {self.match} if self.match else set()
        )
        for name in sorted(self._required - taken):
            self._refuse(name, "import_unmapped_field")
        try:
            zone_of(self.mapping.written.zone)
        except Invalid as e:
            self._refuse("written.zone", e.code, **e.params)

    def _refuse(self, field: str, code: str, **params: Any) -> None:
        self._wrong.append(Detail(self._name, field[:60], code, "", params))

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def draft(self, row: Row) -> Draft:
        """Read a row's cells."""
        cells = row.cells
        found = Draft(row, {}, {}, None, [])
        items: dict[str, dict[str, Any]] = {}
        for cell in self._cells:
            value = cell.take(cells)
            if value == "" or value is None:
                continue
            if cell.part:
                items.setdefault(cell.name, {})[cell.part] = value
                continue
            try:
                found.values[cell.name] = cell.read(value)
            except CRMError as e:
                found.errors += self._explained(cell.name, value, e)
        for name, parts in items.items():
            self._add_items(found, name, parts)
        for link, take in self._link_takes:
            value = take(cells)
            if value != "" and value is not None:
                found.wanted[link.name] = str(value)
        self._add_key(found)
        return found

    def _add_items(self, found: Draft, name: str, parts: dict[str, Any]) -> None:
        field = self.codec.fields[name]
        main = next(iter(attrs.fields(field.type))).name
        separator = self.mapping.fields[name].separator if name in self.mapping.fields else ""
        try:
            if len(parts) == 1 and isinstance(parts.get(main), list):
                items = reader(self._name, field, Source(column="-"), self.mapping.written)(parts[main])
            elif separator and main in parts:
                texts = str(parts[main]).split(separator, MAX_ITEMS)  # one more is too many, and says so
                items = [field.type(**{**parts, main: one.strip()}) for one in texts if one.strip()]
            else:
                items = [field.type(**parts)]
            if wrong := list(problems(self._name, field, items)):
                raise Invalid(details=wrong)
            found.values[name] = normalise_values(items, self._region)
        except CRMError as e:
            found.errors += self._explained(name, parts.get(main), e)

    def _add_key(self, found: Draft) -> None:
        if self._key is not None:
            found.values["external_ref"] = self._key(found.row.cells)
        if self.match:
            found.key = found.values.get(self.match)
            if found.key in ("", None):
                found.errors.append(Detail(self._name, self.match, "import_no_key"))

    def _explained(self, name: str, value: Any, error: CRMError) -> list[Detail]:
        field = self.codec.fields[name]
        details = error.details or [Detail(self._name, name, error.code, redact(value), error.params)]
        return [withheld(field, attrs.evolve(d, entity=self._name, field=name)) for d in details]

    def absent(self, row: Row) -> bool:
        """Whether a row has nothing in the columns of this plan."""
        return all(str(row.cells[n] or "").strip() == "" for n in self._own)

    def completes(self, part: Draft, known: Draft) -> bool:
        """Whether a draft has a field that a new record needs, and that what is known of it so far does not have."""
        return not self._required.isdisjoint(self._given(part) - self._given(known))

    def _given(self, draft: Draft) -> set[str]:
        return {*draft.values, *draft.wanted, *(field for field, to in self.joins.items() if to in draft.parts)}

    def missing(self, values: dict[str, Any]) -> list[Detail]:
        """Say which fields a new record lacks."""
        return [Detail(self._name, n, "required") for n in sorted(self._required - values.keys())]

    def record(self, values: dict[str, Any]) -> Any:
        """Make a new record."""
        if self._extended.isdisjoint(values):
            return self.entity(**values)
        made = self.entity(**{n: v for n, v in values.items() if n not in self._extended})
        for n in self._extended & values.keys():
            self.codec.set(made, n, values[n])
        return made

    def changes(self, record: Any, values: dict[str, Any]) -> dict[str, Any]:
        """Return what differs from a stored record; what the actor cannot read counts as different."""
        readable = dict(self.codec.values(record))
        return {n: v for n, v in values.items() if n not in readable or readable[n] != v}


def _filled(parts: list[tuple[str, int | None]], cells: Sequence[Any]) -> str:
    """Put cells into a template; empty where one of them is."""
    made, room = list[str](), LONGEST
    for text, at in parts:
        made.append(text)
        if at is not None:
            cell = str(cells[at]).strip()
            if not cell:
                return ""
            made.append(cell)
            room -= len(cell)
            if room < 0:  # longer than any field takes, which says so
                break
    return "".join(made)
