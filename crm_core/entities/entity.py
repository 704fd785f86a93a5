"""Entity and Extension: what a business record is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform

from ..errors import Invalid, LoadError, NotReadable
from .fields import Field, Ref, field
from .meta import EntityMeta, ExtensionMeta
from .sealing import MASK

X = TypeVar("X", bound="Extension")


# The type checkers take the classes below it, not itself, for dataclasses.
@dataclass_transform(field_specifiers=(field,), kw_only_default=True)
class _Record:
    """What entities and extensions share: unset slots, repr and equality that skip them."""

    __slots__ = ()
    __crm_options__: ClassVar[Any]

    if TYPE_CHECKING:
        _origin: Any
        _ext: dict[type[Extension], Extension] | None
        _related: dict[str, Any] | None
        _custom: dict[str, Any] | None
    else:  # a type checker would take it for the permission to read any name

        def __getattr__(self, name: str) -> Any:
            # Reached only when a slot is unset. Not an AttributeError for fields: getattr(x, "salary", 0) must not lie.
            if name in type(self).__crm_options__:
                if getattr(self, "_origin", None) is None:
                    raise Invalid("not_stored", entity=type(self).__name__, field=name)
                raise NotReadable(entity=type(self).__name__, field=name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _items(self) -> Iterator[tuple[str, Any]]:
        for name in type(self).__crm_options__:
            try:
                yield name, object.__getattribute__(self, name)
            except AttributeError:
                continue

    def __repr__(self) -> str:
        hidden = {k for k, o in type(self).__crm_options__.items() if o.sealed or o.sensitive}
        shown = ", ".join(f"{k}={MASK if k in hidden and v is not None else repr(v)}" for k, v in self._items())
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return dict(self._items()) == dict(other._items())


class Entity(_Record, metaclass=EntityMeta):
    """The base of all business records.

    A subclass annotates its fields: ``name: Field[str]``. On the class a field is a column, on a record a plain value. The fields here
    are set by the pipeline alone: ``id`` (UUIDv7), ``tenant``, ``version`` (1, 2, ...), when and by whom it was created and last
    changed (UTC; user ids of the host), and ``deleted_at`` of a soft-deleted record.

    ``__indexes__ = (("status", "due"),)`` makes an index on the tenant and these fields, in this order, for each tuple; of a single field
    ``field(index=True)`` does. ``__subject__ = "contact"`` names the reference to whom its personal and sealed values are about.
    ``__erased__ = "delete"``: its records are deleted when that person is erased, and not only emptied. ``__points__ = {"record":
    "entity"}``: its field ``record`` holds the id of a record of the entity that its field ``entity`` names; as with a ``Ref``, and the
    ``Link`` of a list, whoever sets it must see that. ``__seen_with__ = "record"``: who does not see the record that this field of
    ``__points__`` holds does not see the row either; for rows that say of a record what their reader may not know.
    """

    __abstract__ = True
    __record_slots__ = ("_origin", "_ext", "_related", "_custom")

    id: Field[str] = field(init=False)
    tenant: Field[str] = field(init=False)
    version: Field[int] = field(init=False)
    created_at: Field[datetime] = field(init=False)
    created_by: Field[str] = field(init=False)
    updated_at: Field[datetime] = field(init=False)
    updated_by: Field[str] = field(init=False)
    deleted_at: Field[datetime | None] = field(init=False)

    if TYPE_CHECKING:
        custom: dict[str, Any] = field(factory=dict)
    else:

        @property
        def custom(self) -> dict[str, Any]:
            """The values of the custom fields that the tenant added, by their names."""
            if self._custom is None:
                from .custom import CustomValues

                self._custom = CustomValues()
            return self._custom

    def __attrs_post_init__(self) -> None:
        self._origin = None
        self._ext = None
        self._related = None

    def __eq__(self, other: object) -> bool:
        same = super().__eq__(other)
        return same if same is not True else (self._custom or {}) == (other._custom or {})  # type: ignore[attr-defined]  # of one class

    def __hash__(self) -> int:
        # Not of the values, which change; equal records have equal ids.
        return hash((type(self), self.id))

    @property
    def ref(self) -> Ref[Self]:
        """A typed pointer to this record.

        Raises:
            Invalid: the record was not created yet, so it has no id.
        """
        return Ref(type(self), self.id)

    def __getitem__(self, extension: type[X]) -> X:
        """Return the fields that a plugin added: ``account[Loyalty].tier``.

        Raises:
            LoadError: the extension does not extend this entity.
        """
        if extension.__dict__.get("__crm_extends__", (None,))[0] is not type(self):
            raise LoadError("not_extended", entity=type(self).__name__, extension=extension.__name__)
        if self._ext is None:
            self._ext = {}
        found = self._ext.get(extension)
        if found is None:
            found = self._ext[extension] = extension()
        return found  # type: ignore[return-value]  # stored under its own class


class Extension(_Record, metaclass=ExtensionMeta):
    """Typed fields that a plugin adds to another module's entity, as real columns ``<plugin>_<field>`` of its table.

    Every field needs a default, since records exist without it. Bind it with ``@plugin.extend(Account)``.
    """

    __record_slots__ = ("_origin",)

    def __attrs_post_init__(self) -> None:
        self._origin = None
