"""The door of a session: what the database says leaves each call as a typed error, in the host's transaction as in one of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from .failures import is_database_error, located, meaning

if TYPE_CHECKING:
    from .unit import Unit

C = TypeVar("C", bound=type[Any])


def typed_errors(cls: C) -> C:
    """Let each public method of a session's class raise what a database's error means, from that error."""
    for name, member in list(vars(cls).items()):
        if isinstance(member, FunctionType) and not name.startswith("_"):
            setattr(cls, name, _typed(member))
    return cls


def _typed(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as e:
            if not _is_ours(e, self.unit):
                located(e, self.unit.url)
                raise
            raise located(meaning(e, write=self.unit.write), self.unit.url) from e

    return call


@contextmanager
def at_the_door(unit: Unit) -> Iterator[None]:
    """Let what the database says leave the block as from a session's method."""
    try:
        yield
    except Exception as e:
        if not _is_ours(e, unit):
            located(e, unit.url)
            raise
        raise located(meaning(e, write=unit.write), unit.url) from e


def _is_ours(error: BaseException, unit: Unit) -> bool:
    # What the host's own ORM session could not flush is the host's to understand.
    return is_database_error(error) and error is not unit.hosts_failure
