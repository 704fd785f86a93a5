"""The physical tables of one CRM, by what they are of: their names, whose they are, and whether they fit. ``making`` makes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table

from ..arguments import check
from ..entities.fields import FieldOptions, FieldSpec
from ..entities.meta import extension_fields, snake, spec
from ..entities.sealing import check_sealed
from ..errors import LoadError
from ..hooks.parts import Link
from ..ondemand import OnDemand, OnFirstUse

if TYPE_CHECKING:
    from .adopted import Adopted, Adoption
    from .keys.sealer import Sealer
    from .making import Making
    from .system import SystemTables

LONGEST = 63  # bytes of a name that PostgreSQL keeps
LONGEST_COLUMN = LONGEST - 6  # SQLAlchemy gives what is longer another label, which the lens would not find


def shortened(name: str) -> str:
    """Keep a name within PostgreSQL's 63 bytes, with a hash of the whole where it is cut."""
    whole = name.encode()
    if len(whole) <= LONGEST:
        return name
    return f"{whole[: LONGEST - 9].decode(errors='ignore')}_{hashlib.sha256(whole).hexdigest()[:8]}"


class Tables:
    """Everything this CRM keeps, as SQLAlchemy tables. Names and references are checked at once; a table is made when it is asked for.

    Attributes:
        entities: physical table by entity class.
        lists: index table by (entity, column) of each embedded list: tenant, record, value, is_primary.
        links: table by link definition: tenant, a, b.
        sensitive: names of the fields whose reads are journalled, by entity.
        sealed: names of the fields that are encrypted, by entity.
        system: the core's own tables.
        named: physical table by the entity's name.
        adopted: where the columns of an entity are, by the entities that the host's own tables stand for.
        sealer: what seals and opens; None where the CRM has no keys.

    Raises:
        LoadError: ``table_collision``, ``column_too_long``, ``ref_target_missing``, ``link_target_missing``, and what sealed fields raise.
    """

    sealer: Sealer | None = None

    def __init__(
        self,
        entities: Sequence[type[Any]],
        extensions: Mapping[type[Any], Sequence[type[Any]]],
        links: Sequence[Link] = (),
        *,
        prefix: str = "crm_",
        schema: str | None = None,
        adopt: Mapping[Any, Adopted] | None = None,
    ) -> None:
        self.prefix = prefix
        self.schema = schema
        self._extensions = extensions
        self._links = links
        self._names = {entity: shortened(self.prefix + spec(entity).name.replace(".", "_")) for entity in entities}
        self.sensitive = self._marked(lambda options: options.sensitive)
        self.sealed = self._marked(lambda options: options.sealed)
        if links or any(extensions.values()) or any(spec(entity).plugin for entity in entities):
            self.owners  # noqa: B018  # refuses what does not fit; the core's own does
        self.adopted: Mapping[type[Any], Adoption] = self._adopt(adopt or {})
        self.entities: Mapping[type[Any], Table] = OnDemand(self._names, lambda entity: self._making.of_entity(entity))
        self.links: Mapping[Any, Table] = OnDemand(links, lambda link: self._making.of_link(link))
        by_name = {spec(entity).name: entity for entity in entities}
        self.named: Mapping[str, Table] = OnDemand(by_name, lambda name: self.entities[by_name[name]])

    @OnFirstUse
    def _making(self) -> Making:
        from .making import Making

        return Making(self)

    @OnFirstUse
    def system(self) -> SystemTables:
        """The tables that are not entities."""
        return self._making.system

    @OnFirstUse
    def lists(self) -> Mapping[tuple[type[Any], str], Table]:
        return OnDemand(self._listed, self._making.of_list)

    @OnFirstUse
    def _listed(self) -> Mapping[tuple[type[Any], str], str]:
        return {(e, f.column): plugin for e in self._names for plugin, f in self.fields(e) if f.kind == "list"}

    @property
    def metadata(self) -> MetaData:
        """All of them; ``table.info["plugin"]`` and ``column.info["plugin"]`` say whose they are ("" is the core)."""
        self.system.by_name()
        for each in (self.entities, self.lists, self.links):
            list(each.values())
        return self._making.metadata

    def custom(self, entity: type[Any]) -> Table:
        """Return where the values of an entity's custom fields are."""
        return self.system.custom_value

    @property
    def names(self) -> frozenset[str]:
        """The names of all of them."""
        return frozenset(self.owners)

    def name(self, entity: type[Any]) -> str:
        """Return the name of an entity's table."""
        return self._names[entity]

    def _adopt(self, adopt: Mapping[type[Any], Adopted]) -> dict[type[Any], Adoption]:
        check(adopt, Mapping, "a mapping of entities to Adopted(table, columns)")
        if not adopt:
            return {}
        from .adopted import Adopted, Adoption

        for entity, how in adopt.items():
            check(how, Adopted, "Adopted(table, columns)")
            if entity not in self._names:
                raise LoadError("entity_not_loaded", entity=getattr(entity, "__name__", repr(entity)))
        fields = {e: {f.column if f.extension else f.name: f for _, f in self.fields(e)} for e in adopt}
        return {e: Adoption(e, how, fields[e], adopt, self.prefix) for e, how in adopt.items()}

    @OnFirstUse
    def owners(self) -> Mapping[str, str]:
        """Whose each table is, by its name; made when all names, columns and references fit."""
        owners = dict.fromkeys(self.system.table_names, "")

        def take(name: str, plugin: str) -> None:
            if name in owners:
                raise LoadError("table_collision", table=name, plugin=plugin or "crm_core")
            owners[name] = plugin

        for entity, name in self._names.items():
            take(name, spec(entity).plugin)
            fields = list(self.fields(entity))
            check_sealed(entity, [f for _, f in fields])
            for plugin, field in fields:
                self._check_field(plugin, field)
        for (entity, column), plugin in self._listed.items():
            take(self.list_name(entity, column), plugin)
        for link in self._links:
            for side in (link.a, link.b):
                if side not in self._names:
                    raise LoadError("link_target_missing", target=side.__name__, plugin=link.plugin)
            take(self.link_name(link), link.plugin)
        return owners

    def _check_field(self, plugin: str, field: FieldSpec) -> None:
        for name in (*field.columns, *((field.blind_column,) if field.blind_column else ())):
            if len(name.encode()) > LONGEST_COLUMN:
                raise LoadError("column_too_long", column=name, plugin=plugin or "crm_core", limit=LONGEST_COLUMN)
        if field.kind == "ref" and field.target is not None and field.target not in self._names:
            raise LoadError("ref_target_missing", field=field.name, target=field.target.__name__, plugin=plugin or "crm_core")

    def fields(self, entity: type[Any]) -> Iterator[tuple[str, FieldSpec]]:
        """Yield an entity's fields and those of its extensions, with the plugin each belongs to."""
        facts = spec(entity)
        yield from ((facts.plugin, f) for f in facts.fields.values())
        for extension in self._extensions.get(entity, ()):
            yield from ((extension.__crm_extends__[1], f) for f in extension_fields(extension).values())

    def _marked(self, mark: Callable[[FieldOptions], bool]) -> dict[type[Any], frozenset[str]]:
        """Return the names of the fields whose options have a mark, by the entities that have such."""
        found: dict[type[Any], frozenset[str]] = {}
        for entity in self._names:
            added = (f for extension in self._extensions.get(entity, ()) for f in extension_fields(extension).values())
            own = (name for name, options in entity.__crm_options__.items() if mark(options))
            names = frozenset((*own, *(f.column for f in added if mark(f.options))))
            if names:
                found[entity] = names
        return found

    def list_name(self, entity: type[Any], column: str) -> str:
        """Return the name of the table of an embedded list's values."""
        return shortened(f"{self._names[entity]}_{column}")

    def link_name(self, link: Link) -> str:
        """Return the name of a link's table."""
        return shortened(f"{self.prefix}{link.plugin.replace('.', '_')}_{snake(link.a.__name__)}_{snake(link.b.__name__)}_link")
