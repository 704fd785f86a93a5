"""Django: ``session`` inside the host's ``atomic``, ``install`` for a request's, ``urls`` for the resource of an entity.

``INSTALLED_APPS`` takes ``crm_core.ext.django`` for ``migrate``, ``MIDDLEWARE`` takes ``crm_core.ext.django.Problems`` for errors, and
``CRM = "shop.crm.crm"`` says where the CRM is; it is made as ``CRM("django://default", ...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from ...crm import CRM
from ...entities.entity import Entity
from ...errors import CRMError, Denied, MissingExtra
from ...permissions.actor import Actor
from ...session import Session
from ..openapi import Served, document
from ..problem import problem
from ..resource import VERBS, Answer, Ask, Resource, Route, opening

try:
    from django.core.exceptions import PermissionDenied
    from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
    from django.urls import URLPattern, URLResolver, get_resolver, path
except ModuleNotFoundError as e:
    raise MissingExtra(extra="django", module=e.name or "") from e

from . import tables as tables  # models can be adopted
from .observing import Acting, ObservedQuerySet, observe

__all__ = ["Acting", "ObservedQuerySet", "Problems", "install", "observe", "openapi", "session", "urls"]

Opens = Callable[[HttpRequest], AbstractContextManager[Session]]


def session(crm: CRM, actor: Actor, **options: Any) -> AbstractContextManager[Session]:
    """Open a session on Django's connection: inside the ``atomic`` that is open, else in one of its own.

    Args:
        options: as those of :meth:`CRM.session`.
    """
    return crm.session(actor, **options)


def install(crm: CRM, *, actor: Callable[[HttpRequest], Actor]) -> Opens:
    """Return what opens a request's session: ``with session(request) as s: ...``. A session of GET and HEAD reads only.

    ``Idempotency-Key`` makes a request that comes twice happen once; ``X-Request-ID`` stands in the journal.

    Args:
        actor: tells who asks. Where it raises ``PermissionDenied``, opening raises ``Denied``, code ``not_signed_in``.
    """

    def opens(request: HttpRequest) -> AbstractContextManager[Session]:
        try:
            who = actor(request)
        except PermissionDenied as e:
            raise Denied("not_signed_in") from e
        request.crm = (crm, who)  # type: ignore[attr-defined]  # for Problems
        return session(crm, who, **opening(who, request.method or "", _headers(request)))

    return opens


def urls(crm: CRM, entity: type[Entity], *, session: Opens, expose: Iterable[str] = VERBS, filters: Iterable[str] = ()) -> list[URLPattern]:
    """Return the resource of an entity, for ``path("accounts/", include(urls(crm, Account, session=session)))``.

    A path's name is that of its first verb: ``account-list``, ``account-get``.

    Args:
        session: what :func:`install` returned.
        expose: which verbs there are; what an actor may do is for the actor's roles to say.
        filters: the fields that a list may be filtered and sorted by; a custom field as ``custom.tier``.

    Raises:
        LoadError: no verb, or no field of the entity.
    """
    resource = Resource(crm, entity, expose=expose, filters=filters)
    paths: dict[str, dict[str, Route]] = {}
    for route in resource.routes:
        paths.setdefault(route.path, {})[route.method] = route
    return [path(_pattern(at), _view(resource, methods, session), name=_name(resource, methods)) for at, methods in paths.items()]


def openapi(*, title: str, version: str = "1", locale: str = "en") -> dict[str, Any]:
    """Return the OpenAPI document of the resources that the project's URLs lead to, wherever they do.

    Args:
        locale: the language of the fields' labels.
    """
    return document(_served(get_resolver(), ""), title=title, version=version, locale=locale)


class Problems:
    """Middleware that answers the CRM's errors as problem documents, after Django has rolled the request's transaction back."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Go on."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer an error that is ours."""
        if not isinstance(error, CRMError):
            return None
        from .apps import found

        crm, who = getattr(request, "crm", (None, None))
        return _response(problem(error, (crm or found()[0]).messages, who, request.headers.get("Accept-Language", "")))


def _pattern(at: str) -> str:
    return at.replace("{", "<str:").replace("}", ">")


def _name(resource: Resource, methods: Mapping[str, Route]) -> str:
    return f"{resource.name}-{next(iter(methods.values())).verb}"


def _served(resolver: URLResolver, at: str) -> Iterator[Served]:
    for pattern in resolver.url_patterns:
        here = f"{at}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _served(pattern, here)
        elif hasattr(pattern.callback, "crm"):
            resource, methods = pattern.callback.crm
            yield from (Served(f"/{here}", resource, route) for route in methods.values())


def _view(resource: Resource, methods: Mapping[str, Route], session: Opens) -> Callable[..., HttpResponse]:
    def view(request: HttpRequest, id: str = "", action: str = "", **_: Any) -> HttpResponse:
        route = methods.get(request.method or "")
        if route is None:
            return HttpResponseNotAllowed(methods)
        asked = Ask(url=request.path, params=request.GET.dict(), headers=_headers(request), body=request.body, id=id, action=action)
        with session(request) as s:
            answer = route.answer(s, asked)
        return _response(answer)

    view.crm = (resource, methods)  # type: ignore[attr-defined]  # for the document
    return view


def _headers(request: HttpRequest) -> Mapping[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _response(answer: Answer) -> HttpResponse:
    return HttpResponse(answer.content, status=answer.status, headers={"Content-Type": "application/json", **answer.headers})
