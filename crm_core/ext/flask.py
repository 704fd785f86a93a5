"""Flask: ``install`` gives the session of a request, ``blueprint`` the resource of an entity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ..crm import CRM
from ..entities.entity import Entity
from ..errors import CRMError, MissingExtra
from ..permissions.actor import Actor
from ..session import Session
from .openapi import Served, document
from .problem import problem
from .resource import LONGEST_BODY, VERBS, Answer, Ask, Resource, Route, opening

try:
    from flask import Blueprint, Flask, Response, g, request
except ModuleNotFoundError as e:
    raise MissingExtra(extra="flask", module=e.name or "") from e

Opens = Callable[[], AbstractContextManager[Session]]

__all__ = ["blueprint", "install", "openapi"]


def install(app: Flask, crm: CRM, *, actor: Callable[[], Actor], db: Callable[[], Any] | None = None) -> Opens:
    """Answer the CRM's errors as problem documents, and return what opens a request's session: ``with session() as s: ...``.

    It commits on leaving the block, so before the answer goes out, and rolls back on an exception. A session of GET and HEAD reads only.
    ``Idempotency-Key`` makes a request that comes twice happen once; ``X-Request-ID`` stands in the journal.

    Args:
        actor: tells who asks.
        db: gives the host's SQLAlchemy session of this request (with Flask-SQLAlchemy ``lambda: db.session``), or its connection: host
            and CRM then share the transaction, and leaving the block commits both or rolls back both. None: the session has a
            transaction of its own.
    """

    def answer(error: CRMError) -> Response:
        return _response(problem(error, crm.messages, g.get("crm_actor"), request.headers.get("Accept-Language", "")))

    @contextmanager
    def session() -> Iterator[Session]:
        g.crm_actor = who = actor()
        headers = {name.lower(): value for name, value in request.headers.items()}
        with _ended(None if db is None else db()) as host, crm.session(who, on=host, **opening(who, request.method, headers)) as s:
            yield s

    app.register_error_handler(CRMError, answer)
    return session


def blueprint(crm: CRM, entity: type[Entity], *, session: Opens, expose: Iterable[str] = VERBS, filters: Iterable[str] = ()) -> Blueprint:
    """Return the resource of an entity, for ``app.register_blueprint(blueprint(crm, Account, session=session), url_prefix="/accounts")``.

    Args:
        session: what :func:`install` returned.
        expose: which verbs there are; what an actor may do is for the actor's roles to say.
        filters: the fields that a list may be filtered and sorted by; a custom field as ``custom.tier``.

    Raises:
        LoadError: no verb, or no field of the entity.
    """
    resource = Resource(crm, entity, expose=expose, filters=filters)
    routes = Blueprint(resource.name.replace(".", "_"), __name__)
    for route in resource.routes:
        rule = route.path.replace("{", "<").replace("}", ">")
        routes.add_url_rule(f"/{rule}" if rule else "", route.verb, _view(resource, route, session), methods=[route.method])
    return routes


def openapi(app: Flask, *, title: str, version: str = "1", locale: str = "en") -> dict[str, Any]:
    """Return the OpenAPI document of the resources that an application has, wherever it has them.

    Args:
        locale: the language of the fields' labels.
    """
    views = ((rule.rule, app.view_functions[rule.endpoint]) for rule in app.url_map.iter_rules())
    served = [Served(rule, *view.crm) for rule, view in views if hasattr(view, "crm")]
    return document(served, title=title, version=version, locale=locale)


def _view(resource: Resource, route: Route, session: Opens) -> Callable[..., Response]:
    def view(**named: str) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        url, params, body = request.script_root + request.path, request.args.to_dict(), _body()
        with session() as s:
            answer = route.answer(s, Ask(url=url, params=params, headers=headers, body=body, **_named(named)))
        return _response(answer)

    view.crm = (resource, route)  # type: ignore[attr-defined]  # for the document
    return view


def _body() -> bytes:
    """Read a body, and of one that is too long no more than it takes to see that."""
    length = request.content_length
    return request.get_data() if length is not None and length <= LONGEST_BODY else request.stream.read(LONGEST_BODY + 1)


@contextmanager
def _ended(host: Any) -> Iterator[Any]:
    """Commit the host's transaction on leaving, or roll it back on an exception."""
    try:
        yield host
        if host is not None:
            host.commit()
    except BaseException:
        if host is not None:
            host.rollback()
        raise


def _named(given: dict[str, str]) -> dict[str, str]:
    """Keep what a resource's own path names; the host's prefix may name more."""
    return {name: given[name] for name in ("id", "action") if name in given}


def _response(answer: Answer) -> Response:
    return Response(answer.content, answer.status, {"Content-Type": "application/json", **answer.headers})
