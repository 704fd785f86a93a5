"""What is to be in the ERP: asked of the module whose records those are, for the bridge itself may not see them [C63]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from crm_core import Ctx, FirstHook, Refused, Session

from .mapping import Stream
from .plugin import plugin

NIL = "00000000-0000-0000-0000-000000000000"


@attrs.define(eq=False)
class DueCtx(Ctx):
    """Which records are asked for.

    Attributes:
        record: our entity's name, as ``sales.opportunity``.
        after: where no ids are asked: go on after this id.
    """

    record: str = ""
    after: str = NIL


due: FirstHook[DueCtx, list[str], list[dict[str, Any]]] = FirstHook("erp_bridge.due")
"""Say which records of ``ctx.record`` are to be in the ERP, as plain JSON: of these ids, or, where there are none, the next 500 after
``ctx.after`` by id. Answer None of a kind that is not yours: then all of that kind are."""

plugin.hooks(due)


def due_of(own: Session, record: str, ids: Sequence[str]) -> dict[str, dict[str, Any]] | None:
    """Return those of our records that are to be in the ERP, by id, as plain JSON; None where nobody answers and we do not see them."""
    answer = due(DueCtx(session=own, record=record), list(ids)) if ids else []
    if answer is None:
        entity = own.crm.entity(record)
        if not own.can("read", entity):
            return None
        answer = [own.crm.to_json(each) for each in own.get_many(entity, ids)]
    return {plain["id"]: plain for plain in answer}


def all_due(own: Session, stream: Stream) -> Iterator[list[str]]:
    """Yield the ids of all records that are to be in the ERP, in batches; none of a kind that nobody answers for and we do not see.

    Raises:
        Refused: ``erp_bridge.due_stuck``: who answers does not go on, and would do so for ever.
    """
    entity: Any = own.crm.entity(stream.record)
    after = NIL
    while True:
        answer = due(DueCtx(session=own, record=stream.record, after=after), [])
        if answer is not None:
            ids = [plain["id"] for plain in answer]
        elif own.can("read", entity):
            ids = [r.id for r in own.query(entity).where(entity.id > after).order_by(entity.id).page(500)]
        else:
            ids = []
        if not ids:
            return
        if max(ids) <= after:
            raise Refused("erp_bridge.due_stuck", record=stream.record, after=after)
        yield ids
        after = max(ids)
