"""A hook that fails when records are deleted."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, check_write
from tests.conformance.faulty.words import translate

BREAKS = "CK02"
REASON = "ZeroDivisionError"

plugin = Plugin("acme.tidying", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.hook(check_write, on=Entry)
def weigh(ctx: WriteCtx, changes: list[Change]) -> None:
    """Weigh what goes."""
    if ctx.op == "delete":
        ctx.refuse(changes[0], f"acme.tidying.{1 // 0}")


translate(plugin)
