"""How Django's ORM is observed: an observed queryset and Django's signals of deletion tell what is written, in its own transaction.

``save``, ``bulk_create`` and their kin all write through the queryset of a model's managers, so that is where we look. Signals of saving
come before Django's transaction begins and after it ended; those of deletion are inside.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, cast

import attrs
from django.apps import apps
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connections, models
from django.db.backends.signals import connection_created
from django.db.models.signals import post_delete, pre_delete
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from ...adoption.recording import Recorder, Records
from ...arguments import check
from ...errors import LoadError
from ...logs import facts
from ...permissions.actor import Actor
from ...storage.django import DjangoBound

if TYPE_CHECKING:
    from ...crm import CRM

log = logging.getLogger("crm_core.adoption")
writing = Signal()
"""Asks the CRMs that observe a model for a block to write in."""
_asked: ContextVar[HttpRequest | None] = ContextVar("crm_asked", default=None)


@attrs.define
class Write:
    """Rows that are about to be written.

    Attributes:
        rows: those that are there, and may change.
        new: the primary keys of new ones, to be filled in meanwhile.
        unknown: whether there are new ones whose keys Django is not told.
    """

    model: type[models.Model]
    rows: models.QuerySet[Any] | None = None
    new: list[Any] = attrs.field(factory=list)
    unknown: bool = False

    @contextmanager
    def observed(self, using: str) -> Iterator[None]:
        """Let each CRM that observes the model look before and after."""
        with ExitStack() as stack:
            for _, block in writing.send(self.model, write=self, using=using):
                stack.enter_context(cast(AbstractContextManager[None], block))
            yield


class ObservedQuerySet(models.QuerySet[Any]):
    """A queryset whose writes the CRM journals, in their own transaction: ``objects = ObservedQuerySet.as_manager()``.

    It has to be the model's ``Meta.base_manager_name`` too: ``save`` and what Django does to related rows go that way.
    """

    def update(self, **values: Any) -> int:
        """As Django's; the rows that match are read first."""
        self._for_write = True
        with Write(self.model, self.all()).observed(self.db):
            return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]  # templates may not call it

    def _update(self, *args: Any, **kwargs: Any) -> Any:
        self._for_write = True
        with Write(self.model, self.all()).observed(self.db):
            return super()._update(*args, **kwargs)  # type: ignore[misc]  # how save() writes a row that is there

    _update.alters_data = True  # type: ignore[attr-defined]
    _update.queryset_only = False  # type: ignore[attr-defined]  # managers have it

    def _insert(self, objs: Sequence[Any], fields: Any, returning_fields: Any = None, **options: Any) -> Any:
        self._for_write = True
        using = options.get("using") or self.db
        key = self.model._meta.pk.attname
        given = [pk for each in objs if (pk := getattr(each, key)) is not None]
        write = Write(self.model, unknown=len(given) < len(objs))
        if options.get("on_conflict") is not None:
            write.rows = self.model._base_manager.using(using).filter(_meets(self.model, objs, given, options.get("unique_fields") or ()))
            write.new += set(given) - set(write.rows.values_list("pk", flat=True))
        with write.observed(using):
            made = super()._insert(objs, fields, returning_fields, **options)  # type: ignore[misc]  # how rows are made
            if write.rows is None:
                names = [field.attname for field in returning_fields or ()]
                told = key in names and bool(made)
                write.new += [row[names.index(key)] for row in made] if told else given
                write.unknown = write.unknown and not told
        return made

    _insert.alters_data = True  # type: ignore[attr-defined]
    _insert.queryset_only = False  # type: ignore[attr-defined]


def _meets(model: Any, objs: Sequence[Any], given: Sequence[Any], unique: Iterable[Any]) -> models.Q:
    """Return the condition that a row is one that the insert of *objs* may meet, and so change."""
    names = [getattr(field, "attname", field) for field in unique]
    met = [models.Q(**{name: getattr(each, name) for name in names}) for each in objs] if names else []
    return reduce(or_, met, models.Q(pk__in=given))


