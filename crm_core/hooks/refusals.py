"""Refusals: what vetoes say, and how it reaches the caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import Detail

if TYPE_CHECKING:
    from .parts import Contribution


@attrs.frozen
class Refusal:
    """One reason why a veto does not let something pass.

    Attributes:
        record: what is refused: an item of the batch, its record, or something that stands for the whole call.
        code: the message's id, prefixed by the plugin's name.
        params: values for the message.
        field: the field to blame, where there is one.
        by: the implementation that refused.
    """

    record: Any
    code: str
    params: dict[str, Any]
    field: str
    by: Contribution


def by_position(refusals: Iterable[Refusal], items: Sequence[Any]) -> dict[int | None, list[Refusal]]:
    """Group refusals by which of *items* they are about; None is the whole call."""
    where = {id(getattr(item, "record", item)): n for n, item in enumerate(items)} | {id(item): n for n, item in enumerate(items)}
    groups: dict[int | None, list[Refusal]] = {}
    for refusal in refusals:
        groups.setdefault(where.get(id(refusal.record)), []).append(refusal)
    return groups


def as_details(refusals: Iterable[Refusal], items: Sequence[Any]) -> list[Detail]:
    """Turn refusals into an error's details; ``row`` counts from 0 and is set where the batch has several items."""
    return [
        Detail(_entity_name(r.record), r.field, r.code, params={"plugin": r.by.plugin, **r.params}, row=row if len(items) > 1 else None)
        for row, group in by_position(refusals, items).items()
        for r in group
    ]


def _entity_name(record: Any) -> str:
    from ..entities.entity import Entity
    from ..entities.meta import spec

    record = getattr(record, "record", record)
    return spec(type(record)).name if isinstance(record, Entity) else type(record).__name__
