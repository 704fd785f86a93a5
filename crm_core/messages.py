"""What people read: templates by message id, the choice of a language, the redaction of values and the proposal of names."""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from .classes import frozen
from .ondemand import OnFirstUse

_PLACEHOLDER = r"\{(\w+)\}"
_OPTIONAL = r"\[([^\[\]]*)\]"
_SHOWN = 40
_MOST = 300
_LONGEST_LOCALE = 35  # as an actor's may be


@frozen
class Catalogue:
    """The templates of one language: ``Catalogue("de", {"acme.blocked": "{tier} ist gesperrt"})``.

    A template's ``{name}`` is a parameter; a part in square brackets is left out where one of its parameters is missing or empty.
    """

    locale: str
    templates: Mapping[str, str]


class Messages:
    """The catalogues of one CRM: the core's, then those its plugins bring; a later one wins."""

    def __init__(self, catalogues: Iterable[Catalogue] = ()) -> None:
        self._brought = tuple(catalogues)

    @OnFirstUse
    def _by_locale(self) -> Mapping[str, Mapping[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for catalogue in (*core_catalogues(), *self._brought):
            found.setdefault(catalogue.locale, {}).update(catalogue.templates)
        return found

    def template(self, code: str, locale: str = "en") -> str | None:
        """Find the template of *code*: ``zh_CN``, then ``zh``, then ``en``; None where no language has it."""
        for name in fallbacks(locale):
            found = self._by_locale.get(name, {}).get(code)
            if found is not None:
                return found
        return None

    def speaks(self, locale: str) -> bool:
        """Say whether there are words in a language or, for ``zh_CN``, in ``zh``."""
        return any(name in self._by_locale for name in _spellings(locale))

    def text(self, code: str, params: Mapping[str, Any], locale: str = "en") -> str:
        """Say *code* in words of *locale*; without a template, the code with its parameters. A missing parameter is shown as ``?``."""
        template = self.template(code, locale)
        if template is None:
            given = ", ".join(f"{name}={_show(value)}" for name, value in params.items())
            return f"{code} ({given})" if given else code
        return _fill(template, params)


def text(code: str, params: Mapping[str, Any], locale: str = "en") -> str:
    """Say one of the core's own messages; a CRM's ``Messages`` knows its plugins' too."""
    return _CORE_MESSAGES.text(code, params, locale)


def redact(value: object) -> str:
    """Describe *value* without giving away what may be personal: text and containers by type and size, numbers and dates as they are."""
    if isinstance(value, enum.Enum):
        return _cut(str(value.value))
    if isinstance(value, int) and value.bit_length() > 128:
        return f"int({value.bit_length()} bits)"
    if value is None or isinstance(value, int | float | Decimal | date | timedelta):
        return _cut(str(value))
    if isinstance(value, str | bytes | bytearray | list | tuple | set | frozenset | dict):
        return f"{type(value).__name__}({len(value)})"
    return _cut(type(value).__name__)


def wordless(error: BaseException) -> str:
    """Name an error by its code, or by where it was raised, without its words, which may hold what is sealed."""
    import traceback
    from pathlib import PurePath

    code = getattr(error, "code", None)
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].name}, line {frames[-1].lineno} of {PurePath(frames[-1].filename).name}" if frames else "?"
    return f"{type(error).__name__}: {_cut(code) if isinstance(code, str) else where}"


def closest(given: object, known: Iterable[str]) -> str:
    """Return the known name that *given* most likely means, for a message's ``suggestion``; empty where none is like it."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(str(given)[:80], sorted(known), 1)), "")


def _cut(shown: str) -> str:
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


def _spellings(locale: str) -> Iterable[str]:
    parts = locale[:_LONGEST_LOCALE].replace("-", "_").split("_")
    for size in range(len(parts), 0, -1):
        yield "_".join(parts[:size])


def fallbacks(locale: str) -> Iterable[str]:
    """Yield the languages to look a text up in: ``zh_CN``, ``zh``, ``en``."""
    yield from _spellings(locale)
    yield "en"


def _fill(template: str, params: Mapping[str, Any]) -> str:
    def keep(part: re.Match[str]) -> str:
        names = re.findall(_PLACEHOLDER, part[1])
        return part[1] if all(params.get(name) not in (None, "", [], ()) for name in names) else ""

    return re.sub(_PLACEHOLDER, lambda m: _show(params.get(m[1], "?")), re.sub(_OPTIONAL, keep, template))


def _show(value: Any) -> str:
    """Write a parameter on one line: what a caller sends must not be able to forge a line of a log."""
    if isinstance(value, list | tuple | set | frozenset):
        shown = ", ".join(map(_show, itertools.islice(value, _MOST)))
    else:
        shown = redact(value) if isinstance(value, int) else str(value)
    return on_one_line(shown)


def on_one_line(shown: str) -> str:
    """Cut a text, and replace what would end a line or command a terminal."""
    shown = shown if len(shown) <= _MOST else shown[: _MOST - 1] + "…"
    return shown if shown.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)


def core_catalogues() -> tuple[Catalogue, ...]:
    """Return the core's templates, which stand in catalogues/: the command line's and those of some rooms apart."""
    from .catalogues import cli_en, cli_zh, custom_fields, en, hosts, zh

    def joined(number: int, locale: str, *templates: Mapping[str, str]) -> Catalogue:
        of_rooms = ((code, words[number]) for room in (custom_fields, hosts) for code, words in room.MESSAGES.items())
        return Catalogue(locale, {**{code: words for each in templates for code, words in each.items()}, **dict(of_rooms)})

    return joined(0, "en", cli_en.TEMPLATES, en.TEMPLATES), joined(1, "zh", cli_zh.TEMPLATES, zh.TEMPLATES)


_CORE_MESSAGES = Messages()
