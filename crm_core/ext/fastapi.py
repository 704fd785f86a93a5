"""FastAPI: ``install`` gives the session of a request, ``router`` the resource of an entity."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Annotated, Any

from ..asession import AsyncCRMSession
from ..crm import CRM
from ..entities.entity import Entity
from ..errors import CRMError, MissingExtra
from ..permissions.actor import Actor
from ..session import Session
from .openapi import operation
from .problem import problem
from .resource import LONGEST_BODY, VERBS, Answer, Ask, Resource, Route, opening

try:
    from fastapi import APIRouter, Depends, FastAPI, Request, Response
except ModuleNotFoundError as e:
    raise MissingExtra(extra="fastapi", module=e.name or "") from e

__all__ = ["install", "router"]


def install(app: FastAPI, crm: CRM, *, actor: Callable[..., Any], db: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Answer the CRM's errors as problem documents, and return the dependency that is a request's session.

    Take it as ``Annotated[AsyncCRMSession, Depends(session, scope="function")]``; on a synchronous engine it is a ``Session``. With that
    scope it commits before the answer goes out: a plain one commits afterwards, and a commit that fails would still say 201. A session
    of GET and HEAD reads only. ``Idempotency-Key`` makes a request that comes twice happen once; ``X-Request-ID`` stands in the journal.

    Args:
        actor: the host's dependency that returns who asks.
        db: the host's dependency that yields its AsyncSession or AsyncConnection (on a synchronous engine: Session or Connection) and
            commits on leaving: host and CRM then share the transaction. The host, too, takes it with ``scope="function"``. None: the
            session has a transaction of its own.
    """

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, CRMError)
        who = getattr(request.state, "crm_actor", None)
        return _response(problem(error, crm.messages, who, request.headers.get("accept-language", "")))

    app.add_exception_handler(CRMError, answer)

    Who = Annotated[Actor, Depends(actor)]  # noqa: N806  # a type
    Tx = Annotated[Any, Depends(db or _none, scope="function" if db else None)]  # noqa: N806

    async def asynchronous(request: Request, who: Who, tx: Tx) -> AsyncIterator[AsyncCRMSession]:
        request.state.crm_actor = who
        async with crm.asession(who, on=tx, **opening(who, request.method, request.headers)) as session:
            yield session

    def synchronous(request: Request, who: Who, tx: Tx) -> Iterator[Session]:
        request.state.crm_actor = who
        with crm.session(who, on=tx, **opening(who, request.method, request.headers)) as session:
            yield session

    return asynchronous if crm.bound.is_async else synchronous


def router(
    crm: CRM, entity: type[Entity], *, session: Callable[..., Any], expose: Iterable[str] = VERBS, filters: Iterable[str] = ()
) -> APIRouter:
    """Return the resource of an entity, for ``app.include_router(router(crm, Account, session=session), prefix="/accounts")``.

    Args:
        session: what :func:`install` returned.
        expose: which verbs there are; what an actor may do is for the actor's roles to say.
        filters: the fields that a list may be filtered and sorted by; a custom field as ``custom.tier``.

    Raises:
        LoadError: no verb, or no field of the entity.
    """
    resource = Resource(crm, entity, expose=expose, filters=filters)
    routes = APIRouter(tags=[resource.name])
    for route in resource.routes:
        routes.add_api_route(
            f"/{route.path}" if route.path else "",
            _endpoint(crm, route, session),
            methods=[route.method],
            status_code=route.status,
            response_model=None,
            summary=f"{route.verb} {resource.name}",
            description=route.answer.__doc__,
            operation_id=operation(resource, route)["operationId"],
            openapi_extra=operation(resource, route),
        )
    return routes


def _endpoint(crm: CRM, route: Route, session: Callable[..., Any]) -> Callable[..., Any]:
    Asked = Annotated[Ask, Depends(_ask)]  # noqa: N806  # a type
    Crm = Annotated[Any, Depends(session, scope="function")]  # noqa: N806

    async def asynchronous(s: Crm, ask: Asked) -> Response:
        return _response(await s.run(lambda t: route.answer(t, ask)))

    def synchronous(s: Crm, ask: Asked) -> Response:
        return _response(route.answer(s, ask))

    return asynchronous if crm.bound.is_async else synchronous


async def _ask(request: Request) -> Ask:
    named = {name: request.path_params[name] for name in ("id", "action") if name in request.path_params}
    return Ask(url=request.url.path, params=request.query_params, headers=request.headers, body=await _body(request), **named)


async def _body(request: Request) -> bytes:
    """Read a body, and of one that is too long no more than it takes to see that."""
    parts, size = list[bytes](), 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > LONGEST_BODY:
            break
    request._body = b"".join(parts)  # as its own body() keeps it, for the host's dependencies
    return request._body


def _none() -> None:
    """Stand for a host's transaction where there is none."""


def _response(answer: Answer) -> Response:
    media = None if answer.body is None else "application/json"
    return Response(answer.content, answer.status, dict(answer.headers), media_type=media)
