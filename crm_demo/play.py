"""Steps that survive a power cut: each is one transaction of the host's, its mark in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import attrs
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, create_engine, func, inspect, select

from .company import START, Company

MARKS = Table("demo_steps", MetaData(), Column("step", Integer, primary_key=True), Column("name", String(100)), Column("clock", String(40)))


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
    """How far the demonstration came: how many steps are done, and what its clock said then."""

    steps: int
    clock: datetime


def progress(url: str) -> Progress:
    """Read how far a database's demonstration came; nowhere, where there is none."""
    engine = create_engine(url)
    try:
        return _read(engine) if inspect(engine).has_table(MARKS.name) else Progress(0, START)
    finally:
        engine.dispose()


def _read(engine: Engine) -> Progress:
    with engine.connect() as connection:
        done, clock = connection.execute(select(func.count(), func.max(MARKS.c.clock)).select_from(MARKS)).one()
    return Progress(done, datetime.fromisoformat(clock) if clock else START)


def play(company: Company, steps: Sequence[Step], after: Callable[[Step], None] = lambda step: None) -> None:
    """Do the steps that are not done yet, most in one transaction each, and deliver what each of them says; *after* hears of each."""
    MARKS.create(company.engine, checkfirst=True)
    company.crm.run_pending()
    done = _read(company.engine).steps
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
    MARKS.drop(engine, checkfirst=True)
    engine.dispose()


def _mark(connection: Connection, number: int, name: str, now: datetime) -> None:
    connection.execute(MARKS.insert().values(step=number, name=name, clock=now.astimezone(UTC).isoformat(timespec="microseconds")))
