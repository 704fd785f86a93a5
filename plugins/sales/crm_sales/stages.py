"""What holds between stages and the deals in them."""

from __future__ import annotations

from typing import Any, cast

from crm_core import Change, Ref, Session, WriteCtx, after_write, check_write

from .opportunities import Opportunity
from .pipeline import Pipeline, Stage, Status
from .plugin import plugin


@plugin.hook(check_write, on=Pipeline)
def check_pipelines(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse the removal or renaming of a pipeline with deals in it."""
    gone = [c for c in changes if c.old is not None and c.fields & {"key", "deleted_at"} and ctx.op != "restore"]
    if not gone:
        return
    with ctx.elevated("pipelines in use") as elevated:
        for change in gone:
            key = cast(Pipeline, change.old).key
            if elevated.query(Opportunity).where(Opportunity.pipeline == key).count(limit=1):
                ctx.refuse(change, "sales.pipeline_in_use", field="key", key=key)


@plugin.hook(check_write, on=Stage)
def check_stages(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse a second stage of one key, and the removal or renaming of a stage with deals in it."""
    touched = [c for c in changes if c.old is None or c.fields & {"key", "pipeline", "deleted_at"}]
    if not touched:
        return
    with ctx.elevated("stages in use") as elevated:
        taken = _keys(elevated, [cast(Stage, c.record) for c in touched]) if ctx.op != "delete" else {}
        for change in touched:
            stage, old = cast(Stage, change.record), cast("Stage | None", change.old)
            if taken.get((stage.pipeline, stage.key), set()) - {stage.id}:
                ctx.refuse(change, "sales.stage_twice", field="key", key=stage.key)
            if old is not None and ctx.op != "restore" and elevated.query(Opportunity).where(*_within(elevated, old)).count(limit=1):
                ctx.refuse(change, "sales.stage_in_use", field="key", key=old.key)


def _keys(session: Session, stages: list[Stage]) -> dict[tuple[Ref[Pipeline], str], set[str]]:
    """Return who has each pipeline's key: of what is stored, and of *stages* themselves."""
    of = Stage.pipeline.in_({stage.pipeline.id for stage in stages})
    found: dict[tuple[Ref[Pipeline], str], set[str]] = {}
    for stage in (*session.query(Stage).where(of, Stage.key.in_({stage.key for stage in stages})).all(), *stages):
        found.setdefault((stage.pipeline, stage.key), set()).add(stage.id)
    return found


def _within(session: Session, stage: Stage) -> tuple[Any, Any]:
    """Match the deals in a stage."""
    return Opportunity.pipeline == session.get(Pipeline, stage.pipeline).key, Opportunity.stage == stage.key


@plugin.hook(after_write, on=Stage)
def follow_stage(ctx: WriteCtx, changes: list[Change]) -> None:
    """Let open deals follow their stage's new probability and forecast; closed ones stay as they were."""
    moved = [c for c in changes if c.old is not None and c.fields & {"probability", "forecast"} and ctx.op == "update"]
    if not moved:
        return
    with ctx.elevated("deals follow their stage") as elevated:
        for change in moved:
            stage, old = cast(Stage, change.record), cast(Stage, change.old)
            as_before = (Opportunity.probability == old.probability, Opportunity.forecast == old.forecast)
            deals = elevated.query(Opportunity).where(*_within(elevated, stage), Opportunity.status == Status.OPEN, *as_before)
            elevated.update_where(deals, {"probability": stage.probability, "forecast": stage.forecast})
