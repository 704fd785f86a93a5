"""The second use: what it left behind in the process, and in a CRM that stood beside."""

from __future__ import annotations

import atexit
import gc
import inspect
import logging
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ...hooks.surroundings import Surroundings
from .exercise import Exercise, exercised
from .using import listening

if TYPE_CHECKING:
    from .subject import Subject


@attrs.frozen
class Footprint:
    """What a plugin could leave behind in a process."""

    threads: Mapping[int | None, str]
    handlers: tuple[int, ...]
    filters: int
    at_exit: int
    listeners: frozenset[Any]
    process: Mapping[str, Any]
    surroundings: Surroundings
    core: Mapping[str, int]
    globals: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, subject: Subject) -> Footprint:
        """Look at the process, the core, and the module globals of the plugin."""
        return cls(
            {t.ident: t.name for t in threading.enumerate()},
            tuple(map(id, logging.root.handlers)),
            len(warnings.filters),
            atexit._ncallbacks(),
            _listeners(),
            _process(),
            Surroundings.now(),
            _patchable(),
            dict(globals_of(subject)),
        )


@attrs.frozen
class Second:
    """The second use of a plugin.

    Attributes:
        exercise: what happened.
        strayed: the kinds of journal rows that got into a CRM in which nothing was done.
        before, after: the process before the plugin was used at all, and after the CRM was closed.
        changed: what of the surroundings of all code in the process changed.
        held: whether something still refers to the CRM after it was closed.
    """

    exercise: Exercise
    strayed: list[str]
    before: Footprint
    after: Footprint
    changed: list[str]
    held: bool


def second_of(subject: Subject) -> Second:
    """Use everything once more, in a CRM that is closed afterwards."""
    before = subject.untouched  # also what is done at the first use alone is seen
    _ = subject.exercise
    with subject.crm() as other:
        exercise, gone = _used(subject)
        with other.bound.begin(write=False) as connection:
            strayed = [row.kind for row in connection.execute(other.tables.system.journal.select())]
    gc.collect()
    return Second(exercise, strayed, before, Footprint.of(subject), before.surroundings.changed(), gone() is not None)


def _used(subject: Subject) -> tuple[Exercise, weakref.ref[Any]]:
    listeners, called = listening(subject.plugin)
    with subject.crm(*listeners) as crm:
        return exercised(subject, crm, called), weakref.ref(crm)


def _listeners() -> frozenset[Any]:
    """Return what listens to all engines, pools, mappers or ORM sessions there are, as SQLAlchemy keeps it."""
    from sqlalchemy import Engine, Pool
    from sqlalchemy.event import registry
    from sqlalchemy.orm import Mapper, Session

    everybody = {id(cls) for cls in (Engine, Pool, Mapper, Session)}
    return frozenset(key for key in registry._key_to_collection if key[0] in everybody)


def _process() -> dict[str, Any]:
    """Return what else of a process all its code shares."""
    loggers = {name: logger for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger)}
    return {
        "environment": {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "working folder": os.getcwd(),
        "import path": tuple(sys.path),
        "import hooks": tuple(map(id, (*sys.meta_path, *sys.path_hooks))),
        "excepthook": (id(sys.excepthook), id(threading.excepthook)),
        "handlers of loggers": {name: tuple(map(id, logger.handlers)) for name, logger in loggers.items() if logger.handlers},
    }


def _patchable() -> dict[str, int]:
    """Return the functions of the core's modules, and what its classes have, by name."""
    found: dict[str, int] = {}
    for module in [m for name, m in list(sys.modules.items()) if name.partition(".")[0] == "crm_core" and ".testing" not in name]:
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", "") != module.__name__:
                continue
            if isinstance(value, type):
                attrs.has(value)  # whose methods are generated when somebody looks
                own = (
                    (n, v)
                    for n, v in list(vars(value).items())
                    if inspect.isroutine(v) or isinstance(v, property | classmethod | staticmethod)
                )
                # SQLAlchemy sets its dispatch anew when the module that compiles an element is first imported.
                kept = ((n, v) for n, v in own if not n.startswith("__crm") and n != "_compiler_dispatch")
                found |= {f"{module.__name__}.{name}.{n}": id(v) for n, v in kept}
            elif inspect.isfunction(value):
                found[f"{module.__name__}.{name}"] = id(value)
    return found


def globals_of(subject: Subject) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the globals of a plugin's modules, and the containers in its classes, by name: what each is, and how much it holds."""
    for module in subject.source.loaded:
        for name, value in list(vars(module).items()):
            if name.startswith("__"):
                continue
            yield f"{module.__name__}.{name}", (id(value), _size(value))
            if isinstance(value, type) and value.__module__ == module.__name__:
                held = ((n, v) for n, v in list(vars(value).items()) if isinstance(v, list | dict | set) and not n.startswith("__"))
                yield from ((f"{module.__name__}.{name}.{n}", (id(v), _size(v))) for n, v in held)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, list | dict | set) else 0
