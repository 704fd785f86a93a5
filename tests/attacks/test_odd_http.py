"""Odd HTTP at the routes of plugins and at resources: headers twice, bodies without end, paths that only look alike [A12, A22, A36]."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from io import RawIOBase
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.datastructures import Headers

from crm_core import CRM, Account, Actor, Request, Response
from crm_core.ext import fastapi as crm_fastapi
from crm_core.ext import flask as crm_flask
from crm_core.ext.resource import LONGEST_BODY
from crm_core.testing.state import state_hash
from tests.attacks.raid import SYSTEM, World
from tests.test_inbound import SECRET, calls

BODY = json.dumps({"caller": "Acme"}).encode()
GOOD = "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
CHUNK = b" " * 65_536


@pytest.fixture
def called(make_crm: Callable[..., Any]) -> CRM:
    crm: CRM = make_crm(plugins=[calls().configured(secret=SECRET)])
    return crm


def asked(crm: CRM, headers: Any, path: str = "/acme.calls/calls", method: str = "POST", body: bytes = BODY) -> Response:
    return crm.answer(Request(method, path, headers, body), tenant="main")


def test_a36_of_two_signatures_none_counts(called: CRM) -> None:
    """The last one counted where a host keeps both, and where it joins them, none."""
    before = state_hash(called)
    for pair in ((GOOD, "sha256=0"), ("sha256=0", GOOD), (GOOD, GOOD), ("", GOOD)):
        as_fastapi = Headers(raw=[(b"x-signature", each.encode()) for each in pair])
        for headers in (as_fastapi, {"X-Signature": pair[0], "x-signature": pair[1]}, {"X-Signature": ",".join(pair)}):
            assert asked(called, headers).status == 401, (pair, headers)
    assert state_hash(called) == before
    assert asked(called, {"X-Signature": GOOD}).status == 201


def test_a36_a_signature_is_of_its_own_body_under_its_own_algorithm(called: CRM) -> None:
    before = state_hash(called)
    digits = GOOD.removeprefix("sha256=")
    sha1 = hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest()
    for wrong in (
        digits, f"sha1={sha1}", f"sha256={sha1}", f"SHA256={digits}", f"sha256={digits.upper()}", f"{GOOD} ", f" {GOOD}", f"{GOOD}\x00",
        f"{GOOD},", GOOD[:-1], "sha256=", "\ud800", "x" * 1_000_000,
    ):  # fmt: skip
        assert asked(called, {"X-Signature": wrong}).status == 401, wrong[:80]
    for body in (b"", BODY + b" ", BODY[:-1], b"\xef\xbb\xbf" + BODY):
        assert asked(called, {"X-Signature": GOOD}, body=body).status == 401
    assert state_hash(called) == before


def test_a12_a_path_that_only_looks_like_a_route_is_none(called: CRM) -> None:
    before = state_hash(called)
    for path in (
        "/acme.calls/../acme.calls/calls", "/acme.calls/./calls", "//acme.calls/calls", "/acme.calls//calls", "/acme.calls/calls/",
        "/acme.calls/%63alls", "/acme.calls%2fcalls", "/ACME.calls/calls", "/acme.calls/calls;x", "/acme.calls/calls?x", "acme.calls/calls",
        "/acme.calls/calls\x00", "/acme.calls/calls%00", "\\acme.calls\\calls", "/acme.calls/c\u0430lls", "\ud800", "", "/" * 1_000_000,
    ):  # fmt: skip
        assert asked(called, {"X-Signature": GOOD}, path).status == 404, path[:80]
    for method in ("GET", "HEAD", "PO ST", "POST ", "", "x" * 1_000_000):
        assert asked(called, {"X-Signature": GOOD}, method=method).status == 405, method[:80]
    assert state_hash(called) == before


def test_a22_no_more_of_a_body_is_read_than_may_come(world: World) -> None:
    """A body in chunks that never ends filled the memory, before anybody asked who sends it."""
    app = FastAPI()
    session = crm_fastapi.install(app, world.crm, actor=_me)
    app.include_router(crm_fastapi.router(world.crm, Account, session=session), prefix="/accounts")
    before = state_hash(world.crm)
    read = [0]

    async def spaces(most: int) -> AsyncIterator[bytes]:
        while read[0] < most:
            read[0] += len(CHUNK)
            yield CHUNK

    async def ask(method: str, path: str, most: int) -> httpx.Response:
        read[0] = 0
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as client:
            return await client.request(method, path, content=spaces(most))

    for method, path in (("POST", "/accounts"), ("PATCH", f"/accounts/{world.mine.id}"), ("GET", "/accounts")):
        world.tried["A22"] += 1
        answer = asyncio.run(ask(method, path, 20 * LONGEST_BODY))
        assert read[0] < LONGEST_BODY + 10 * len(CHUNK), method
        assert method == "GET" or (answer.status_code, answer.json()["code"]) == (422, "body_too_long")
        world.handled["A22"] += 1
    whole = asyncio.run(ask("POST", "/accounts", LONGEST_BODY - len(CHUNK)))
    assert whole.json()["code"] == "invalid"
    assert state_hash(world.crm) == before


def test_a22_nor_in_flask(world: World) -> None:
    app = Flask("host")
    session = crm_flask.install(app, world.crm, actor=lambda: SYSTEM)
    app.register_blueprint(crm_flask.blueprint(world.crm, Account, session=session), url_prefix="/accounts")
    before = state_hash(world.crm)

    class Endless(RawIOBase):
        read_until_now = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            size = 0 if self.read_until_now > 20 * LONGEST_BODY else len(buffer)
            buffer[:size] = b" " * size
            self.read_until_now += size
            return size

    for headers in ({"Transfer-Encoding": "chunked"}, {"Content-Length": str(15 * LONGEST_BODY)}):
        world.tried["A22"] += 1
        body = Endless()
        environ = {"wsgi.input": body, "wsgi.input_terminated": "Transfer-Encoding" in headers}
        answer = app.test_client().open("/accounts", method="POST", headers=headers, environ_overrides=environ)
        assert (answer.status_code, json.loads(answer.data)["code"]) == (422, "body_too_long")
        assert body.read_until_now <= LONGEST_BODY + 1_000_000
        world.handled["A22"] += 1
    assert state_hash(world.crm) == before


def _me() -> Actor:
    return SYSTEM
