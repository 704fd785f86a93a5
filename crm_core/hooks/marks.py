"""What a plugin says of its own things: that one goes away, or may still change."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..classes import frozen
from ..errors import LoadError
from .spec import Hook

if TYPE_CHECKING:
    from .definitions import Definitions

T = TypeVar("T")
_END = r"2\d{3}\.(0[1-9]|1[0-2])"


class CRMDeprecationWarning(DeprecationWarning):
    """Something is used that will go away.

    Attributes:
        plugin: whose it is.
        what: its name.
        replacement: what to use instead.
        end: the year and month from which on it may be gone: ``2027.05``.
    """

    def __init__(self, plugin: str, what: str, replacement: str, end: str) -> None:
        super().__init__(f"{plugin}: {what} may be gone from {end} on; use {replacement}.")
        self.plugin, self.what, self.replacement, self.end = plugin, what, replacement, end


@frozen(eq=False)
class Deprecation:
    """A thing that goes away, what to use instead, and when.

    Attributes:
        plugin: whose it is.
        thing: the hook, event class, command class, or function or class of its api, as it was before it was marked.
        replacement: what to use instead.
        end: the year and month from which on it may be gone.
    """

    plugin: str
    thing: Any
    replacement: str
    end: str

    @property
    def what(self) -> str:
        """The name of the thing."""
        if isinstance(self.thing, Hook):
            return self.thing.name
        return str(getattr(self.thing, "__event_name__", "") or self.thing.__qualname__.rpartition("<locals>.")[2])

    def warn(self, used_by: str = "", *, level: int = 3) -> None:
        """Warn whoever uses it; *used_by* names a plugin that does so when it is loaded."""
        what = f"{self.what}, which {used_by} uses," if used_by else self.what
        warnings.warn(CRMDeprecationWarning(self.plugin, what, self.replacement, self.end), stacklevel=level)


class Marking:
    """The part of a plugin that says what others can rely on, and how long."""

    name: str
    definitions: Definitions

    def deprecated(self, *, replacement: str, end: str) -> Callable[[T], T]:
        """Mark a hook, event class, command class, or a function, method or class of the ``api``: it warns who uses it.

        Functions and classes warn at each call, hooks and events when a plugin that implements or hears them is loaded.

        Args:
            replacement: what to use instead.
            end: the year and month from which on it may be gone: ``2027.05``.

        Raises:
            LoadError: ``deprecation_end``: *end* is no year and month.
        """
        if not re.fullmatch(_END, end, re.ASCII):
            raise LoadError("deprecation_end", plugin=self.name, given=end[:40])

        def declare(thing: T) -> T:
            mark = Deprecation(self.name, thing, replacement, end)
            self.definitions.open.deprecations.append(mark)
            return cast(T, _warning(thing, mark))

        return declare

    def experimental(self, thing: T) -> T:
        """Mark a hook, event class, a function, method or class of the ``api``, or that whole module: it may still change at any time."""
        self.definitions.open.experimental.append(thing)
        return thing


def _warning(thing: Any, found: Deprecation) -> Any:
    """Let a function or class warn at each call. Hooks and events warn when a plugin that uses them is loaded."""
    if isinstance(thing, Hook) or hasattr(thing, "__event_name__"):
        return thing
    if isinstance(thing, type):
        cls: Any = thing
        made = cls.__init__

        @functools.wraps(made)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            found.warn()
            made(self, *args, **kwargs)

        cls.__init__ = init
        return cls

    @functools.wraps(thing)
    def called(*args: Any, **kwargs: Any) -> Any:
        found.warn()
        return thing(*args, **kwargs)

    return called
