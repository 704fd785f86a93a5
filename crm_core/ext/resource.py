"""A resource: one entity over HTTP, whatever the framework. Every request is a few calls of one session, by its lens and its pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import attrs

from ..arguments import check_entity
from ..describe import from_json
from ..entities.custom_kind import PREFIX
from ..entities.entity import Entity
from ..entities.fields import Ref
from ..entities.meta import spec
from ..errors import Conflict, Detail, Invalid, LoadError
from ..messages import closest, redact

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.actions import ActionDef
    from ..paging import Part
    from ..permissions.actor import Actor
    from ..session import Session

VERBS: Final = ("list", "describe", "create", "get", "update", "delete", "history", "actions", "perform")
PAGE: Final = 50
ENTRIES: Final = 20


LONGEST_BODY = 10_000_000
"""Bytes that the body of a request may have."""


@attrs.frozen(kw_only=True)
class Ask:
    """What a request asks.

    Attributes:
        url: its path, without the query string.
        params: the query string.
        headers: looked up in lower case.
        id, action: what the path names.
    """

    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    id: str = ""
    action: str = ""


@attrs.frozen
class Answer:
    """What a request gets: a status, plain JSON (None for no body) and headers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        return b"" if self.body is None else json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


@attrs.frozen
class Route:
    """One verb of a resource: its method, its path with ``{id}`` and ``{action}``, and what answers it in a session."""

    verb: str
    method: str
    path: str
    status: int
    answer: Callable[[Session, Ask], Answer]


class Resource:
    """An entity as a resource.

    Args:
        expose: which verbs there are; what an actor may do is for the actor's roles to say.
        filters: the fields that a list may be filtered and sorted by; a custom field as ``custom.tier``.

    Raises:
        LoadError: ``resource_verb``, ``resource_filter``: no verb, or no field of the entity.
    """

    def __init__(self, crm: CRM, entity: type[Entity], *, expose: Iterable[str] = VERBS, filters: Iterable[str] = ()) -> None:
        check_entity(entity)
        self.crm, self.entity, self.name = crm, entity, spec(entity).name
        self.filters: Sequence[str] = tuple(filters)
        self._exposed = tuple(expose)
        fields = crm.codec(entity).fields
        for verb in self._exposed:
            if verb not in VERBS:
                raise LoadError("resource_verb", entity=self.name, given=str(verb)[:60], known=list(VERBS))
        for name in self.filters:
            if name not in fields and not str(name).startswith(PREFIX):  # which custom fields there are is the tenant's to say
                raise LoadError("resource_filter", entity=self.name, given=str(name)[:60], suggestion=closest(name, fields))

    @property
    def routes(self) -> Sequence[Route]:
        """The verbs that are exposed; a router that goes by order finds ``describe`` before any id."""
        known = (
            Route("list", "GET", "", 200, self.page),
            Route("describe", "GET", "describe", 200, self.describe),
            Route("create", "POST", "", 201, self.create),
            Route("get", "GET", "{id}", 200, self.get),
            Route("update", "PATCH", "{id}", 200, self.update),
            Route("delete", "DELETE", "{id}", 204, self.delete),
            Route("history", "GET", "{id}/history", 200, self.history),
            Route("actions", "GET", "{id}/actions", 200, self.actions),
            Route("perform", "POST", "{id}/actions/{action}", 200, self.perform),
        )
        return [route for route in known if route.verb in self._exposed]

    def page(self, s: Session, ask: Ask) -> Answer:
        """Answer a page: ``?owner=7&sort=-created_at&size=20&expand=account``, and ``&after=`` the last page's ``next``."""
        expand = self._expand(s, ask)
        query = s.query(self.entity).matching(ask.params, allow=self.filters).preload(*self._columns(expand))
        page = query.page(_size(ask, PAGE), after=ask.params.get("after"))
        return _paged(page, self.crm.to_json(page, expand=expand))

    def describe(self, s: Session, ask: Ask) -> Answer:
        """Answer what a form needs to know, for this actor and in their language."""
        return Answer(200, s.describe(self.entity))

    def get(self, s: Session, ask: Ask) -> Answer:
        """Answer a record with its version as ETag; 304 where the caller has it."""
        record = s.get(self.entity, ask.id)
        expand = self._expand(s, ask)
        if expand:
            record = s.query(self.entity).where(self.entity.id == record.id).preload(*self._columns(expand)).one()
        elif ask.headers.get("if-none-match") == _etag(record):
            return Answer(304, None, {"ETag": _etag(record)})
        return self._record(record, expand=expand)

    def create(self, s: Session, ask: Ask) -> Answer:
        """Store the record of the body and answer it, with its place."""
        hidden = {name for name, level in s.levels(self.entity).items() if level == "none"}
        made = s.create(from_json(self.crm, self.entity, self._body(ask), hidden))
        return self._record(made, 201, Location=f"{quote(ask.url, safe='/%').rstrip('/')}/{made.id}")

    def update(self, s: Session, ask: Ask) -> Answer:
        """Change what the body names. ``If-Match``, or ``version`` in the body, says which version the change is based on."""
        changes = self._body(ask)
        version = changes.pop("version", None)
        return self._record(s.update(self.entity, ask.id, changes, version=_matched(ask) if version is None else version))

    def delete(self, s: Session, ask: Ask) -> Answer:
        """Delete the record, if it is at the version that ``If-Match`` names."""
        version = _matched(ask)
        record = s.get(self.entity, ask.id) if version is None else s.lock(self.entity, ask.id)
        if version is not None and record.version != version:
            raise Conflict("stale_version", entity=self.name, id=record.id, version=version, current=record.version)
        s.delete(record)
        return Answer(204)

    def history(self, s: Session, ask: Ask) -> Answer:
        """Answer who changed the record, when and what, the newest first: ``?size=20``, and ``&after=`` the last page's ``next``."""
        page = s.history(Ref(self.entity, ask.id), size=_size(ask, ENTRIES), after=ask.params.get("after"))
        return _paged(page, self.crm.to_json(page)["items"])

    def actions(self, s: Session, ask: Ask) -> Answer:
        """Answer what can be done with the record, what of it this actor may do, and why not the rest."""
        return Answer(200, [attrs.asdict(info) for info in s.actions(s.get(self.entity, ask.id))])

    def perform(self, s: Session, ask: Ask) -> Answer:
        """Do what the path names with the record, by the command that the body is; answer its result."""
        action = self._action(ask.action)
        given = self._body(ask) | ({action.record_field: ask.id} if action.record_field else {})
        return Answer(200, self.crm.to_json(s.perform(action.load(given))))

    # -- inside -------------------------------------------------------------------------------------------------------------------

    @property
    def known_actions(self) -> Mapping[str, ActionDef]:
        """The actions on this entity's records, by name."""
        return {a.name: a for a in self.crm.registry.actions.values() if a.on is self.entity}

    def _action(self, name: str) -> ActionDef:
        known = self.known_actions
        if name not in known:
            raise Invalid("unknown_action", given=name[:60], suggestion=closest(name, known))
        return known[name]

    def _record(self, record: Entity, status: int = 200, *, expand: Sequence[str] = (), **headers: str) -> Answer:
        return Answer(status, self.crm.to_json(record, expand=expand), {"ETag": _etag(record), **headers})

    def _expand(self, s: Session, ask: Ask) -> Sequence[str]:
        names = [*dict.fromkeys(name for name in ask.params.get("expand", "").split(",") if name)]
        known, readable = spec(self.entity).fields, s.reader.readable(self.entity)
        for name in names:
            if name not in known or known[name].kind != "ref" or name not in readable:
                raise Invalid("unknown_expand", entity=self.name, given=name[:60])
        return names

    def _columns(self, names: Iterable[str]) -> Iterable[Any]:
        return [getattr(self.entity, name) for name in names]

    def _body(self, ask: Ask) -> dict[str, Any]:
        """Read the body, a JSON object."""
        if len(ask.body) > LONGEST_BODY:
            raise Invalid("body_too_long", longest=LONGEST_BODY)
        try:
            data = json.loads(ask.body or b"{}", parse_constant=_refused)
        except (ValueError, RecursionError):
            data = None
            form = ask.headers.get("content-type", "").partition(";")[0].strip()
            if form and "json" not in form and form != "text/plain":
                raise Invalid(details=[Detail(self.name, "", "body_not_json", "None", {"given": form[:60]})]) from None
        if not isinstance(data, dict):
            given = "no JSON" if data is None else type(data).__name__
            raise Invalid(details=[Detail(self.name, "", "wrong_type", redact(data), {"given": given, "expected": "object"})])
        return data


