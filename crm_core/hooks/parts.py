"""What a plugin contributes, as records: definitions only, so that many CRMs can share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..classes import frozen
from ..entities.meta import spec as entity_spec

if TYPE_CHECKING:
    from ..entities.entity import Entity
    from .spec import Hook


@frozen(eq=False, repr=False)
class Contribution:
    """A function that a plugin gives to the core; failures are named after it.

    Attributes:
        plugin: the plugin's name.
        fn: the function itself.
        takes: the names of its parameters.
        may_wait: it may be ``async def``.
    """

    takes: ClassVar[tuple[str, ...]]
    may_wait: ClassVar[bool] = False

    plugin: str
    fn: Callable[..., Any]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def name(self) -> str:
        """The plugin and the function: ``acme.loyalty.award``. Subscriptions and jobs keep their state under it."""
        return f"{self.plugin}.{getattr(self.fn, '__name__', type(self.fn).__name__)}"

    @property
    def task(self) -> str:
        """What the function is for: the name of the hook it implements, else the kind of contribution."""
        return type(self).__name__.lower()

    @property
    def can_rest(self) -> bool:
        """Whether its failures count and it is left out of its hook while its plugin rests; for subscribers delivery does both."""
        return False

    @property
    def where(self) -> str:
        """Where the function is written, for error messages."""
        code = getattr(self.fn, "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(self.fn)


@frozen(eq=False, repr=False)
class Impl(Contribution):
    """An implementation of a hook.

    Attributes:
        hook: the hook implemented.
        on: the only entity it cares for, or None for all.
        before, after: a plugin (``sales``) or one implementation (``sales.discounts``) it runs before or after.
    """

    takes = ("context", "value")

    hook: Hook[Any, Any]
    on: type[Entity] | None = None
    before: str = ""
    after: str = ""

    @property
    def task(self) -> str:
        """The name of the hook."""
        return self.hook.name

    @property
    def can_rest(self) -> bool:
        """What a plugin adds to others may rest; vetoes, and what its own entities and hooks are made of, fail closed instead."""
        return self.hook.kind != "veto" and self.plugin != "core" and not self._is_about_its_own

    @property
    def guards_others(self) -> bool:
        """Whether it is a veto on what is not its plugin's own: it holds where the plugin is disabled."""
        return self.hook.kind == "veto" and not self._is_about_its_own

    @property
    def _is_about_its_own(self) -> bool:
        return self.hook.name.startswith(f"{self.plugin}.") or (self.on is not None and entity_spec(self.on).plugin == self.plugin)

    def call(self, ctx: Any, value: Any) -> Any:
        """Run it; the form in which pluggy knows it, with the parameter names of the hook's signature."""
        return self.fn(ctx, value)


@frozen(eq=False, repr=False)
class Subscription(Contribution):
    """A handler of an event.

    Attributes:
        event: the event's class.
        batch: the handler takes a list of events.
        external: it talks to the outside, so it runs without an open transaction and with a stable idempotency key.
        on_failure: after the last try, ``hold`` the record's line until somebody decides, or ``skip`` the event.
        from_start: a new subscription begins with the journal's first event, not with the next one.
    """

    takes = ("session", "event")
    may_wait = True

    event: type[Any]
    batch: bool = False
    external: bool = False
    on_failure: Literal["hold", "skip"] = "hold"
    from_start: bool = False


class Lifespan(Contribution):
    """What lives as long as the process: a generator function that opens, yields once, and closes."""

    __slots__ = ()

    takes = ("running",)


@frozen(eq=False, repr=False)
class Route(Contribution):
    """A web address that the outside calls.

    Attributes:
        method: in capitals.
        path: behind the plugin's name: ``/calls``.
        check: whether a request may come in; asked before anything else, in a session of the plugin's own actor that only reads.
    """

    takes = ("session", "request")

    method: str
    path: str
    check: Callable[[Any, Any], bool]

    @property
    def address(self) -> str:
        """The path that a host mounts: ``/acme.phone/calls``."""
        return f"/{self.plugin}{self.path}"


@frozen(eq=False, repr=False)
class Job(Contribution):
    """Work done again and again, or, as a data migration, once in each tenant that there is.

    Attributes:
        every: when, as a cron expression of five fields; empty for a data migration.
        per_tenant: it runs once for each tenant, in a session of that tenant; else in one of ``main``.
        external: it talks to the outside, so it runs without an open transaction while it only reads.
        version: the plugin's version that a data migration leads to; None for a job.
    """

    takes = ("session",)
    may_wait = True

    every: str
    per_tenant: bool = False
    external: bool = False
    version: str | None = None

    @property
    def once(self) -> bool:
        """Whether it is a data migration."""
        return self.version is not None


@frozen(eq=False, repr=False)
class Panel(Contribution):
    """A plugin's part of what is shown beside a record of *entity*.

    Attributes:
        label: a message id or plain text.
        reads: the entities it shows; who may read none of them has no such panel.
    """

    takes = ("session", "record")

    entity: type[Entity]
    label: str
    reads: tuple[type[Entity], ...] = ()


@frozen(eq=False)
class Link:
    """A relation between two entities whose modules do not know each other.

    Attributes:
        plugin: who relates them.
        a, b: the two sides.
        many: one record of *a* may relate to many of *b*; else to one at most.
    """

    plugin: str
    a: type[Entity]
    b: type[Entity]
    many: bool = True

    @property
    def name(self) -> str:
        """The plugin and the two sides: ``acme.loyalty.account_ticket``."""
        from ..entities.meta import snake

        return f"{self.plugin}.{snake(self.a.__name__)}_{snake(self.b.__name__)}"
