"""Calls that come in: what the outside asks of a plugin, checked, answered in one transaction."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from .errors import CRMError, Invalid, LoadError, PluginFailed, Unavailable
from .hooks.dispatch import run
from .messages import closest
from .permissions.actor import Actor
from .secrets import Secret

if TYPE_CHECKING:
    from .crm import CRM
    from .hooks.parts import Route
    from .session import Session


_log = logging.getLogger(__name__)

Check: TypeAlias = "Callable[[Session, Request], bool]"
"""Whether a request may come in."""


def _lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Name headers in lower case; values of one that comes twice are joined, on every host (RFC 9110)."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        before = found.get(name.lower())
        found[name.lower()] = value if before is None else f"{before}, {value}"
    return found


@attrs.frozen
class Request:
    """A call as it came in.

    Attributes:
        path: with the plugin's name: ``/acme.phone/calls``.
        headers: by name, in lower case.
        query: what stood behind the question mark.
    """

    method: str
    path: str
    headers: Mapping[str, str] = attrs.field(converter=_lower, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    query: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    def json(self) -> Any:
        """Read the body.

        Raises:
            Invalid: ``bad_body``: it is no JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as e:
            raise Invalid("bad_body") from e


@attrs.frozen
class Response:
    """What the caller gets."""

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""


def signed(settings: type[Any], name: str, *, header: str, algorithm: str = "sha256", prefix: str = "") -> Check:
    """Return a check: the header holds the HMAC of the body, in hexadecimal, under the tenant's setting *name*.

    Without a secret, nobody comes in; where one should be and is none, the log says it, and no stranger hears where that is.

    Args:
        name: of a field of *settings*: a ``Secret``, which is read at each call, or a text that is the secret itself.
        algorithm: of the hash, as :mod:`hashlib` calls it.
        prefix: what stands before the digits, like ``sha256=``.

    Raises:
        LoadError: ``signed_setting``: *settings* have no field *name*.
        ValueError: there is no such *algorithm*.
    """
    names = [each.name for each in attrs.fields(settings)] if attrs.has(settings) else []
    if name not in names:
        raise LoadError("signed_setting", settings=settings.__name__, given=name, suggestion=closest(name, names))
    hmac.new(b"", digestmod=algorithm)

    def check(session: Session, request: Request) -> bool:
        secret = _secret(session, getattr(session.settings(settings), name))
        wanted = prefix + hmac.new(secret.encode(), request.body, algorithm).hexdigest()
        return bool(secret) and hmac.compare_digest(wanted.encode(), request.headers.get(header.lower(), "").encode(errors="replace"))

    return check


def _secret(session: Session, found: Any) -> str:
    if not isinstance(found, Secret):
        return str(found or "")
    try:
        return session.secret(found)
    except Unavailable as error:
        if error.code != "secret_missing":
            raise
        _log.error("%s", error.code, exc_info=error)
        return ""


def answer(crm: CRM, request: Request, tenant: str) -> Response:
    """Find the route, check the request, and answer it; errors of ours become problem documents, those from 500 on are logged too."""
    routes = [route for route in crm.registry.routes if route.address == request.path]
    route = next((each for each in routes if each.method == request.method.upper()), None)
    if route is None:
        return _problem(crm, Invalid("no_route"), 405 if routes else 404)
    try:
        actor = Actor.service(route.plugin, tenant=tenant)
        with crm.session(actor, write=False) as session:
            crm.tenants.check_on(actor, route.plugin)
            allowed = _allows(route, session, request)
        if not allowed:
            return _problem(crm, Invalid("bad_signature"), 401)
        with crm.session(actor, reason=f"{request.method} {route.address}") as session:
            return _called(route, session, request)
    except CRMError as error:
        return _problem(crm, error, error.status)


def _allows(route: Route, session: Session, request: Request) -> bool:
    try:
        return route.check(session, request) is True
    except CRMError:
        raise
    except Exception as e:
        reason = type(e).__name__
        raise PluginFailed(plugin=route.plugin, hook="check", function=route.name, where=route.where, reason=reason) from e


def _called(route: Route, session: Session, request: Request) -> Response:
    found = run(session.hooks, route, session.derive(plugin=route.plugin), request)
    return found if isinstance(found, Response) else Response(204)


def _problem(crm: CRM, error: CRMError, status: int) -> Response:
    if status >= 500:
        _log.error("%s", error.code, exc_info=error)
    document = {**error.problem("en", crm.messages), "status": status}
    return Response(status, {"Content-Type": "application/problem+json"}, json.dumps(document, default=str).encode())