def _size(ask: Ask, default: int) -> int:
    """Return how many a page is to hold; 0, which is refused, for what is no number."""
    size = ask.params.get("size", str(default))
    return int(size) if size.isdecimal() and len(size) < 9 else 0


def _paged(page: Part[Any], data: Sequence[Any]) -> Answer:
    return Answer(200, {"data": data, "has_more": page.has_more, "next": page.next})


def _refused(constant: str) -> None:
    raise ValueError(constant)


def _etag(record: Entity) -> str:
    return f'"{record.version}"'


def _matched(ask: Ask) -> int | None:
    """Return the version that ``If-Match`` asks for; None where any will do."""
    tag = ask.headers.get("if-match", "*").strip()
    if tag == "*":
        return None
    number = tag.removeprefix("W/").strip('"')
    if not (number.isdecimal() and len(number) < 19):
        raise Invalid("wrong_type", field="If-Match", given=redact(tag), expected='"<version>"')
    return int(number)


def opening(actor: Actor, method: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return how a request's session is opened: one that only asks cannot write, one that comes twice happens once.

    A key is its user's own, ``<user id>/<Idempotency-Key>``: nobody gets what another's key got. In an id, ``%`` and ``/`` are written
    ``%25`` and ``%2F``, so that no user's id and key are read as another's.
    """
    write = method not in ("GET", "HEAD", "OPTIONS")
    key = headers.get("idempotency-key") if write else None
    mine = actor.id.replace("%", "%25").replace("/", "%2F")
    return {"write": write, "idempotency_key": None if key is None else f"{mine}/{key}", "request": headers.get("x-request-id")}
