"""Steps that survive a power cut: each is one transaction of the host's, its mark in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import attrs
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, create_engine, func, inspect, select

from .company import START, Company

OURS = MetaData()
MADE = Table("demo_made", OURS, Column("seed", Integer), Column("days", Integer), Column("lives", Integer))
MARKS = Table("demo_steps", OURS, Column("step", Integer, primary_key=True), Column("name", String(100)), Column("clock", String(40)))


@attrs.frozen
class Step:
    """A part of the story.

    Attributes:
        name: what it is called.
        run: what is done.
        joined: in the host's transaction; else in transactions of its own, so that what was done before a power cut is found done.
    """

    name: str
    run: Callable[[Company], None]
    joined: bool = True


@attrs.frozen
class Progress:
    """How far the demonstration came.

    Attributes:
        steps: how many are done.
        clock: what its clock said then.
        lives: how many processes have worked on it; none, where there is no demonstration.
        seed, days: what the first of them was given.
    """

    steps: int = 0
    clock: datetime = START
    lives: int = 0
    seed: int | None = None
    days: int | None = None


def progress(url: str) -> Progress:
    """Read how far a database's demonstration came; nowhere, where there is none."""
    engine = create_engine(url)
    try:
        return _read(engine) if inspect(engine).has_table(MADE.name) else Progress()
    finally:
        engine.dispose()


def begin(url: str, seed: int, days: int) -> Progress:
    """Begin a life of a database's demonstration, and return how far those before it came.

    It is counted before it does anything: the ids of a life follow from its number, and one that died may have left some behind.
    """
    engine = create_engine(url)
    try:
        OURS.create_all(engine)
        came = _read(engine)
        with engine.begin() as connection:
            if came.lives:
                connection.execute(MADE.update().values(lives=came.lives + 1))
            else:
                connection.execute(MADE.insert().values(seed=seed, days=days, lives=1))
        return came
    finally:
        engine.dispose()


def _read(engine: Engine) -> Progress:
    with engine.connect() as connection:
        made = connection.execute(select(MADE.c.seed, MADE.c.days, MADE.c.lives)).one_or_none()
        if made is None:
            return Progress()
        done, clock = connection.execute(select(func.count(), func.max(MARKS.c.clock)).select_from(MARKS)).one()
    return Progress(done, datetime.fromisoformat(clock) if clock else START, made.lives, made.seed, made.days)


def play(company: Company, steps: Sequence[Step], after: Callable[[Step], None] = lambda step: None) -> None:
    """Do the steps that are not done yet, most in one transaction each, and deliver what each of them says; *after* hears of each."""
    MARKS.create(company.engine, checkfirst=True)
    company.crm.run_pending()
    with company.engine.connect() as connection:
        done = connection.execute(select(func.count()).select_from(MARKS)).scalar_one()
    for number, step in list(enumerate(steps))[done:]:
        if not step.joined:
            step.run(company)
        with company.transaction() as connection:
            if step.joined:
                step.run(company)
            _mark(connection, number, step.name, company.clock.now())
        company.crm.run_pending()
        after(step)


def forget(url: str) -> None:
    """Forget how far a database's demonstration came."""
    engine = create_engine(url)
    OURS.drop_all(engine)
    engine.dispose()


def _mark(connection: Connection, number: int, name: str, now: datetime) -> None:
    connection.execute(MARKS.insert().values(step=number, name=name, clock=now.astimezone(UTC).isoformat(timespec="microseconds")))
