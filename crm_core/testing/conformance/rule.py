"""What a rule is: an id, a name, a sentence, and a function that says what is wrong with a plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from .subject import Subject

Check = Callable[["Subject"], Iterator[str]]


class Unproved(Exception):
    """A rule cannot be tried on this plugin or this machine; the text says why."""


@attrs.frozen(eq=False)
class Rule:
    """One rule.

    Attributes:
        id: never reused: ``CK01``.
        name: a word or two, as in ``quality.json``.
        sentence: what holds for a plugin that keeps it.
        check: yields a reason for each breach: what is wrong, where, and what to do.
    """

    id: str
    name: str
    sentence: str
    check: Check

    def __str__(self) -> str:
        return f"{self.id} {self.name}"


def rule(id: str, name: str) -> Callable[[Check], Rule]:
    """Make the decorated function a rule; the first line of its docstring is its sentence."""

    def make(check: Check) -> Rule:
        return Rule(id, name, (check.__doc__ or "").strip().partition("\n")[0], check)

    return make


@attrs.frozen
class Outcome:
    """What became of a rule.

    Attributes:
        reasons: what is wrong; of one that was skipped, why.
        notes: what was measured.
    """

    rule: Rule
    outcome: Literal["passed", "failed", "skipped"]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
