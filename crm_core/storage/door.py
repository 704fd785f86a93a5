"""The door of a session: what the database says leaves each call as a typed error, in the host's transaction as in one of our own.

A wrong argument leaves it with the name of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import CRMError, Denied, Invalid, WrongArgument
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
        except CRMError as e:
            e._told_by(self.crm.messages)
            if isinstance(e, Denied):
                self._unit.denials.note(self, e, method.__name__)
            elif isinstance(e, WrongArgument):
                e.params.setdefault("call", f"Session.{method.__name__}")
            raise
        except RecursionError as e:
            raise Invalid("too_deep") from e
        except Exception as e:
            if not _is_ours(e, self._unit):
                located(e, self._unit.url)
                raise
            raise located(explained(e, self._unit), self._unit.url) from e

    return call


def explained(error: BaseException, unit: Unit) -> CRMError:
    """Say what a database's error means in this transaction."""
    return meaning(error, write=unit.write, overdue=unit.overdue)


@contextmanager
def at_the_door(unit: Unit) -> Iterator[None]:
    """Let what the database says leave the block as from a session's method."""
    try:
        yield
    except Exception as e:
        if not _is_ours(e, unit):
            located(e, unit.url)
            raise
        raise located(explained(e, unit), unit.url) from e


def _is_ours(error: BaseException, unit: Unit) -> bool:
    # What the host's own ORM session could not flush is the host's to understand.
    return is_database_error(error) and error is not unit.hosts_failure
