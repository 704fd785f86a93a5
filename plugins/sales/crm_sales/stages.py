"""What holds between stages and the deals in them."""

from __future__ import annotations

from typing import Any, cast

from crm_core import Change, WriteCtx, after_write, check_write

from .opportunities import Opportunity
from .pipeline import Stage, Status
from .plugin import plugin


@plugin.hook(check_write, on=Stage)
def check_stages(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse a second stage of one key, and the removal or renaming of a stage with deals in it."""
    touched = [c for c in changes if c.old is None or c.fields & {"key", "pipeline", "deleted_at"}]
    if not touched:
        return
    with ctx.elevated("stages in use") as elevated:
        for change in touched:
            stage, old = cast(Stage, change.record), cast("Stage | None", change.old)
            twins = [c.record for c in changes if c is not change and ctx.op in ("create", "update")]
            taken = elevated.query(Stage).where(Stage.pipeline == stage.pipeline, Stage.key == stage.key, Stage.id != stage.id).count()
            if ctx.op != "delete" and (taken or any(_same_key(stage, cast(Stage, t)) for t in twins)):
                ctx.refuse(change, "sales.stage_twice", field="key", key=stage.key)
            if old is not None and ctx.op != "restore":
                used = elevated.query(Opportunity).where(Opportunity.pipeline == old.pipeline, Opportunity.stage == old.key).count(limit=1)
                if used:
                    ctx.refuse(change, "sales.stage_in_use", field="key", key=old.key)


def _same_key(one: Stage, other: Stage) -> bool:
    return (one.pipeline, one.key) == (other.pipeline, other.key)


@plugin.hook(after_write, on=Stage)
def follow_stage(ctx: WriteCtx, changes: list[Change]) -> None:
    """Let open deals follow their stage's new probability and forecast; closed ones stay as they were."""
    moved = [c for c in changes if c.old is not None and c.fields & {"probability", "forecast"} and ctx.op == "update"]
    if not moved:
        return
    with ctx.elevated("deals follow their stage") as elevated:
        for change in moved:
            stage, old = cast(Stage, change.record), cast(Stage, change.old)
            within = (Opportunity.pipeline == stage.pipeline, Opportunity.stage == stage.key, Opportunity.status == Status.OPEN)
            changed: dict[str, Any] = {"probability": stage.probability, "forecast": stage.forecast}
            as_before = (Opportunity.probability == old.probability, Opportunity.forecast == old.forecast)
            elevated.update_where(elevated.query(Opportunity).where(*within, *as_before), changed)
