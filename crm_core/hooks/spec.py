"""What a hook is: a name, the kind that fixes how results combine, and the context an implementation gets.

A hook lives in its plugin's api module and carries neither implementations nor state of any CRM: calling it with a context
asks the CRM behind that context's session. There is one class a kind, because the kind fixes the types:

===========  ==========================  =================================================
kind         an implementation           the call
===========  ==========================  =================================================
filter       ``(ctx, value) -> value``   the value after all of them, in order
first        ``(ctx, value) -> R|None``  the first answer that is not None, else None
collect      ``(ctx, value) -> R|None``  the list of all answers that are not None
veto         ``(ctx, value) -> None``    raises Refused with all refusals, or lists them
===========  ==========================  =================================================
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import attrs

from ..classes import define, frozen
from ..errors import CRMError, Refused, WrongArgument
from .dispatch import collect, filter_, first, veto

if TYPE_CHECKING:
    from ..session import Session
    from .declared import Check
    from .dispatch import Plan
    from .refusals import Refusal

X = TypeVar("X", bound="Ctx")
V = TypeVar("V")
R = TypeVar("R")


@define(eq=False)
class Ctx:
    """What every implementation gets first; a plugin subclasses it (with ``attrs.define``) to hand over more.

    Attributes:
        session: the session of the call: its actor, tenant and transaction.
    """

    session: Session
    _refusals: list[Refusal] | None = attrs.field(default=None, init=False, repr=False)

    def refuse(self, record: Any, code: str, *, field: str = "", **params: Any) -> None:
        """Refuse *record* in a veto; the other implementations still run, and all refusals are reported together.

        Args:
            record: an item of the batch or its record; anything else refuses the whole call.
            code: the message's id, prefixed by the plugin's name.
            field: the field to blame, where there is one.
            params: values for the message, all plain JSON.

        Raises:
            CRMError: the running hook is not a veto, so nobody would hear of the refusal.
            TypeError: *code* or *field* is no text.
        """
        from .refusals import Refusal

        if not isinstance(code, str) or not isinstance(field, str):
            raise TypeError("a refusal's code and field are texts")
        running = self.session.hooks.running
        if self._refusals is None or running is None:
            raise CRMError("refusal_outside_veto", refused=code, running=running.name if running else "")
        self._refusals.append(Refusal(record, code, params, field, running))

    def elevated(self, reason: str) -> AbstractContextManager[Session]:
        """Open a session with the grants the running plugin declares; the journal keeps *reason*.

        Raises:
            Denied: no plugin is running, so there is nobody whose grants could be used.
        """
        return self.session.elevated(reason)


def _names_of_caller() -> Mapping[str, Any]:
    """Return the names of the module that makes a hook: beside its own stands the type that implementations are held to."""
    return sys._getframe(2).f_globals


@frozen(eq=False)
class Hook(Generic[X, V]):
    """The base of all hooks; use the class of the kind you need.

    Attributes:
        name: ``<plugin>.<name>``; the core's own have no prefix.
        per: ``batch``: the value is a list and one call takes all of it; ``item``: the value is a single thing.
        version: raised when an implementation written for the old one would no longer work.
        by_entity: implementations may say ``on=Entity``; the context then has an ``entity``.
    """

    kind: ClassVar[str]

    name: str
    per: Literal["batch", "item"] = attrs.field(default="batch", kw_only=True)
    version: int = attrs.field(default=1, kw_only=True)
    by_entity: bool = attrs.field(default=False, kw_only=True)
    _home: Mapping[str, Any] = attrs.field(factory=_names_of_caller, init=False, repr=False)

    def plan(self, ctx: Ctx) -> Plan:
        """Return the implementations that the CRM behind *ctx* runs, in order."""
        return ctx.session.hooks.registry.plan(self, getattr(ctx, "entity", None) if self.by_entity else None)

    @cached_property
    def _answer(self) -> Check | None:
        from .declared import answer_of

        return answer_of(self)

    def _misfit(self, answer: Any) -> str:
        """Say where an implementation's answer is of another type than declared, and of which; empty where it is as it should be."""
        return self._answer(answer) if self._answer is not None and answer is not None else ""


class FilterHook(Hook[X, V]):
    """A value goes through a chain; per batch, a list of equal length comes back."""

    kind = "filter"

    def __call__(self, ctx: X, value: V) -> V:
        """Return *value* as the implementations leave it.

        Raises:
            PluginFailed: an implementation raised, or did not give back a value of the declared type.
            WrongArgument: ``hook_given``: *value* is of another type than declared.
        """
        plan = self.plan(ctx)
        if not plan:
            return value
        if self._answer is not None and (wrong := self._answer(value)):  # lest an implementation be blamed for what it got
            raise WrongArgument("hook_given", hook=self.name, reason=f"value{wrong}")
        answer: V = filter_(plan, ctx, value, self._answer, batch=self.per == "batch")
        return answer


class FirstHook(Hook[X, V], Generic[X, V, R]):
    """The first who knows an answer gives it."""

    kind = "first"

    def __call__(self, ctx: X, value: V) -> R | None:
        """Return the first answer that is not None.

        Raises:
            PluginFailed: an implementation raised, or answered something else than declared.
        """
        answer: R | None = first(self.plan(ctx), ctx, value, self._answer)
        return answer


class CollectHook(Hook[X, V], Generic[X, V, R]):
    """Everybody may answer."""

    kind = "collect"

    def __call__(self, ctx: X, value: V) -> list[R]:
        """Return all answers that are not None, in order.

        Raises:
            PluginFailed: an implementation raised, or answered something else than declared.
        """
        answers: list[R] = collect(self.plan(ctx), ctx, value, self._answer)
        return answers


class VetoHook(Hook[X, V]):
    """Everybody may refuse with ``ctx.refuse(record, code)``; the call then fails whole, or goes on without what was refused."""

    kind = "veto"

    def __call__(self, ctx: X, value: V) -> None:
        """Ask all implementations.

        Raises:
            Refused: at least one refused; ``details`` holds every refusal.
            PluginFailed: an implementation raised or returned something.
        """
        refusals = self.refusals(ctx, value)
        if refusals:
            from .refusals import as_details

            items = value if self.per == "batch" and isinstance(value, Sequence) else [value]
            raise Refused(details=as_details(refusals, items), hook=self.name, count=len(refusals))

    def refusals(self, ctx: X, value: V) -> list[Refusal]:
        """Ask all implementations and return what they refuse, for callers that go on with the rest (imports).

        Raises:
            PluginFailed: an implementation raised or returned something.
        """
        return veto(self.plan(ctx), ctx, value)
