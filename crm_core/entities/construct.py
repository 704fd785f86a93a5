"""The constructor of an entity: attrs' own, but what it does not know is a typed error that suggests the right name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from ..errors import Detail, Invalid
from ..messages import closest, redact


def constructor(cls: type[Any]) -> Callable[..., None]:
    """Generate ``__init__`` of an attrs class; it takes unknown names too.

    That costs a construction 3 %. A metaclass that catches Python's own TypeError would cost 60 %.
    """
    scope: dict[str, Any] = {"refuse": _refuse, "NOTHING": attrs.NOTHING}
    arguments, lines = [], []
    for n, a in enumerate(a for a in attrs.fields(cls) if a.init):
        made = isinstance(a.default, attrs.Factory)  # type: ignore[arg-type]  # a class, though its stub says a function
        scope[f"d{n}"] = a.default.factory if made else a.default
        arguments.append(a.name if a.default is attrs.NOTHING else f"{a.name}=NOTHING" if made else f"{a.name}=d{n}")
        lines.append(f"self.{a.name} = d{n}() if {a.name} is NOTHING else {a.name}" if made else f"self.{a.name} = {a.name}")
    given = ", ".join(["self", *(["*"] if arguments else []), *arguments, "**unknown_"])
    body = ["if unknown_: refuse(type(self), unknown_)", *lines, "self.__attrs_post_init__()"]
    exec("\n    ".join([f"def __init__({given}):", *body]), scope)  # of names that are identifiers
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    return init


def _refuse(cls: type[Any], unknown: Mapping[str, Any]) -> None:
    known = [a.name for a in attrs.fields(cls) if a.init]
    raise Invalid(details=list(_unknown(cls, known, unknown)))


def _unknown(cls: type[Any], known: Iterable[str], unknown: Mapping[str, Any]) -> Iterable[Detail]:
    for name, value in unknown.items():
        if name in cls.__crm_options__:
            yield Detail(cls.__name__, name, "read_only_field", redact(value))
        else:
            # A name that was mistyped says nothing of how its value is classified.
            yield Detail(cls.__name__, name[:60], "unknown_field", type(value).__name__, {"suggestion": closest(name, known)})
