"""The trial: every rule on one plugin, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Literal

from ...hooks.plugin import Plugin
from ..databases import Databases
from ..factory import Example
from . import behaving, costing, declaring, loading, storing, wording
from .loading import RULE_OF_CODE
from .report import Report
from .rule import Outcome, Rule, Unproved
from .subject import Subject

RULES: tuple[Rule, ...] = (
    loading.loads_alone, loading.works, loading.loads_twice, loading.any_subset, loading.unloads,
    storing.prefixed, storing.migrates,
    declaring.requires_what_it_imports, declaring.declared_is_used,
    behaving.events_round_trip, behaving.idempotent, behaving.fails_closed,
    declaring.optional_dependencies, declaring.personal_data,
    behaving.deterministic, costing.hook_budget,
    wording.translated, wording.documented, wording.typed,
)  # fmt: skip


def check(
    plugin: Plugin,
    *,
    others: Iterable[Plugin] = (),
    examples: Mapping[Any, Example] | None = None,
    databases: Mapping[str, Databases] | None = None,
    batch: int = 1_000,
    rules: Iterable[Rule] = RULES,
) -> Report:
    """Try every rule on a plugin; the arguments are those of :class:`Subject`."""
    subject = Subject(plugin, others=others, examples=examples, databases=databases, batch=batch)
    return Report(plugin, [tried(rule, subject) for rule in rules])


def companions_of(plugin: Plugin, others: Iterable[Plugin]) -> Sequence[Plugin]:
    """Return a plugin's companions, as far as what they stand beside is among *others*."""
    return Subject(plugin, others=others).companions


def tried(rule: Rule, subject: Subject) -> Outcome:
    """Try one rule. A plugin that does not load breaks one rule, and the others cannot be tried."""
    started = perf_counter()
    subject.notes.clear()
    outcome: Literal["passed", "failed", "skipped"]
    try:
        why = _unloadable(rule, subject)
        if why:
            raise Unproved(why)
        with _quiet():
            reasons = list(dict.fromkeys(rule.check(subject)))
        outcome = "failed" if reasons else "passed"
    except Unproved as e:
        reasons, outcome = [str(e)], "skipped"
    except Exception as e:  # what nothing foresaw is the plugin's until somebody looks
        reasons, outcome = [f"it ended the rule with {type(e).__name__}: {e}"], "failed"
    return Outcome(rule, outcome, tuple(reasons), tuple(subject.notes), perf_counter() - started)


def _unloadable(rule: Rule, subject: Subject) -> str:
    error = subject.load_error
    whose = RULE_OF_CODE.get(error.code, "CK01") if error else rule.id
    return "" if whose == rule.id else f"it does not load: see {whose}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep failures that a rule provokes out of the logs, whose handlers may keep a traceback, and with it the CRM."""
    logger = logging.getLogger("crm_core")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
