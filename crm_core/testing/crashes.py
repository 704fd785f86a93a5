"""The crash injector: end a write at a named point of its way, where it is known what must be there afterwards.

============== ============================================================= ==========
point          what was done                                                 what stays
============== ============================================================= ==========
before_rows    checked, and hooks asked; no row is written                   nothing
before_journal rows are written, their journal is not                        nothing
before_commit  all is written                                                nothing
after_commit   all is committed, and nobody was told                         everything
============== ============================================================= ==========
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

from sqlalchemy import Connection, event

if TYPE_CHECKING:
    from ..crm import CRM

Point = Literal["before_rows", "before_journal", "before_commit", "after_commit"]
POINTS: tuple[Point, ...] = get_args(Point)
DIED = 86
"""The exit code of a process that :func:`die` ended."""
_METHODS: dict[str, tuple[str, ...]] = {"before_rows": ("insert", "update"), "before_journal": ("journal",)}


class Crashed(BaseException):
    """The call ended at a point. No ``except Exception`` keeps it from the test.

    Attributes:
        point: where.
        kept: whether what was written must be there afterwards.
    """

    def __init__(self, point: Point) -> None:
        super().__init__(f"crashed at {point}")
        self.point = point
        self.kept = point == "after_commit"


def stop(point: Point) -> NoReturn:
    """End the call: the process goes on, and a test can look."""
    raise Crashed(point)


def die(point: Point) -> NoReturn:
    """End the process at once, as a kill does: nothing is cleaned up, and the exit code is :data:`DIED`."""
    os._exit(DIED)


@contextmanager
def crash(crm: CRM, at: Point, *, by: Callable[[Point], NoReturn] = stop) -> Iterator[None]:
    """End every write of *crm* inside the block, its delivery's too, when it comes to a point; reads go on.

    At a commit the connection is cut, as a crash cuts it; so the database is a file or a server, not one in memory.

    Args:
        at: where.
        by: :func:`stop`, or :func:`die` in a process that a test started.

    Raises:
        Crashed: by *stop*, from the call that came to the point.
    """
    writers, written = crm.writer, list[Connection]()

    def patched(connection: Connection) -> Any:
        writer = copy.copy(writers(connection))
        for name in _METHODS.get(at, ()):
            setattr(writer, name, partial(_fail, by, at))
        if at not in _METHODS:
            setattr(writer, "journal", partial(note, writer.journal))  # noqa: B010  # for a type checker it is a method
        return writer

    def note(journal: Callable[..., None], connection: Connection, *args: Any, **kwargs: Any) -> None:
        written.append(connection)
        journal(connection, *args, **kwargs)

    def on_commit(connection: Connection) -> None:
        if connection not in written:  # it only read
            return
        if at == "after_commit":
            connection.connection.commit()
        connection.invalidate()
        by(at)

    engine = crm.bound.synchronous().engine
    crm.writer = patched  # type: ignore[assignment]  # it is called like one
    event.listen(engine, "commit", on_commit)
    try:
        yield
    finally:
        event.remove(engine, "commit", on_commit)
        crm.writer = writers


def _fail(by: Callable[[Point], NoReturn], at: Point, *_: Any, **__: Any) -> NoReturn:
    by(at)