class Acting:
    """Middleware that says who writes through the ORM: whom ``CRM_ACTOR``, the path of a function of the request, names."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Go on."""
        token = _asked.set(request)
        try:
            return self._get_response(request)
        finally:
            _asked.reset(token)


def who() -> Actor | None:
    """Return who asks, and so writes; None outside of requests, and where the function refuses to name anybody."""
    request = _asked.get()
    if request is None:
        return None
    try:
        found: Actor = import_string(settings.CRM_ACTOR)(request)
    except PermissionDenied:
        return None
    return found


def observe(crm: CRM) -> None:
    """Write what Django's ORM does to adopted models into the journal, in its own transaction.

    Observed are ``save``, ``delete``, ``create``, ``update``, ``bulk_create`` and ``bulk_update`` of instances and managers, and so forms
    and the admin. Not observed are SQL texts, other managers, and the models of migrations; what the first two write is named in the log,
    ``adopted_bulk``.

    Raises:
        WrongArgument: the CRM is not on Django's connection.
        LoadError: ``adopted_manager``: a model's default or base manager is not of an :class:`ObservedQuerySet`.
    """
    check(crm.bound, DjangoBound, "a CRM on Django's connection, CRM('django://default')")
    if not crm.adoption.observes:
        Observer(crm, crm.adoption.recorder()).listen()


@attrs.frozen
class Leaving:
    """A row between Django's two signals of its deletion.

    Attributes:
        within: which transaction deletes it.
        olds: it, as it was.
    """

    within: object
    olds: Records


def _transaction(using: str) -> object:
    """Return what is one object as long as the outermost transaction goes on."""
    return next(iter(connections[using].atomic_blocks), None)


