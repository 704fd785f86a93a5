"""A Changeset: what one call asks to change, as one batch of records of one entity."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import attrs

from ..entities.entity import Entity
from ..errors import CRMError
from ..hooks.core_specs import Change

E = TypeVar("E", bound=Entity)

Operation = Literal["create", "update", "delete", "restore"]


@attrs.define
class Changeset:
    """A batch on its way through the pipeline.

    Attributes:
        entity: the class of all its records.
        op: what is done to them.
        changes: old and new state of each record, in the caller's order.
        rows: the caller's index of each change, for error reports.
    """

    entity: type[Any]
    op: Operation
    changes: list[Change]
    rows: list[int]

    def only(self, keep: list[int]) -> Changeset:
        """Return the changeset without the changes that were refused; *keep* are positions."""
        return Changeset(self.entity, self.op, [self.changes[i] for i in keep], [self.rows[i] for i in keep])


@attrs.frozen
class BulkResult(Generic[E]):
    """What became of many records: those written, and the index and error of each that was not."""

    ok: list[E]
    failed: list[tuple[int, CRMError]]
