"""Masking: what an error of a plugin says goes into logs without the personal values that were at hand when it was raised.

Type, code and stack stay. A value is found as it stands, whatever its case; one that the plugin cut, joined or computed with is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any, cast

import attrs

from .entities.entity import Entity
from .entities.meta import spec
from .entities.sealing import MASK
from .errors import CRMError
from .events.event import Change, Event

SHORTEST = 3
"""Shorter texts and numbers tell of nobody, and stand in words by chance."""
_LONG = 8
_MOST = 2_000
_DEEPEST = 6


def personal(*things: Any) -> set[str]:
    """Return the texts of all personal, sensitive, secret and sealed values of records and events, wherever they stand in *things*.

    Fields of extensions and custom fields count as personal, whatever they are classified as.
    """
    return texts(list(islice(_personal(things, 0), _MOST)))


def texts(value: Any) -> set[str]:
    """Return the texts that a value is or is made of, but for short ones."""
    return {text for text in islice(_texts(value), _MOST) if len(text) >= SHORTEST}


def masked(error: BaseException, known: Collection[str] | None) -> BaseException:
    """Return an error for the log: itself where no word of it or of its causes is *known*, else a copy that says ``***`` for what is.

    The copy is of a type with the same name, with the same stack and notes. Without *known* it has no words at all, but codes.
    """
    clean = _without_words if known is None else _cleaner(known)
    if known is not None and all(clean(text) == text for each in _chain(error, []) for text in _said(each)):
        return error
    return _copy(error, clean, {}) or error


def _without_words(text: str) -> str:
    return ""


def _cleaner(known: Collection[str]) -> Callable[[str], str]:
    """Make what replaces values: long ones anywhere, short ones where they are words of their own."""
    if not known:
        return lambda text: text
    forms = {form for value in known for form in (value, repr(value)[1:-1])}
    longest_first = sorted(forms, key=len, reverse=True)
    parts = [re.escape(form) if len(form) >= _LONG else rf"(?<!\w){re.escape(form)}(?!\w)" for form in longest_first]
    pattern = re.compile("|".join(parts), re.IGNORECASE)
    return lambda text: pattern.sub(MASK, text)


# -- values -----------------------------------------------------------------------------------------------------------------------


def _personal(thing: Any, depth: int) -> Iterator[Any]:
    if depth > _DEEPEST:
        return
    if isinstance(thing, Entity):
        yield from _of_record(thing)
    elif isinstance(thing, Event):
        yield from _of_event(thing)
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from _personal(value, depth + 1)
    elif isinstance(thing, list | tuple | set | frozenset):
        for value in thing:
            yield from _personal(value, depth + 1)
    elif attrs.has(type(thing)):
        for a in attrs.fields(type(thing)):
            yield from _personal(getattr(thing, a.name, None), depth + 1)


def _of_record(record: Entity) -> Iterator[Any]:
    for name, field in spec(type(record)).fields.items():
        if field.apart:
            try:
                yield getattr(record, name, None)
            except CRMError:  # its actor may not read it
                continue
    for extension in (record._ext or {}).values():
        yield from (getattr(extension, a.name, None) for a in attrs.fields(cast(Any, type(extension))))
    yield record._custom


def _of_event(event: Event[Any]) -> Iterator[Any]:
    values = event.__dict__
    yield from (values[name] for name in event.__event_personal__ if name in values)
    if event.is_automatic:
        fields = spec(event.record.entity).fields
        for part in values.values():
            if isinstance(part, Mapping):
                yield from (value for name, value in part.items() if name not in fields or fields[name].apart)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts that a value holds: its own, or those of what it is made of."""
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, Change):
        yield from _texts([value.old, value.new])
    elif isinstance(value, Decimal | date) or (isinstance(value, int) and not isinstance(value, bool)):
        yield str(value)
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, Iterable) and not isinstance(value, bytes):
        for item in value:
            yield from _texts(item)
    elif attrs.has(type(value)):
        yield from _texts([getattr(value, a.name, None) for a in attrs.fields(type(value))])


# -- errors -----------------------------------------------------------------------------------------------------------------------


def _chain(error: BaseException | None, seen: list[BaseException]) -> list[BaseException]:
    """Return an error, its causes and its parts."""
    if error is not None and not any(error is each for each in seen):
        seen.append(error)
        _chain(error.__cause__, seen)
        _chain(error.__context__, seen)
        for part in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            _chain(part, seen)
    return seen


def _said(error: BaseException) -> list[str]:
    return [_words(error), *(str(note) for note in getattr(error, "__notes__", ()))]


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return str(error.message)
    try:
        return str(error)
    except Exception:  # a plugin's own __str__
        return ""


def _copy(error: BaseException | None, clean: Callable[[str], str], made: dict[int, BaseException]) -> BaseException | None:
    if error is None or id(error) in made:
        return None if error is None else made[id(error)]
    code = getattr(error, "code", None)
    words = clean(_words(error)) or (code if isinstance(code, str) else "")
    copy = made[id(error)] = _group(error, words, clean) if isinstance(error, BaseExceptionGroup) else _named(error, Exception)(words)
    copy.__cause__, copy.__context__ = _copy(error.__cause__, clean, made), _copy(error.__context__, clean, made)
    copy.__suppress_context__ = error.__suppress_context__
    for note in getattr(error, "__notes__", ()):
        copy.add_note(clean(str(note)))
    return copy.with_traceback(error.__traceback__)


def _named(error: BaseException, base: type[BaseException]) -> type[BaseException]:
    kind = type(error)
    return type(kind.__name__, (base,), {"__module__": kind.__module__, "__qualname__": kind.__qualname__})


def _group(error: BaseExceptionGroup[Any], words: str, clean: Callable[[str], str]) -> BaseException:
    parts = [_copy(part, clean, {}) for part in error.exceptions]
    return _named(error, BaseExceptionGroup)(words, parts)
