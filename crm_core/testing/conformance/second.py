"""The second use: what it left behind in the process, and in a CRM that stood beside."""

from __future__ import annotations

import atexit
import gc
import logging
import threading
import warnings
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ...hooks.surroundings import Surroundings
from .exercise import Exercise, exercised

if TYPE_CHECKING:
    from .subject import Subject


@attrs.frozen
class Footprint:
    """What a plugin could leave behind in a process."""

    threads: Mapping[int | None, str]
    handlers: tuple[int, ...]
    filters: int
    at_exit: int
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
        before, after: the process before the CRM was opened, and after it was closed.
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
    _ = subject.exercise  # the first use of a definition reads its annotations, once a process
    with subject.crm() as other:
        before = Footprint.of(subject)
        exercise, gone = _used(subject)
        with other.bound.begin(write=False) as connection:
            strayed = [row.kind for row in connection.execute(other.tables.system.journal.select())]
    gc.collect()
    return Second(exercise, strayed, before, Footprint.of(subject), before.surroundings.changed(), gone() is not None)


def _used(subject: Subject) -> tuple[Exercise, weakref.ref[Any]]:
    with subject.crm() as crm:
        return exercised(subject, crm), weakref.ref(crm)


def _patchable() -> dict[str, int]:
    from ...crm import CRM
    from ...entities.customer import Account, Contact
    from ...hooks.plugin import Plugin
    from ...session import Session

    kinds = (CRM, Session, Plugin, Account, Contact)
    return {f"{kind.__name__}.{name}": id(value) for kind in kinds for name, value in vars(kind).items() if not name.startswith("__crm")}


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
