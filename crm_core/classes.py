"""attrs' ``define`` and ``frozen`` for the classes that opening a CRM imports: their methods are generated when one is first asked for.

attrs compiles the methods of a class where it is defined, a third of a millisecond each. Opening a CRM imports seventy classes and makes
instances of few. What is generated is attrs' own, so whoever asks for the fields, or makes an instance, finds an attrs class; only slots
are missing, since a class cannot be given them later. Classes of other modules, which are imported when they are used, are attrs' at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any

import attrs


class _Later:
    """Stands for an attribute of a class until it is asked for."""

    def __init__(self, name: str, generate: Callable[[], object]) -> None:
        self._name = name
        self._generate = generate

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        self._generate()
        return getattr(owner if instance is None else instance, self._name)


def later(cls: type[Any], names: Iterable[str], generate: Callable[[], object]) -> None:
    """Let *generate*, which gives *cls* the attributes *names*, run when one of them is first asked for."""
    waiting, alone = True, RLock()

    def once() -> None:
        nonlocal waiting
        with alone:
            if waiting:
                generate()
                waiting = False

    for name in names:
        type.__setattr__(cls, name, _Later(name, once))


if TYPE_CHECKING:
    from attrs import define as define
    from attrs import frozen as frozen
else:

    def define(cls: type[Any] | None = None, **options: Any) -> Any:
        """Do what ``attrs.define`` does, without slots, at the first look."""
        if cls is None:
            return partial(define, **options)
        own = vars(cls)
        # What attrs would look for in the class body; later it would find what stands for it.
        init, shown, eq = (options.pop(name, f"__{name}__" not in own) for name in ("init", "repr", "eq"))
        fixed, ordered = (options.get(name, False) for name in ("frozen", "order"))
        hashed = False if "__hash__" in own else (eq and fixed) or None
        methods = {"__init__": init, "__repr__": shown, "__eq__": eq, "__hash__": hashed, "__attrs_init__": not init}
        methods |= dict.fromkeys(("__setattr__", "__delattr__"), fixed) | dict.fromkeys(("__lt__", "__le__", "__gt__", "__ge__"), ordered)
        exactly = {"init": init, "repr": shown, "eq": eq, "unsafe_hash": hashed, "slots": False, "auto_detect": False}
        names = ["__attrs_attrs__", *(name for name, generated in methods.items() if generated)]
        later(cls, names, partial(attrs.define, cls, **options, **exactly))
        return cls

    frozen = partial(define, frozen=True)
