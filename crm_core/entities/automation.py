"""Automation as data: rules that a tenant writes, and the log of their runs."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, ClassVar

from .entity import Entity
from .fields import Field, Ref, field


class RuleTrigger(Enum):
    """What makes a rule run: a record is new, changed or deleted, or its time comes."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    SCHEDULE = "schedule"


class RunOutcome(Enum):
    """What came of a run; every outcome but ``done`` left the data as it was."""

    DONE = "done"
    NO_MATCH = "no_match"
    LOOP = "loop"
    DENIED = "denied"
    FAILED = "failed"


class AutomationRule(Entity):
    """What is to be done by itself: when, on which condition, and what. It runs with the rights of whoever wrote it, never more.

    ``changed`` says for an update which fields must have changed, each with an optional ``from`` and ``to``; ``schedule`` when a rule
    runs by the clock; ``condition`` is a rule as JSON, in which ``old.stage`` is the value before; ``actions`` is what is done.

    Attributes:
        entity: the entity whose records it is about.
        runs_on: what wakes it.
        runs_as: the rights of who wrote it, as they were then; it has those of them that they still have.
    """

    name: Field[str] = field(label="Name")
    entity: Field[str] = field(length=127)
    runs_on: Field[RuleTrigger]
    changed: Field[dict[str, Any]] = field(factory=dict)
    schedule: Field[dict[str, Any] | None] = field(default=None)
    condition: Field[dict[str, Any] | None] = field(default=None)
    actions: Field[list[Any]]
    active: Field[bool] = field(default=True)
    position: Field[int] = field(default=0)
    owner: Field[str | None] = field(default=None)
    runs_as: Field[dict[str, Any]] = field(factory=dict, read_only=True)


class AutomationRun(Entity):
    """That a rule ran for a record, or why it did not. ``reason`` is a message's id, ``params`` its values.

    Attributes:
        rule: the rule that ran.
        event: what woke it.
        outcome: what came of it.
    """

    __append_only__: ClassVar[bool] = True

    rule: Field[Ref[AutomationRule]] = field(on_delete="cascade", read_only=True)
    key: Field[str] = field(unique=True, read_only=True)
    at: Field[datetime] = field(read_only=True)
    entity: Field[str] = field(length=127, read_only=True)
    record: Field[str | None] = field(default=None, length=36, index=True, read_only=True)
    event: Field[str | None] = field(default=None, length=36, read_only=True)
    outcome: Field[RunOutcome] = field(read_only=True)
    reason: Field[str] = field(read_only=True)
    params: Field[dict[str, Any]] = field(factory=dict, read_only=True, pii=True)
    owner: Field[str | None] = field(default=None, read_only=True)
