"""A plugin that automation works on, and a CRM with rules in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import attrs

from crm_core import (
    CRM,
    Account,
    Actor,
    AutomationRule,
    AutomationRun,
    Contact,
    Entity,
    Field,
    FixedClock,
    Plugin,
    Ref,
    Role,
    RuleTrigger,
    RunOutcome,
    Session,
    User,
    field,
    owner,
)

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
SETUP = Actor.system("setup", tenant="main")
AUTHOR = Actor("1", roles={"author"})
CLERK = Actor("7", roles={"clerk"})


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Case(Entity):
    """Something to be worked on."""

    name: Field[str]
    size: Field[Size] = field(default=Size.SMALL)
    state: Field[str] = field(default="new")
    due: Field[date | None] = field(default=None)
    worth: Field[Decimal | None] = field(default=None)
    secret: Field[str | None] = field(default=None)
    account: Field[Ref[Account] | None] = field(default=None, on_delete="set_null")
    external_ref: Field[str | None] = field(default=None, unique=True)
    owner: Field[str | None] = field(default=None)


@attrs.define
class Remind:
    """Write a reminder on a case."""

    case: Ref[Case]
    text: str
    times: int = 1


@attrs.define
class Shred:
    """Destroy a case; few may."""

    case: Ref[Case]


@attrs.define
class Explode:
    """Fail in the plugin's own code."""

    case: Ref[Case]


plugin = Plugin("office", version="1.0")
plugin.entities(Case)


@plugin.action(on=Case, permission="office.remind")
def remind(s: Session, cmd: Remind) -> Case:
    return s.update(Case, cmd.case, {"state": f"reminded: {cmd.text}"})


@plugin.action(on=Case, permission="office.shred")
def shred(s: Session, cmd: Shred) -> None:
    s.delete(cmd.case)


@plugin.action(on=Case, permission="office.explode")
def explode(s: Session, cmd: Explode) -> None:
    s.update(Case, cmd.case, {"state": "halfway"})
    raise ConnectionError("nobody listens")


ROLES = [
    Role("author")
    .allow(AutomationRule, "read", "create", "update", "delete")
    .allow(AutomationRun, "read")
    .allow(Account, "read", "create", "update")
    .allow(Case, "read", "create", "update", fields={"secret": "none"})
    .permit("office.remind", "office.explode"),
    Role("clerk").allow(Case, "read", "create", "update", "delete").allow(Account, "read", "create", "update").allow(Contact, "read"),
    Role("private").allow(AutomationRule, "read", "create", "update").allow(Case, "read", "create", "update", where=owner),
    Role("writes").allow(AutomationRule, "read", "create", "update").allow(AutomationRun, "read", "create"),
    Role("looks").allow(Case, "read", where=owner).allow(AutomationRule, "read"),
]


@attrs.define
class People:
    """A directory whose users come and go."""

    known: dict[str, Actor] = attrs.Factory(dict)
    gone: set[str] = attrs.Factory(set)

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        return [User(a.id, f"User {a.id}", active=a.id not in self.gone) for a in self.known.values() if a.tenant == tenant]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return self.known.get(user_id)


@attrs.define
class Office:
    """A CRM and its clock."""

    crm: CRM
    clock: FixedClock

    def rule(self, *, actor: Actor = AUTHOR, **given: Any) -> AutomationRule:
        """Store a rule; without more, it marks each new case."""
        given = {
            "name": "Rule",
            "entity": "office.case",
            "runs_on": RuleTrigger.CREATED,
            "actions": [{"set": {"state": "seen"}}],
            **given,
        }
        with self.crm.session(actor) as s:
            return s.create(AutomationRule(**given))

    def case(self, *, actor: Actor = CLERK, **given: Any) -> Case:
        """Create a case."""
        with self.crm.session(actor) as s:
            return s.create(Case(**{"name": "Case", **given}))

    def change(self, case: Case, *, actor: Actor = CLERK, **changes: Any) -> None:
        """Change a case."""
        with self.crm.session(actor) as s:
            s.update(Case, case.id, changes)

    def now(self, case: Case) -> Case:
        """Return a case as it is."""
        with self.crm.session(SETUP, write=False) as s:
            return s.get(Case, case.id)

    def runs(self, rule: AutomationRule | None = None) -> list[AutomationRun]:
        """Return the log, of one rule, in order."""
        with self.crm.session(SETUP, write=False) as s:
            query = s.query(AutomationRun).order_by(AutomationRun.id)
            return (query if rule is None else query.where(AutomationRun.rule == rule.ref)).all()

    def outcomes(self, rule: AutomationRule | None = None) -> list[tuple[RunOutcome, str]]:
        """Return what came of the runs, and why."""
        return [(r.outcome, r.reason) for r in self.runs(rule)]

    def later(self, **delta: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**delta))
