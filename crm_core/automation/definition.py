"""What a rule says, read from its JSON and checked: nothing in it may name what its author does not see."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.automation import AutomationRule, AutomationRun, RuleTrigger
from ..entities.meta import spec
from ..entities.validate import problems, structure
from ..errors import CRMError, Detail, Invalid
from ..hooks.commands import partly_wrong
from ..messages import closest, redact
from ..permissions.predicates import Rule, everything
from .condition import LensFacts, asks_old, fulfilled, is_readable, read_condition
from .schedule import Daily, Every, read_schedule

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..hooks.actions import ActionDef
    from ..permissions.to_python import Values
    from ..session import Session
    from .occurrence import Occurrence

MOST_ACTIONS = 20
_NAME = spec(AutomationRule).name
_ANY = object()
Plain = dict[str, Any]


@attrs.frozen
class Act:
    """One thing that a rule does: set fields of the record (``action`` is None), or perform an action.

    Attributes:
        given: plain values by name; ``{"field": "owner"}`` stands for a value of the record, ``{"field": "old.owner"}`` for one before.
    """

    action: ActionDef | None
    given: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What the log calls it."""
        return self.action.name if self.action else f"set {', '.join(self.given)}"

    def filled(self, codec: Codec, record: str, old: Values, new: Values) -> Plain:
        """Return its plain values for one record."""
        found = {name: _value(codec, value, old, new) for name, value in self.given.items()}
        holder = self.action.record_field if self.action and self.action.on is codec.entity else None
        return found if holder is None else {holder: record, **found}

    def run(self, session: Session, entity: type[Any], record: str, values: Plain) -> None:
        """Do it."""
        if self.action is None:
            session.update(entity, record, values)
        else:
            session.perform(self.action.load(values))


@attrs.frozen
class Definition:
    """A rule, ready to be tried on what happened.

    Attributes:
        changed: by field, the values it must have gone from and to, ``_ANY`` where that does not matter.
    """

    codec: Codec
    trigger: RuleTrigger
    changed: Mapping[str, tuple[Any, Any]]
    schedule: Every | Daily | None
    condition: Rule
    acts: tuple[Act, ...]

    def concerns(self, what: Occurrence) -> bool:
        """Say whether the rule has anything to say to this change."""
        if what.trigger is not self.trigger:
            return False
        return not self.changed or not what.changed.isdisjoint(self.changed)

    def fits(self, what: Occurrence) -> bool:
        """Say whether one of the fields that the rule listens to went from and to what it says."""
        moved = ((what.old.get(n), what.new.get(n), pair) for n, pair in self.changed.items() if n in what.changed)
        return not self.changed or any(pair[0] in (_ANY, old) and pair[1] in (_ANY, new) for old, new, pair in moved)

    def holds(self, session: Session, old: Values, new: Values) -> bool:
        """Say whether the condition holds, as the session's actor sees the world."""
        return fulfilled(self.condition, old, new, LensFacts(session))

    def plan(self, record: str, old: Values, new: Values) -> list[tuple[Act, Plain]]:
        """Return what is to be done to one record, with its values."""
        return [(act, act.filled(self.codec, record, old, new)) for act in self.acts]


def read_definition(session: Session, rule: AutomationRule) -> Definition:
    """Read a rule as its author, the session's actor, may know the CRM.

    Raises:
        Invalid: ``details`` name all that is wrong; what the author may not see is as unknown as what does not exist.
    """
    return _Reader(session, rule).read()


def _value(codec: Codec, value: Any, old: Values, new: Values) -> Any:
    name = _field_of(value)
    if name is None:
        return value
    side, plain = (old, name.removeprefix("old.")) if name.startswith("old.") else (new, name.removeprefix("new."))
    return codec.plain({plain: side.get(plain)})[plain]


def _field_of(value: Any) -> str | None:
    """Return the field that a value is to be taken from; None for a constant."""
    return value["field"] if isinstance(value, dict) and value.keys() == {"field"} and isinstance(value["field"], str) else None


