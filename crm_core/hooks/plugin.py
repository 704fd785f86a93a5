"""Plugin: the definition a vendor writes. It holds no state of any CRM, so many CRMs can share it."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from ..events.event import event_name
from ..messages import Catalogue
from ..permissions.predicates import Rule, everything
from .definitions import Definitions
from .marks import Marking
from .measuring import Measuring
from .parts import Impl, Job, Lifespan, Link, Panel, Route, Subscription
from .retention import Retention, RetentionAction
from .spec import CollectHook, Ctx, FilterHook, FirstHook, Hook, VetoHook

if TYPE_CHECKING:
    from ..asession import AsyncCRMSession
    from ..entities.entity import Entity, Extension
    from ..inbound import Request, Response
    from ..lifespan import Running
    from ..permissions.roles import Role
    from ..session import Session
    from .screens import Form, ListView

E = TypeVar("E", bound="Entity")
XT = TypeVar("XT", bound="Extension")
X = TypeVar("X", bound=Ctx)
V = TypeVar("V")
R = TypeVar("R")
C = TypeVar("C")
M = TypeVar("M", bound=Callable[..., Any])
S = TypeVar("S")
J = TypeVar("J", bound="Callable[[Session], None] | Callable[[AsyncCRMSession], Awaitable[None]]")

Handler: TypeAlias = "Callable[[Session, C], None] | Callable[[AsyncCRMSession, C], Awaitable[None]]"


class Plugin(Marking, Measuring):
    """A module of the CRM: what it is called, what it needs, and what it contributes.

    Declare at import time, in the modules that ``__init__`` imports; what a declaration says is checked when a CRM loads the plugin,
    which raises LoadError. A declaration that comes after that is a LoadError of its own, ``plugin_in_use``. Two plugins are the same
    only if they are the same object.

    Args:
        name: lower-case words joined by dots; vendors put their own name first (``acme.loyalty``).
        version: numbers joined by dots.
        requires: the plugins it uses, with ranges of their versions: ``{"sales": ">=1,<2"}``. ``core`` is the core itself.
        settings: an attrs class with the plugin's settings per tenant; every field needs a default.
        label: what people call it.
        package: the import package whose folder ``revisions`` holds its frozen schemas; without one, it migrates to what it declares.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str,
        requires: Mapping[str, str] | None = None,
        settings: type[Any] | None = None,
        label: str = "",
        package: str = "",
    ) -> None:
        self.name = name
        self.version = version
        self.requires = dict(requires or {})
        self.settings = settings
        self.label = label or name
        self.package = package
        self.configuration: Mapping[str, Any] = {}
        self.definitions = Definitions(name)

    def __repr__(self) -> str:
        return f"Plugin({self.name!r}, version={self.version!r})"

    def configured(self, **settings: Any) -> Plugin:
        """Return the same definition with *settings* as the defaults of every tenant; this one stays as it is."""
        other = copy.copy(self)
        other.configuration = {**self.configuration, **settings}
        return other

    # What it is made of

    def entities(self, *cls: type[Entity]) -> None:
        """Declare the plugin's own entities; their tables are ``<prefix><plugin>_<entity>``.

        Raises:
            LoadError: one belongs to another plugin.
        """
        from ..entities.meta import bind_entity

        entities = self.definitions.open.entities
        for entity in cls:
            bind_entity(entity, self.name)
            entities.append(entity)

    def extend(self, entity: type[Entity]) -> Callable[[type[XT]], type[XT]]:
        """Add the decorated Extension's fields to *entity*; read and write them as ``record[TheExtension].field``.

        Raises:
            LoadError: it extends another entity already, or a field has no default.
        """
        from ..entities.meta import bind_extension

        def declare(extension: type[XT]) -> type[XT]:
            extensions = self.definitions.open.extensions
            bind_extension(extension, entity, self.name)
            extensions.append((entity, extension))
            return extension

        return declare

    def link(self, a: type[Entity], b: type[Entity], *, many: bool = True) -> Link:
        """Relate two entities whose modules do not know each other."""
        link = Link(self.name, a, b, many)
        self.definitions.open.links.append(link)
        return link

    def events(self, *cls: type[Any]) -> None:
        """Declare the events that the plugin publishes."""
        self.definitions.open.events.extend(cls)

    def hooks(self, *hook: Hook[Any, Any]) -> None:
        """Declare the hooks that the plugin calls; their names start with the plugin's."""
        self.definitions.open.hooks.extend(hook)

    def service(self, cls: type[S]) -> type[S]:
        """Offer the decorated class to hosts and other plugins: ``session.use(cls)``."""
        self.definitions.open.services.append(cls)
        return cls

    def role(self, role: Role) -> None:
        """Bring a role; its name starts with the plugin's."""
        self.definitions.open.roles.append(role)

    def grants(self, *grants: str) -> None:
        """Say what the plugin's jobs, subscribers and elevated code may do beside its own entities: ``sales.opportunity:read,update``."""
        self.definitions.open.grants.extend(grants)

    def catalogue(self, locale: str, templates: Mapping[str, str]) -> None:
        """Bring the plugin's messages and labels in one language; their codes start with the plugin's name."""
        self.definitions.open.catalogues.append(Catalogue(locale, dict(templates)))

    def retention(
        self,
        key: str,
        entity: type[Entity],
        *,
        keep: str,
        since: str,
        action: RetentionAction,
        where: Rule = everything,
        suggested: bool = False,
    ) -> Retention:
        """Say how long records are needed, and what is done with them then; the arguments are those of :class:`Retention`.

        Nothing is done before somebody runs :func:`crm_core.privacy.retain`.
        """
        found = Retention(self.name, key, entity, keep, since, action, where, suggested)
        self.definitions.open.retentions.append(found)
        return found

    def companion(self, target: str, *, beside: str) -> None:
        """Join this plugin to another where a CRM has both; without the other, this one works alone.

        Args:
            target: ``package.module:name`` of a Plugin that requires both; imported only then.
            beside: the other plugin's name.
        """
        self.definitions.open.companions.append((target, beside))

    def ports(self, *ports: type[Any]) -> None:
        """Say which ports the plugin needs, such as ``Files`` of :mod:`crm_core.ports`; a CRM that lacks one does not start."""
        self.definitions.open.ports.extend(ports)

    def screen(self, screen: Form | ListView) -> None:
        """Say what a front end may show: a form or a list of an entity."""
        self.definitions.open.screens.append(screen)

    def assets(self, package: str, folder: str) -> None:
        """Offer the files of a package's folder, scripts and style sheets, to front ends."""
        from .screens import Assets

        self.definitions.open.assets.append(Assets(self.name, package, folder))

    # What it does

    @overload
    def on(
        self,
        event: type[C],
        *,
        batch: Literal[False] = False,
        external: bool = False,
        on_failure: Literal["hold", "skip"] = "hold",
        from_start: bool = False,
    ) -> Callable[[Handler[C]], Handler[Any]]: ...
    @overload
    def on(
        self,
        event: type[C],
        *,
        batch: Literal[True],
        external: bool = False,
        on_failure: Literal["hold", "skip"] = "hold",
        from_start: bool = False,
    ) -> Callable[[Handler[list[C]]], Handler[list[Any]]]: ...
    def on(
        self,
        event: type[Any],
        *,
        batch: bool = False,
        external: bool = False,
        on_failure: Literal["hold", "skip"] = "hold",
        from_start: bool = False,
    ) -> Any:
        """Call the decorated function after the commit for each *event*, at least once, in each record's order.

        It may be ``async def``; it then gets an AsyncCRMSession. Decorate it once for each event; it gets them in their order too.

        Args:
            event: the event's class; a text is a LoadError.
            batch: hand over a list of events at a time.
            external: it talks to the outside: run it without an open transaction. ``event.id`` is the idempotency key.
            on_failure: after the last try, hold the record's later events back, or skip this one.
            from_start: a new subscription begins with the journal's first event, not with the next one.

        Raises:
            LoadError: ``not_an_event``.
        """
        event_name(event)

        def declare(fn: Callable[..., Any]) -> Callable[..., Any]:
            self.definitions.open.subscriptions.append(Subscription(self.name, fn, event, batch, external, on_failure, from_start))
            return fn

        return declare

    @overload
    def hook(
        self, spec: FilterHook[X, V], *, on: type[Entity] | None = None, before: str = "", after: str = ""
    ) -> Callable[[Callable[[X, V], V]], Callable[[X, V], V]]: ...
    @overload
    def hook(
        self, spec: VetoHook[X, V], *, on: type[Entity] | None = None, before: str = "", after: str = ""
    ) -> Callable[[Callable[[X, V], None]], Callable[[X, V], None]]: ...
    @overload
    def hook(
        self, spec: FirstHook[X, V, R] | CollectHook[X, V, R], *, on: type[Entity] | None = None, before: str = "", after: str = ""
    ) -> Callable[[Callable[[X, V], R | None]], Callable[[X, V], R | None]]: ...
    def hook(self, spec: Hook[Any, Any], *, on: type[Entity] | None = None, before: str = "", after: str = "") -> Any:
        """Implement *spec* with the decorated function.

        Implementations run in the order their plugins load, then as declared.

        Args:
            spec: the hook object from its plugin's api module.
            on: for hooks of one entity (writes): run for this entity alone.
            before, after: a plugin (``sales``) or one implementation (``sales.discounts``); ignored where that plugin is not loaded.
        """

        def declare(fn: Callable[..., Any]) -> Callable[..., Any]:
            self.definitions.open.impls.append(Impl(self.name, fn, spec, on, before, after))
            return fn

        return declare

    def action(
        self, *, permission: str, label: str = "", on: type[Entity] | None = None
    ) -> Callable[[Callable[[Session, C], R]], Callable[[Session, C], R]]:
        """Offer the decorated function as an action: REST, automation, bulk, screens and tests call it with ``session.perform(command)``.

        Args:
            permission: who may; starts with the plugin's name.
            label: what people read on the button; a message id or plain text.
            on: the entity whose records it acts on; the command then has one field ``Ref[on]``.
        """

        from .actions import ActionDef

        def declare(fn: Callable[[Session, C], R]) -> Callable[[Session, C], R]:
            self.definitions.open.actions.append(ActionDef(self.name, fn, permission, label or fn.__name__, on))
            return fn

        return declare

    def job(self, *, every: str, per_tenant: bool = False, external: bool = False) -> Callable[[J], J]:
        """Run the decorated function again and again, as the plugin's service actor with the grants it declares.

        What it does, and that it is done, is one transaction. ``session.job`` tells of its progress and keeps checkpoints. A function may
        be ``async def``; it then gets an AsyncCRMSession.

        Args:
            every: when, as a cron expression of five fields, in the zone of the tenant (``CoreSettings.timezone``).
            per_tenant: once for each tenant, in a session of that tenant; else once, in ``main``.
            external: it talks to the outside: run it without an open transaction while it only reads.
        """

        def declare(fn: J) -> J:
            self.definitions.open.jobs.append(Job(self.name, fn, every, per_tenant, external))
            return fn

        return declare

    def data_migration(self, version: str) -> Callable[[J], J]:
        """Run the decorated function once in each tenant that there is when this version comes: it brings the stored rows along.

        It works as a job does, in batches: after each, ``session.job.progress(done, total, checkpoint=...)`` commits it, and after a kill
        the next try gets ``session.job.checkpoint``. ``crm migrate`` runs it, and so does a worker; the plugin's jobs wait for it.

        Args:
            version: of the plugin, that needs it; several run in the order of their versions.
        """

        def declare(fn: J) -> J:
            self.definitions.open.jobs.append(Job(self.name, fn, "", True, False, version))
            return fn

        return declare

    def lifespan(self, fn: Callable[[Running], Iterator[None]]) -> Callable[[Running], Iterator[None]]:
        """Run the decorated generator with the process: up to its ``yield`` when the CRM starts, the rest when it stops.

        It gets a :class:`Running`, which opens sessions as the plugin's own actor, and must not keep one open over its ``yield``.
        """
        self.definitions.open.lifespans.append(Lifespan(self.name, fn))
        return fn

    def route(
        self, method: str, path: str, *, check: Callable[[Session, Request], bool]
    ) -> Callable[[Callable[[Session, Request], Response]], Callable[[Session, Request], Response]]:
        """Let the outside call the decorated function, in one transaction of the plugin's own actor; hosts mount it with ``crm.answer``.

        Args:
            method: such as ``POST``.
            path: behind the plugin's name, beginning with ``/``.
            check: whether the request may come in: see :func:`crm_core.signed`.
        """

        def declare(fn: Callable[[Session, Request], Response]) -> Callable[[Session, Request], Response]:
            self.definitions.open.routes.append(Route(self.name, fn, method.upper(), path, check))
            return fn

        return declare

    def panel(
        self, entity: type[E], *, label: str, reads: Sequence[type[Entity]] = ()
    ) -> Callable[[Callable[[Session, E], dict[str, Any] | None]], Callable[[Session, E], dict[str, Any] | None]]:
        """Show what the decorated function returns beside a record of *entity*: a dict of records and plain values, or None for nothing.

        It reads as the actor who looks, in that actor's session, and should not write.

        Args:
            label: what people call it; a message id or plain text.
            reads: the entities it shows; who may read none of them has no such panel.
        """

        def declare(fn: Callable[[Session, E], dict[str, Any] | None]) -> Callable[[Session, E], dict[str, Any] | None]:
            self.definitions.open.panels.append(Panel(self.name, fn, entity, label, tuple(reads)))
            return fn

        return declare
