"""A company to be attacked, and what every attack must end in: a typed answer, soon, with nothing changed and nothing told."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs

import crm_analytics
import crm_sales
from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    CRMError,
    Email,
    Interaction,
    Link,
    Money,
    Note,
    Role,
    Session,
    Tag,
    Tagging,
    owner,
)
from crm_core.errors import WrongArgument
from crm_core.testing.state import state_hash
from crm_sales.api import Lead, Opportunity
from tests.laws.shop import Deal
from tests.laws.shop import plugin as shop
from tests.laws.tricks import trick

CANARY = "C4N4RY"
NOBODY = "00000000-0000-7000-8000-000000000000"
SALARY = 7654321
CPU_SECONDS = 2.0
MEGABYTES = 200

SYSTEM = Actor.system("test", tenant="main")
ME = Actor("1", roles={"rep"})
ABROAD = Actor("1", tenant="other", roles={"rep"})
PLUGINS = [shop, trick, crm_sales.plugin, crm_analytics.plugin]
ROLES = [
    Role("rep")
    .allow(Account, "read", "create", "update", "delete", "export", "assign", where=owner)
    .allow(Contact, "read", "create", "update", where=owner)
    .allow(Lead, "read", "create", "update", where=owner)
    .allow(Opportunity, "read", "create", "update", where=owner)
    .allow(Deal, "read", "create", "update", "delete", "export", where=owner, fields={"salary": "none", "details": "read"})
    .allow(Interaction, "read", "create")
    .allow(Note, "read", "create", "update")
    .allow(Tag, "read")
    .allow(Tagging, "read", "create", "update")
]
Attack = Callable[["World", Session], Any]


@attrs.define(eq=False)
class World:
    """The company: what user 1 owns, what is hidden from them, what they may only look at; and what was tried so far.

    Attributes:
        tried, handled: attacks by class (``A05``).
        spent, grown: the most that one attack took, in seconds of CPU and MB.
        folder: for files.
    """

    crm: CRM
    folder: Path
    mine: Account = attrs.field(init=False)
    theirs: Account = attrs.field(init=False)
    look: Account = attrs.field(init=False)
    deal: Deal = attrs.field(init=False)
    hidden: Deal = attrs.field(init=False)
    abroad: Account = attrs.field(init=False)
    note: Note = attrs.field(init=False)
    tagging: Tagging = attrs.field(init=False)
    person: Contact = attrs.field(init=False)
    tried: Counter[str] = attrs.field(factory=Counter, init=False)
    handled: Counter[str] = attrs.field(factory=Counter, init=False)
    spent: float = attrs.field(default=0.0, init=False)
    grown: int = attrs.field(default=0, init=False)

    @classmethod
    def opened(cls, url: str, folder: Path) -> CRM:
        """Return the CRM of this company."""
        return CRM(url, plugins=PLUGINS, roles=ROLES)

    def settle(self) -> None:
        """Create the records."""
        with self.crm.session(SYSTEM) as s:
            self.mine = s.create(Account(name="Mine", owner="1", external_ref="m:1"))
            self.theirs = s.create(Account(name=CANARY, owner="2", external_ref=f"x:{CANARY}", industry=CANARY))
            self.look = s.create(Account(name="Look", owner="3"))
            s.share(self.look, "user:1", "read")
            euro = Money(5, "EUR")
            self.deal = s.create(
                Deal(name="d", account=self.mine.ref, amount=euro, owner="1", salary=SALARY, code="mine", details={"a": 1})
            )
            self.hidden = s.create(
                Deal(name=CANARY, account=self.theirs.ref, amount=Money(SALARY, "EUR"), owner="2", salary=SALARY, code=CANARY)
            )
            tag = s.create(Tag(name="Tag"))
            self.note = s.create(Note(body="n", links=[Link.to(self.mine)]))
            self.tagging = s.create(Tagging(tag=tag.ref, entity="account", record=self.mine.id))
            self.person = s.create(Contact(name=CANARY, account=self.theirs.ref, emails=[Email(f"{CANARY}@example.com")], owner="2"))
        with self.crm.session(Actor.system("test", tenant="other")) as s:
            self.abroad = s.create(Account(name=CANARY, owner="1"))

    def assert_refused(self, family: str, attacks: Mapping[str, Attack], *, by: Actor = ME, journalled: bool = False) -> None:
        """Try each attack in a session of its own: it is refused with an error of 4xx, soon, with nothing changed and nothing told.

        Args:
            family: the class of the attacks.
            journalled: what is tried is noted in the journal, as exports are, and nowhere else.
        """
        self._assert_withstood(family, attacks, by, journalled, refused=True)

    def assert_harmless(self, family: str, attacks: Mapping[str, Attack], *, by: Actor = ME, journalled: bool = False) -> None:
        """Like :meth:`assert_refused`; but it may also be answered with what the actor may know."""
        self._assert_withstood(family, attacks, by, journalled, refused=False)

    def _assert_withstood(self, family: str, attacks: Mapping[str, Attack], by: Actor, journalled: bool, *, refused: bool) -> None:
        system = self.crm.tables.system
        noted = [system.journal.name, system.journal_position.name, "sqlite_sequence"] if journalled else []
        before = state_hash(self.crm, without=noted)
        wrong = [f"{name}: {problem}" for name, attack in attacks.items() if (problem := self.attempt(family, attack, by, refused))]
        assert not wrong, "\n".join(wrong)
        assert state_hash(self.crm, without=noted) == before, "something was changed"

    def attempt(self, family: str, attack: Attack, by: Actor, refused: bool) -> str:
        """Try one attack and say what is wrong with its end; empty where nothing is."""
        self.tried[family] += 1
        started, size = time.process_time(), _megabytes()
        answer: Any = None
        try:
            with self.crm.session(by) as s:
                answer = attack(self, s)
                told = _said(answer)
                problem = "was not refused" if refused else ""
        except CRMError as e:
            told = f"{json.dumps(e.problem(), default=_unsaid)} {e} {e!r}"
            problem = "" if 400 <= e.status < 500 or isinstance(e, WrongArgument) else f"{e.status} {e}"
        except Exception as e:
            told, problem = "", f"{type(e).__name__}: {str(e)[:200]}"
        spent, grown = time.process_time() - started, _megabytes() - size
        self.spent, self.grown = max(self.spent, spent), max(self.grown, grown)
        if CANARY in told or str(SALARY) in told:
            problem = f"{problem} told a secret: {told[:300]}"
        if len(told) > 20_000:
            problem = f"{problem} said {len(told)} characters"
        if spent > CPU_SECONDS or grown > MEGABYTES:
            problem = f"{problem} took {spent:.1f} s and {grown} MB"
        self.handled[family] += not problem
        return problem


def each(name: str, values: Iterable[Any], attack: Callable[[World, Session, Any], Any]) -> dict[str, Attack]:
    """Make an attack of each value."""
    return {f"{name} {_short(value)}": partial(_with, attack, value) for value in values}


def _short(value: Any) -> str:
    return f"{type(value).__name__} of {value.bit_length()} bits" if type(value) is int else repr(value)[:40]


def _with(attack: Callable[[World, Session, Any], Any], value: Any, w: World, s: Session) -> Any:
    return attack(w, s, value)


def _said(answer: Any) -> str:
    return repr(answer)


def _unsaid(value: object) -> str:
    raise TypeError(f"{type(value).__name__} is no plain JSON")


def _megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if sys.platform == "darwin" else 1024)


def body(w: World, changed: dict[str, Any]) -> Any:
    """Read a deal from the body of a request."""
    given = {"name": "x", "account": w.mine.id, "amount": {"amount": "1", "currency": "EUR"}} | changed
    return w.crm.from_json(Deal, given)


def problem(w: World, attack: Attack, by: Actor = ME) -> str:
    """Return all that is said where *attack* is refused, with one word for each id; fail where it is not."""
    try:
        with w.crm.session(by) as s:
            attack(w, s)
    except CRMError as e:
        said = json.dumps([e.problem(), str(e)])
        for id in (w.theirs.id, w.hidden.id, w.person.id, w.abroad.id, NOBODY):
            said = said.replace(id, "ID")
        return said
    raise AssertionError("it was done")