class _Reader:
    def __init__(self, session: Session, rule: AutomationRule) -> None:
        self._session = session
        self._rule = rule
        self._wrong: list[Detail] = []

    def read(self) -> Definition:
        rule, codec = self._rule, self._codec()
        changed = self._try("changed", lambda: self._changed(codec), {})
        schedule = self._try("schedule", self._schedule, None)
        condition = self._try("condition", lambda: self._condition(codec), everything)
        acts = [act for at, data in enumerate(self._listed()) if (act := self._tried_act(codec, at, data)) is not None]
        if self._wrong:
            raise Invalid(details=self._wrong)
        return Definition(codec, rule.runs_on, changed, schedule, condition, tuple(acts))

    def _fail(self, at: str, code: str, /, **params: Any) -> None:
        self._wrong.append(Detail(_NAME, at, code, params=params))

    def _try(self, field: str, read: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return read()
        except CRMError as e:
            for d in e.details:
                self._fail(f"{field}.{d.field}".rstrip("."), d.code, **{"field": d.field, **d.params})
            if not e.details:
                self._fail(field, e.code, **e.params)
            return otherwise

    def _codec(self) -> Codec:
        """Return the entity's codec; an entity of which the author may read nothing is none."""
        session, name = self._session, self._rule.entity
        try:
            entity = session.crm.entity(name)
        except Invalid:
            entity = None
        policy = session.policy
        if entity in (None, AutomationRule, AutomationRun) or policy.is_nothing(policy.rule("read", entity)):
            raise Invalid(details=[Detail(_NAME, "entity", "unknown_entity", params={"given": str(name)[:60]})])
        return session.codec(entity)

    def _readable(self, codec: Codec, name: Any) -> str:
        if not isinstance(name, str) or not is_readable(self._session, codec.facts, name):
            raise Invalid("unknown_field", field=str(name)[:60])
        return name

    def _changed(self, codec: Codec) -> dict[str, tuple[Any, Any]]:
        given = self._rule.changed
        if not isinstance(given, dict):
            raise Invalid("wrong_type", expected="object", given=redact(given))
        if given and self._rule.runs_on is not RuleTrigger.UPDATED:
            raise Invalid("automation_not_here", trigger=self._rule.runs_on.value)
        return {self._readable(codec, name): self._pair(codec, name, pair) for name, pair in given.items()}

    def _pair(self, codec: Codec, name: str, pair: Any) -> tuple[Any, Any]:
        if not isinstance(pair, dict) or pair.keys() - {"from", "to"}:
            raise Invalid("wrong_type", expected='an object with "from" and "to"', given=redact(pair))
        old, new = (self._constant(codec, name, pair[side]) if side in pair else _ANY for side in ("from", "to"))
        return old, new

    def _constant(self, codec: Codec, name: str, value: Any) -> Any:
        field = codec.fields[name]
        typed = structure(codec.facts.name, field, value)
        wrong = [] if typed is None else list(problems(codec.facts.name, field, typed))
        if wrong:
            raise Invalid(details=wrong)
        return typed

    def _schedule(self) -> Every | Daily | None:
        by_clock = self._rule.runs_on is RuleTrigger.SCHEDULE
        if not by_clock and self._rule.schedule is not None:
            raise Invalid("automation_not_here", trigger=self._rule.runs_on.value)
        return read_schedule(self._rule.schedule) if by_clock else None

    def _condition(self, codec: Codec) -> Rule:
        if self._rule.condition is None:
            return everything
        condition = read_condition(self._session, codec.entity, self._rule.condition)
        if self._rule.runs_on is RuleTrigger.SCHEDULE and asks_old(condition):
            raise Invalid("automation_not_here", trigger=self._rule.runs_on.value)
        return condition

    # -- actions ------------------------------------------------------------------------------------------------------------------

    def _listed(self) -> list[Any]:
        actions = self._rule.actions
        if not isinstance(actions, list) or not 1 <= len(actions) <= MOST_ACTIONS:
            self._fail("actions", "wrong_type", expected=f"a list of 1 to {MOST_ACTIONS}", given=redact(actions))
            return []
        return actions

    def _tried_act(self, codec: Codec, at: int, data: Any) -> Act | None:
        act: Act | None = self._try(f"actions[{at}]", lambda: self._act(codec, data), None)
        return act

    def _act(self, codec: Codec, data: Any) -> Act:
        if isinstance(data, dict) and data.keys() == {"set"} and isinstance(data["set"], dict) and data["set"]:
            return self._setting(codec, data["set"])
        if (
            isinstance(data, dict)
            and "perform" in data
            and not data.keys() - {"perform", "with"}
            and isinstance(data.get("with", {}), dict)
        ):
            return self._performing(codec, str(data["perform"]), data.get("with", {}))
        raise Invalid("wrong_type", expected='{"set": {...}} or {"perform": an action, "with": {...}}', given=redact(data))

    def _setting(self, codec: Codec, given: Plain) -> Act:
        later = self._taken(codec, given)
        typed = self._session.pipeline.structure(codec, {n: None if n in later else v for n, v in given.items()})
        wrong = [d for n, v in typed.items() if n not in later for d in problems(codec.facts.name, codec.fields[n], v)]
        if self._rule.runs_on is RuleTrigger.DELETED:
            raise Invalid("automation_not_here", trigger=self._rule.runs_on.value)
        if wrong:
            raise Invalid(details=wrong)
        return Act(None, given)

    def _performing(self, codec: Codec, name: str, given: Plain) -> Act:
        known = {a.name: a for a in self._session.crm.registry.actions.values()}
        action = known.get(name)
        if action is None:
            raise Invalid("unknown_action", given=name[:60], suggestion=closest(name, known))
        later = self._taken(codec, given)
        if action.record_field is not None and action.on is codec.entity:
            later |= {action.record_field}
        wrong = partly_wrong(
            action.name, action.fields, {n: v for n, v in given.items() if n not in later or n not in action.fields}, later
        )
        if wrong:
            raise Invalid(details=wrong)
        return Act(action, given)

    def _taken(self, codec: Codec, given: Plain) -> frozenset[str]:
        """Return which values are taken from the record, once their fields are known to be readable."""
        taken = {name: field for name, value in given.items() if (field := _field_of(value)) is not None}
        for field in taken.values():
            self._readable(codec, re.sub("^(old|new)[.]", "", field))
            if field.startswith("old.") and self._rule.runs_on is RuleTrigger.SCHEDULE:
                raise Invalid("automation_not_here", trigger=self._rule.runs_on.value)
        return frozenset(taken)
