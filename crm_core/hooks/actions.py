"""Actions: what REST, automation, bulk, screens, tests and assistants all call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from ..entities.meta import spec
from ..errors import Denied, Invalid, LoadError
from ..messages import closest
from .dispatch import run
from .parts import Contribution

if TYPE_CHECKING:
    from ..entities.entity import Entity
    from ..entities.fields import Ref
    from ..messages import Messages
    from ..permissions.actor import Actor
    from .commands import CommandField
    from .dispatch import HookState


class ActionSession(Protocol):
    """What actions need of a session."""

    @property
    def actor(self) -> Actor: ...
    @property
    def hooks(self) -> HookState: ...
    @property
    def messages(self) -> Messages: ...
    def get(self, entity: type[Entity], id: Ref[Any], /) -> Entity: ...
    def permitted_stored(self, action: str, record: Entity, /) -> bool: ...
    def check_action(self, permission: str, record: Entity | None, /) -> Denied | None: ...


@attrs.frozen(eq=False, repr=False)
class ActionDef(Contribution):
    """A typed command, who may give it, and the function that carries it out.

    Attributes:
        permission: what the actor needs.
        label: what people read: a message id or plain text.
        on: the entity whose records it acts on.
    """

    takes = ("session", "command")

    permission: str
    label: str
    on: type[Entity] | None = None

    @property
    def task(self) -> str:
        """What the function is for."""
        return "action"

    @cached_property
    def command(self) -> type[Any]:
        """The class of its commands, from the annotation of the second parameter.

        Raises:
            LoadError: the function does not take a session and an attrs class.
        """
        from .commands import hint_of

        parameters = list(inspect.signature(self.fn).parameters.values())
        try:
            hint = hint_of(self.fn, parameters[1].annotation) if len(parameters) == 2 else None
        except NameError:
            hint = None
        if not (isinstance(hint, type) and attrs.has(hint)):
            raise LoadError("action_ill_typed", action=self.name, where=self.where)
        return hint

    @cached_property
    def fields(self) -> Mapping[str, CommandField]:
        """The command's fields.

        Raises:
            LoadError: one has a type that no field can have.
        """
        from .commands import command_fields

        return command_fields(self.command)

    @cached_property
    def record_field(self) -> str | None:
        """The field that refers to the record acted on.

        Raises:
            LoadError: ``on`` is given, but no field refers to that entity.
        """
        from .commands import record_field

        if self.on is None:
            return None
        found = record_field(self.fields, self.on)
        if found is None:
            raise LoadError("action_without_record", action=self.name, command=self.command.__name__, entity=self.on.__name__)
        return found

    def check(self) -> None:
        """Read command, fields and record field now, so that what is wrong with them shows when a CRM starts.

        Raises:
            LoadError: see those.
        """
        _ = (self.command, self.fields, self.record_field)

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of its command."""
        from .schema import object_schema

        return {"title": self.name, **object_schema(self.fields)}

    def load(self, data: Mapping[str, Any]) -> Any:
        """Build the command from plain JSON.

        Raises:
            Invalid: unknown, missing or unreadable fields, all at once.
        """
        from .commands import load

        return load(self.name, self.command, self.fields, data)


@attrs.frozen
class ActionInfo:
    """An action as a screen shows it: ``why_not`` says in the actor's language why it is not allowed."""

    name: str
    label: str
    allowed: bool
    why_not: str | None
    input_schema: dict[str, Any]


def perform(session: ActionSession, command: Any) -> Any:
    """Carry out a command and return its action's result.

    Raises:
        Invalid: no action takes it, or its values are wrong.
        NotFound: the record it acts on does not exist for this actor.
        Denied: the actor may not.
        Unavailable: ``plugin_disabled``.
        PluginFailed: the action's function raised something that is not a CRMError.
    """
    from .commands import check

    action = session.hooks.registry.actions.get(type(command))
    if action is None:
        raise _unknown(session, type(command).__name__)
    check(action.name, action.fields, command)
    record = session.get(action.on, getattr(command, action.record_field)) if action.on and action.record_field else None
    denied = session.check_action(action.permission, record)
    if denied is not None:
        raise denied
    return run(session.hooks, action, session, command)


def list_for(session: ActionSession, record: Entity) -> list[ActionInfo]:
    """List the actions on a record, the forbidden ones too, with the reason; on one that is not there for the actor, all are."""
    registry = session.hooks.registry
    mine = (a for a in registry.actions.values() if a.on is type(record))
    actions = [a for a in mine if not registry.health.is_off(a.plugin, session.hooks.tenant)]
    seen = bool(actions) and session.permitted_stored("read", record)
    return [_info(session, action, _denied(session, action, record, seen)) for action in actions]


def _denied(session: ActionSession, action: ActionDef, record: Entity, seen: bool) -> Denied | None:
    return session.check_action(action.permission, record) if seen else Denied(action=action.permission, entity=spec(type(record)).name)


def _info(session: ActionSession, action: ActionDef, denied: Denied | None) -> ActionInfo:
    locale = session.actor.locale
    label = session.messages.template(action.label, locale) or action.label
    why_not = session.messages.text(denied.code, denied.params, locale) if denied else None
    return ActionInfo(action.name, label, denied is None, why_not, action.input_schema)


def _unknown(session: ActionSession, given: str) -> Invalid:
    known = {command.__name__ for command in session.hooks.registry.actions}
    return Invalid("unknown_action", given=given, suggestion=closest(given, known))
