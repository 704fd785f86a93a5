"""One small application for two kinds of server: GET counts the customers, POST adds one; both say which process answered."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Any

from crm_core import CRM, Account, Actor

WHO = Actor.system("web", tenant="main")
crm = CRM(os.environ["APP_DATABASE"])
if os.environ.get("APP_WARM"):  # as --preload does: connections are open before the workers are there
    with crm.session(WHO) as session:
        session.query(Account).count()


def answer(method: str) -> bytes:
    with crm.session(WHO, write=method == "POST") as s:
        if method == "POST":
            s.create(Account(name="from the web"))
        return f"{os.getpid()} {s.query(Account).count()}".encode()


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """For gunicorn."""
    body = answer(environ["REQUEST_METHOD"])
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """For uvicorn."""
    if scope["type"] == "http":
        await receive()
        body = await asyncio.to_thread(answer, scope["method"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})
    else:
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
