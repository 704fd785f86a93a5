"""Whether calling code gave what a verb takes: a mistake in a program is named where it was made, not deep inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any

from .entities.entity import Entity
from .entities.fields import Ref
from .entities.meta import EntityMeta, spec
from .errors import Invalid, LoadError, WrongArgument
from .messages import redact

LONGEST_LINE = 255


def check_entity(given: Any) -> None:
    """Raise ``WrongArgument`` where *given* is not the class of an entity."""
    if not isinstance(given, EntityMeta):
        raise _wrong(given, "the class of an entity")


def check_record(*given: Any) -> None:
    """Raise ``WrongArgument`` where one is not a record."""
    for each in given:
        if not isinstance(each, Entity):
            raise _wrong(each, "a record")


def check_record_or_ref(given: Any) -> None:
    """Raise ``WrongArgument`` where *given* is neither a record nor a reference to one."""
    if not isinstance(given, Entity | Ref):
        raise _wrong(given, "a record or a reference")


def check(given: Any, kind: type[Any] | tuple[type[Any], ...], expected: str) -> None:
    """Raise ``WrongArgument`` where *given* is not of a kind."""
    if not isinstance(given, kind):
        raise _wrong(given, expected)


def check_text(*given: Any) -> None:
    """Raise ``WrongArgument`` where one is not text."""
    for each in given:
        check(each, str, "a text")


def check_many(given: Any, expected: str) -> None:
    """Raise ``WrongArgument`` where *given* does not hold many: one of them, or text, which holds letters."""
    if isinstance(given, str | bytes | Mapping | Entity | type) or not isinstance(given, Iterable):
        raise _wrong(given, expected)


def check_one_of(given: Any, *known: str) -> None:
    """Raise ``WrongArgument`` where *given* is none of the words that are known."""
    if not isinstance(given, str) or given not in known:
        raise _wrong(given, " or ".join(map(repr, known)))


def check_directory(given: Any) -> None:
    """Raise where *given* is no directory: an object whose ``users`` and ``actor`` are functions that return, and do not await.

    Raises:
        WrongArgument: a class, or an object that lacks one of them.
        LoadError: ``directory_async``.
    """
    for name in ("users", "actor"):
        function = getattr(given, name, None)
        if isinstance(given, type) or not callable(function):
            raise _wrong(given, "a directory, an object with users(tenant, ids) and actor(tenant, user_id)")
        if iscoroutinefunction(function):
            raise LoadError("directory_async", function=name)


def check_expressions(given: Sequence[Any]) -> None:
    """Raise ``WrongArgument`` where one is nothing that SQL can compute: text, or a comparison that Python made."""
    for each in given:
        if isinstance(each, type) or not (hasattr(each, "__clause_element__") or hasattr(each, "__visit_name__")):
            raise _wrong(each, "an expression like Account.name == 'Acme'")


def check_reference(given: Any, entity: type[Any]) -> None:
    """Raise ``WrongArgument`` where *given* is not a reference field of an entity: ``Contact.account``."""
    name = getattr(getattr(given, "field", None), "name", None)
    field = spec(entity).fields.get(name) if isinstance(name, str) else None
    if field is None or field.kind != "ref":
        raise _wrong(given, f"a reference of {entity.__name__}")


def check_line(**texts: str | None) -> None:
    """Check texts that are one line, like the reason in every row of the journal.

    Raises:
        Invalid: one is no printable text of at most 255 characters.
    """
    wrong = [n for n, t in texts.items() if t is not None and not (isinstance(t, str) and len(t) <= LONGEST_LINE and t.isprintable())]
    if wrong:
        expected = f"a printable text of at most {LONGEST_LINE} characters"
        raise Invalid("wrong_type", field=wrong[0], given=redact(texts[wrong[0]]), expected=expected)


def _wrong(given: Any, expected: str) -> WrongArgument:
    # Named by its type alone: the value may be personal.
    shown = f"the class {given.__name__}" if isinstance(given, type) else f"a value of the type {type(given).__name__}"
    return WrongArgument(given=shown, expected=expected)