class Observer:
    """Hears of Django's writes for one CRM."""

    def __init__(self, crm: CRM, recorder: Recorder) -> None:
        self._crm = crm
        self._recorder = recorder
        self._entities = {adoption.table.name: entity for entity, adoption in crm.tables.adopted.items()}
        self._writing: ContextVar[bool] = ContextVar("crm_writing", default=False)
        self._leaving: ContextVar[Mapping[tuple[Any, Any], Leaving] | None] = ContextVar("crm_leaving", default=None)
        names = "|".join(map(re.escape, self._entities))
        verbs = r"insert\s(?:or\s\w+\s)?into|update|(?P<deletes>delete)\sfrom"
        self._writes = re.compile(rf'\s*(?:{verbs})\s+"?(?P<table>{names})"?[\s(]', re.IGNORECASE)

    def listen(self) -> None:
        """Begin to listen; it does so as long as the process lives."""
        for model in apps.get_models(include_auto_created=True):
            if model._meta.concrete_model._meta.db_table in self._entities:  # type: ignore[union-attr]  # no abstract one is here
                _check_managers(model)
                pre_delete.connect(self._deleting, sender=model, weak=False)
                post_delete.connect(self._deleted, sender=model, weak=False)
            if self._adopted(model):
                writing.connect(self._block, sender=model, weak=False)
        if self._entities and isinstance(self._crm.bound, DjangoBound):
            connection_created.connect(self._connected, weak=False)
            self._connected(connections[self._crm.bound.alias])

    def _adopted(self, model: Any) -> list[tuple[type[Any], str]]:
        """Return the entities whose tables a write to a model's rows may change, and where their keys are in the model."""
        options = model._meta.concrete_model._meta
        tables = [options, *(parent._meta for parent in options.get_parent_list())]
        return [(self._entities[each.db_table], each.pk.attname) for each in tables if each.db_table in self._entities]

    # -- writes -------------------------------------------------------------------------------------------------------------------

    def _block(self, sender: type[Any], *, write: Write, using: str, **_: Any) -> AbstractContextManager[None]:
        return self._observed(sender, write, using)

    @contextmanager
    def _observed(self, model: type[Any], write: Write, using: str) -> Iterator[None]:
        if not self._is_ours(using):
            yield
            return
        token = self._writing.set(True)
        try:
            with self._crm.bound.begin() as connection:
                by = self._who()
                found: dict[type[Any], Records] = {}
                adopted = self._adopted(model)
                for entity, key in adopted:
                    ids = [] if write.rows is None else self._ids(entity, write.rows.order_by().values_list(key, flat=True))
                    found[entity] = self._recorder.before(connection, entity, ids, (), by=by) if ids else {}
                highest = {entity: self._recorder.highest(connection, entity) for entity, _ in adopted if write.unknown}
                yield
                own = self._entities.get(model._meta.concrete_model._meta.db_table)
                for entity, olds in found.items():
                    new = self._ids(entity, write.new) if entity is own else []
                    if write.unknown and entity is own:
                        new += self._recorder.above(connection, entity, highest[entity])
                    if olds or new:
                        self._recorder.after(connection, entity, olds, new, by=by)
        finally:
            self._writing.reset(token)

    def _ids(self, entity: type[Any], keys: Iterable[Any]) -> list[str]:
        key = self._crm.tables.adopted[entity].key
        return [key.id(value) for value in dict.fromkeys(keys)]

    # -- deletions ----------------------------------------------------------------------------------------------------------------

    def _deleting(self, sender: type[Any], instance: Any, using: str, **_: Any) -> None:
        if self._is_ours(using):
            entity, _key = self._adopted(sender)[0]
            ids = self._ids(entity, [instance.pk])
            with self._crm.bound.begin() as connection:
                olds = self._recorder.before(connection, entity, ids, ids, by=self._who())
            self._leaving.set({**self._leaving_now(using), (entity, instance.pk): Leaving(_transaction(using), olds)})

    def _deleted(self, sender: type[Any], instance: Any, using: str, **_: Any) -> None:
        if self._is_ours(using):
            entity, _key = self._adopted(sender)[0]
            leaving = self._leaving_now(using)
            gone = leaving.pop((entity, instance.pk), None)
            self._leaving.set(leaving)
            with self._crm.bound.begin() as connection:
                self._recorder.after(connection, entity, gone.olds if gone else {}, (), by=self._who())

    def _leaving_now(self, using: str) -> dict[tuple[Any, Any], Leaving]:
        """Return what is being deleted, without what a transaction left behind that was undone in the middle of it."""
        now = _transaction(using)
        return {key: each for key, each in (self._leaving.get() or {}).items() if each.within is now}

    # -- what goes past -----------------------------------------------------------------------------------------------------------

    def _connected(self, connection: Any, **_: Any) -> None:
        if self._is_ours(connection.alias) and self._executing not in connection.execute_wrappers:
            connection.execute_wrappers.append(self._executing)

    def _executing(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Mapping[str, Any]) -> Any:
        written = None if self._writing.get() else self._writes.match(str(sql))
        if written and not (written["deletes"] and self._leaving_now(context["connection"].alias)):
            log.warning(
                "%s was written past the observed managers: the journal, subscribers and versions do not know of it. "
                "Write through ObservedQuerySet; adoption.fill() takes up new rows.",
                written["table"],
                extra=facts("adopted_bulk", table=written["table"]),
            )
        return execute(sql, params, many, context)

    def _is_ours(self, using: str) -> bool:
        return isinstance(self._crm.bound, DjangoBound) and self._crm.bound.alias == using and not self._crm.safe_mode

    def _who(self) -> Actor | None:
        """Return who asks, where ``acting`` says nothing else."""
        return None if self._crm.adoption.acts else who()


def _check_managers(model: type[models.Model]) -> None:
    for manager in (model._default_manager, model._base_manager):
        if not isinstance(manager.get_queryset(), ObservedQuerySet):
            raise LoadError("adopted_manager", model=model._meta.label)
