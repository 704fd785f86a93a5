"""The definitions of custom fields: records like others, so that they are journalled, checked, backed up and exported as those are."""

from __future__ import annotations

from typing import Any

from .custom_kind import CustomKind
from .entity import Entity
from .fields import Field, field


class CustomField(Entity):
    """A field that a tenant's administrator added to an entity.

    ``label`` is what it is called by locale, ``options`` a list of ``{"value": ..., "label": {...}}`` of a choice, ``currency`` that of
    all its amounts. ``least`` and ``most`` are inclusive bounds, as text. ``readers`` and ``writers`` are names of roles; where they
    are empty, who may read (write) the record may read (write) the field. A retired field keeps its values and is as unknown as one
    that was never there.

    Attributes:
        entity: the entity that has it.
        name: its key in ``record.custom``.
        kind: the type of its values.
        target: the entity that a reference points at.
        required: whether new records need a value.
        unique: whether no two records share a value.
        pattern: the regular expression that a text fits.
        length: how many characters a text may have.
        currency: that of all its amounts.
        scale: how many decimal places a decimal keeps.
        position: its place in forms.
        classified: whether its values are personal.
        retired: whether it is out of use; its values are kept.
    """

    entity: Field[str] = field(length=127)
    name: Field[str] = field(length=40)
    kind: Field[CustomKind]
    label: Field[dict[str, Any]] = field(factory=dict)
    options: Field[list[Any]] = field(factory=list)
    target: Field[str | None] = field(default=None, length=127)
    currency: Field[str | None] = field(default=None, format="currency")
    required: Field[bool] = field(default=False)
    unique: Field[bool] = field(default=False)
    least: Field[str | None] = field(default=None, length=40)
    most: Field[str | None] = field(default=None, length=40)
    pattern: Field[str | None] = field(default=None, length=200)
    length: Field[int] = field(default=255, min=1, max=500)
    scale: Field[int] = field(default=6, min=0, max=9)
    position: Field[int] = field(default=0)
    classified: Field[str] = field(default="internal", length=15)
    readers: Field[list[Any]] = field(factory=list)
    writers: Field[list[Any]] = field(factory=list)
    retired: Field[bool] = field(default=False)
    key: Field[str | None] = field(default=None, length=168, unique=True, read_only=True)
