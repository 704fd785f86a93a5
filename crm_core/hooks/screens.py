"""What a front end may show of a plugin, as data: forms, lists, files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import attrs

if TYPE_CHECKING:
    from ..entities.entity import Entity


@attrs.frozen(eq=False)
class Form:
    """The fields that a form of an entity has, in their order; an extension's as ``<plugin>_<field>``.

    Attributes:
        label: what people call it; a message id or plain text; by default the entity's.
    """

    kind: ClassVar[str] = "form"

    entity: type[Entity]
    fields: Sequence[str] = attrs.field(kw_only=True)
    label: str = attrs.field(default="", kw_only=True)

    @property
    def names(self) -> Sequence[str]:
        """The fields it shows."""
        return self.fields


@attrs.frozen(eq=False)
class ListView:
    """The columns that a list of an entity has, in their order.

    Attributes:
        sort: the field it is sorted by, with ``-`` before it from the end; by default the newest first.
        filters: the fields that people can filter by.
    """

    kind: ClassVar[str] = "list"

    entity: type[Entity]
    columns: Sequence[str] = attrs.field(kw_only=True)
    sort: str = attrs.field(default="-created_at", kw_only=True)
    filters: Sequence[str] = attrs.field(default=(), kw_only=True)
    label: str = attrs.field(default="", kw_only=True)

    @property
    def names(self) -> Sequence[str]:
        """The fields it shows."""
        return self.columns


@attrs.frozen
class Assets:
    """Files of a package that a front end may fetch."""

    plugin: str
    package: str
    folder: str
