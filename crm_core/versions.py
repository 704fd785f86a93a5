"""Versions of plugins ("1.2.0") and the ranges they require of each other (">=1,<2")."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Self

import attrs

from .classes import frozen
from .errors import LoadError
from .messages import text

_VERSION = r"\d{1,9}(\.\d{1,9}){0,5}"
_CLAUSE = r"(==|!=|>=|<=|>|<)\s*(\S+)"
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_EXPLANATIONS = {
    "==": "version_differs",
    "!=": "version_excluded",
    ">=": "version_too_old",
    ">": "version_too_old",
    "<=": "version_too_new",
    "<": "version_too_new",
}


@frozen(order=True)
class Version:
    """Numbers joined by dots. Zeros at the end say nothing: 1.2 equals 1.2.0."""

    numbers: tuple[int, ...]
    _text: str = attrs.field(eq=False)

    @classmethod
    def parse(cls, given: str) -> Self:
        """Read ``"1.2.0"``.

        Raises:
            LoadError: ``bad_version``.
        """
        if not isinstance(given, str) or not re.fullmatch(_VERSION, given, re.ASCII):
            raise LoadError("bad_version", given=str(given)[:40])
        numbers = [int(part) for part in given.split(".")]
        while numbers and numbers[-1] == 0:
            numbers.pop()
        return cls(tuple(numbers), given)

    def __str__(self) -> str:
        return self._text


@frozen
class VersionRange:
    """Clauses that must all hold; none of them allows every version."""

    clauses: tuple[tuple[str, Version], ...]

    @classmethod
    def parse(cls, given: str) -> Self:
        """Read ``">=1,<2"``; the empty text is the range of all versions.

        Raises:
            LoadError: ``bad_version_range``, or ``bad_version`` for the version in it.
        """
        clauses = []
        for part in given.split(",") if given.strip() else ():
            match = re.fullmatch(_CLAUSE, part.strip())
            if match is None:
                raise LoadError("bad_version_range", given=given[:40])
            clauses.append((match[1], Version.parse(match[2])))
        return cls(tuple(clauses))

    def __contains__(self, version: Version) -> bool:
        return all(_OPERATORS[sign](version, bound) for sign, bound in self.clauses)

    def explain(self, version: Version) -> str:
        """Say in words why *version* is outside, clause by clause; empty where it is inside."""
        failed = [(sign, bound) for sign, bound in self.clauses if not _OPERATORS[sign](version, bound)]
        return " ".join(
            text(_EXPLANATIONS[sign], {"version": str(version), "needed": str(bound) if sign in ("==", "!=") else f"{sign}{bound}"})
            for sign, bound in failed
        )

    def __str__(self) -> str:
        return ",".join(f"{sign}{bound}" for sign, bound in self.clauses)
