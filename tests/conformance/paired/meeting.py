"""The companion: it does not say in two languages why it refuses."""

from __future__ import annotations

from typing import cast

from crm_core import Account, Change, Plugin, WriteCtx, check_write

plugin = Plugin("acme.paired.meeting", version="1.0.0", requires={"acme.paired": ">=1", "acme.beside": ">=1"})


@plugin.hook(check_write, on=Account)
def meet(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse one name."""
    for change in changes:
        if ctx.op == "delete" and cast(Account, change.record).name == "Somebody":
            ctx.refuse(change, "acme.paired.meeting.nobody")
