"""Pipelines as data: which stages a deal goes through, how likely each makes it, which of them end it [C14]."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import ClassVar

import attrs

from crm_core import Conflict, Entity, Field, Ref, Refused, Session, field

from .plugin import plugin


class Status(Enum):
    """Whether a deal is still open, and how it ended."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


class Forecast(Enum):
    """How sure a deal is in a forecast; each category holds those above it when they are rolled up."""

    PIPELINE = "pipeline"
    BEST = "best"
    COMMIT = "commit"
    CLOSED = "closed"
    OMITTED = "omitted"


class Pipeline(Entity):
    """A way of selling; ``key`` is what ``Opportunity.pipeline`` holds. Deals that name none go through the main one.

    Attributes:
        main: whether it is the one for deals that name none.
    """

    key: Field[str] = field(unique=True, length=60)
    name: Field[str] = field(label="Name", classified="internal")
    main: Field[bool] = field(default=False, label="Main pipeline")


class Stage(Entity):
    """A step of a pipeline.

    ``key`` is what ``Opportunity.stage`` holds; ``probability`` is in percent. A deal takes probability and forecast over when it
    enters the stage, and open deals follow when the stage changes.

    Attributes:
        pipeline: the pipeline it is a step of.
        label: what people call it.
        position: its place in the pipeline; the lowest comes first.
        status: whether a deal in it is open, won or lost.
        forecast: how a deal in it counts in the forecast.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("pipeline", "position"),)

    pipeline: Field[Ref[Pipeline]] = field(on_delete="cascade")
    key: Field[str] = field(length=60)
    label: Field[str]
    position: Field[int] = field(min=0)
    probability: Field[int] = field(min=0, max=100)
    status: Field[Status] = field(default=Status.OPEN)
    forecast: Field[Forecast] = field(default=Forecast.PIPELINE)


plugin.entities(Pipeline, Stage)

MAIN = "main"
_MAIN_STAGES: tuple[tuple[str, str, int, Status, Forecast], ...] = (
    ("new", "New", 10, Status.OPEN, Forecast.PIPELINE),
    ("prospecting", "Prospecting", 20, Status.OPEN, Forecast.PIPELINE),
    ("engaging", "Engaging", 40, Status.OPEN, Forecast.PIPELINE),
    ("proposal", "Proposal", 60, Status.OPEN, Forecast.BEST),
    ("negotiation", "Negotiation", 80, Status.OPEN, Forecast.COMMIT),
    ("won", "Won", 100, Status.WON, Forecast.CLOSED),
    ("lost", "Lost", 0, Status.LOST, Forecast.OMITTED),
)


@contextmanager
def reference(session: Session, *entities: type[Entity]) -> Iterator[Session]:
    """Give a session that reads *entities*: the actor's own where their roles allow it, else an elevated one.

    A host's role that sells need not know of stages, prices and rates; what is decided with them is decided for everybody alike.
    """
    if all(session.can("read", entity) for entity in entities):
        yield session
    else:
        with session.elevated("reference data of sales") as elevated:
            yield elevated


class Stages:
    """The stages of a tenant as they are now.

    Args:
        made: a tenant without pipelines gets the main one.
    """

    def __init__(self, session: Session, *, made: bool = True) -> None:
        self._by_pipeline = _read(session)
        if made and not self._by_pipeline:
            first_pipeline(session)
            self._by_pipeline = _read(session)

    @property
    def main(self) -> str:
        """The pipeline of deals that name none; empty where there are no pipelines."""
        return next(iter(self._by_pipeline), "")

    def of(self, pipeline: str) -> Sequence[Stage]:
        """Return a pipeline's stages in order; none of one that does not exist."""
        return self._by_pipeline.get(pipeline, ())

    def find(self, pipeline: str, key: str) -> Stage | None:
        """Return the stage of that key."""
        return next((s for s in self.of(pipeline) if s.key == key), None)

    def first(self, pipeline: str, status: Status) -> Stage:
        """Return the first stage of a status.

        Raises:
            Refused: ``sales.no_such_stage``: the pipeline has none.
        """
        found = next((s for s in self.of(pipeline) if s.status is status), None)
        if found is None:
            raise Refused("sales.no_such_stage", status=status.value)
        return found


def _read(session: Session) -> Mapping[str, Sequence[Stage]]:
    """Read pipelines with their stages, the main pipeline first."""
    with reference(session, Pipeline, Stage) as reader:
        pipelines = reader.query(Pipeline).order_by(Pipeline.main.desc(), Pipeline.created_at).all()
        stages = reader.query(Stage).order_by(Stage.position).all() if pipelines else []
    return {p.key: [s for s in stages if s.pipeline == p.ref] for p in pipelines}


@attrs.frozen
class StageDraft:
    """A stage of a pipeline to be: see :class:`Stage`."""

    key: str
    label: str
    probability: int
    status: Status = Status.OPEN
    forecast: Forecast = Forecast.PIPELINE


def first_pipeline(session: Session) -> Ref[Pipeline]:
    """Make the main pipeline where the tenant has none, and return it. Many may call it at once."""
    with session.elevated("the first pipeline") as elevated:
        for _ in range(2):
            known = elevated.query(Pipeline).order_by(Pipeline.main.desc(), Pipeline.created_at).first()
            if known is not None:
                return known.ref
            try:
                with elevated.savepoint():
                    return make(elevated, MAIN, "Sales", [StageDraft(*facts) for facts in _MAIN_STAGES], main=True)
            except Conflict:
                continue  # another session made it first
    raise Refused("sales.no_pipeline")


def make(session: Session, key: str, name: str, stages: Sequence[StageDraft], *, main: bool = False) -> Ref[Pipeline]:
    """Make a pipeline with its stages."""
    made = session.create(Pipeline(key=key, name=name, main=main))
    session.create_many(Stage(pipeline=made.ref, position=n, **attrs.asdict(draft)) for n, draft in enumerate(stages))
    return made.ref
