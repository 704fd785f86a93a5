"""Calls that come in: checked before anything else, answered in one transaction as the plugin's own actor."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from sqlalchemy import select

from crm_core import CRM, Account, LoadError, Plugin, Request, Response, Secret, Session, signed
from crm_core.testing.state import state_hash

SECRET = "s3cret"


@attrs.define
class Settings:
    """The module's settings."""

    secret: str = ""


@attrs.define
class ByReference:
    """The same, told where it is."""

    secret: Secret | None = None


def calls() -> Plugin:
    plugin = Plugin("acme.calls", version="1.0.0", settings=Settings)
    plugin.grants("account:read,create")

    @plugin.route("POST", "/calls", check=signed(Settings, "secret", header="X-Signature", prefix="sha256="))
    def called(s: Session, request: Request) -> Response:
        given = request.json()
        s.create(Account(name=given["caller"]))
        if given["caller"] == "Bug":
            raise ZeroDivisionError
        if given["caller"] == "Delete":
            s.delete(s.query(Account).all()[0])
        return Response(201, {"X-Caller": "known"}, b"thanks")

    return plugin


def ask(
    crm: Any, caller: object, *, key: str = SECRET, tenant: str = "main", method: str = "POST", path: str = "/acme.calls/calls"
) -> Response:
    body = caller if isinstance(caller, bytes) else json.dumps({"caller": caller}).encode()
    signature = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    answer: Response = crm.answer(Request(method, path, {"x-SIGNATURE": signature}, body), tenant=tenant)
    return answer


def test_a_call_that_is_signed_is_answered_as_the_plugin(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[calls().configured(secret=SECRET)])
    answer = ask(crm, "Acme", tenant="north")
    assert (answer.status, answer.headers["X-Caller"], answer.body) == (201, "known", b"thanks")
    journal = crm.tables.system.journal.c
    with crm.bound.begin(write=False) as connection:
        found = select(journal.actor, journal.plugin, journal.reason, journal.tenant).where(journal.kind == "account.created.v1")
        entry = connection.execute(found).one()
    assert entry.tenant == "north"
    assert (entry.actor, entry.plugin, entry.reason) == ("plugin:acme.calls", "acme.calls", "POST /acme.calls/calls")


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"caller": "Acme", "key": "guess"}, 401, "bad_signature"),
        ({"caller": "Bug"}, 500, "plugin_failed"),
        ({"caller": "Delete"}, 403, "denied"),
        ({"caller": b"no json"}, 422, "bad_body"),
        ({"caller": 5}, 422, "invalid"),
        ({"caller": "Acme", "method": "GET"}, 405, "no_route"),
        ({"caller": "Acme", "path": "/acme.calls/others"}, 404, "no_route"),
        ({"caller": "Acme", "path": "/other/calls"}, 404, "no_route"),
    ],
)
def test_what_fails_is_a_problem_document_and_leaves_nothing(
    make_crm: Callable[..., Any], asked: dict[str, Any], status: int, code: str
) -> None:
    crm = make_crm(plugins=[calls().configured(secret=SECRET)])
    before = state_hash(crm)
    answer = ask(crm, **asked)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    said = json.loads(answer.body)
    assert (said["status"], said["code"]) == (status, code)
    assert SECRET not in answer.body.decode()
    assert before == state_hash(crm) or status == 403  # a denial may be journalled


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_secret_by_reference_signs_as_one_in_the_settings_does(
    make_crm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    """Its reference, which anybody may know, does not."""
    monkeypatch.setenv("CALLS_SECRET", SECRET)
    reference = Secret("vault:calls" if elsewhere else "env:CALLS_SECRET")
    plugin = Plugin("acme.calls", version="1.0.0", settings=ByReference)
    plugin.route("POST", "/calls", check=signed(ByReference, "secret", header="X-Signature", prefix="sha256="))(named(0))
    crm = make_crm(plugins=[plugin.configured(secret=reference.to_json())], secrets=lambda asked, tenant: f"{asked} of {tenant}")
    key = "vault:calls of main" if elsewhere else SECRET
    assert ask(crm, "Acme", key=key).status == 200
    for guess in (reference.reference, repr(reference), str(None), ""):
        assert ask(crm, "Acme", key=guess).status == 401
    assert ask(make_crm(plugins=[plugin]), "Acme", key="").status == 401


def test_where_a_secret_is_missing_nobody_comes_in_and_the_log_alone_says_where(
    make_crm: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    plugin = Plugin("acme.calls", version="1.0.0", settings=ByReference)
    plugin.route("POST", "/calls", check=signed(ByReference, "secret", header="X-Signature", prefix="sha256="))(named(0))
    crm = make_crm(plugins=[plugin.configured(secret=Secret("env:NOBODY_SET_THIS").to_json())])
    answer = ask(crm, "Acme", key="")
    assert answer.status == 401
    assert b"NOBODY_SET_THIS" not in answer.body
    assert "NOBODY_SET_THIS" in caplog.text


def test_a_setting_that_signs_nothing_is_told_when_the_route_is_declared() -> None:
    with pytest.raises(LoadError) as caught:
        signed(Settings, "secrte", header="X-Signature")
    assert (caught.value.code, caught.value.params["suggestion"]) == ("signed_setting", "secret")
    with pytest.raises(ValueError, match="sha257"):
        signed(Settings, "secret", header="X-Signature", algorithm="sha257")


def test_what_fails_inside_is_in_the_log_and_its_file_not_in_the_answer(
    make_crm: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    crm = make_crm(plugins=[calls().configured(secret=SECRET)])
    answer = ask(crm, "Bug")
    assert __file__ not in answer.body.decode()
    (record,) = [r for r in caplog.records if r.name == "crm_core.inbound"]
    assert record.getMessage() == "plugin_failed"
    assert record.exc_info
    caplog.clear()
    ask(crm, b"no json")
    assert not caplog.records


def test_without_a_secret_nobody_comes_in(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[calls()])
    assert ask(crm, "Acme", key="").status == 401


def test_a_check_that_fails_lets_nobody_in_and_names_the_plugin(make_crm: Callable[..., Any]) -> None:
    plugin = Plugin("acme", version="1.0.0")
    checks: list[Callable[[Session, Request], Any]] = [lambda s, r: 1 / 0, lambda s, r: "yes", lambda s, r: None]
    for n, check in enumerate(checks):
        plugin.route("POST", f"/p{n}", check=check)(named(n))
    crm = make_crm(plugins=[plugin])
    answers = [ask(crm, "x", path=f"/acme/p{n}") for n in range(3)]
    assert [a.status for a in answers] == [500, 401, 401]
    assert json.loads(answers[0].body)["params"]["plugin"] == "acme"


def named(n: int) -> Callable[[Session, Request], Response]:
    def answer(s: Session, request: Request) -> Response:
        return Response()

    answer.__name__ = f"answer{n}"
    return answer


@pytest.mark.parametrize(
    ("method", "path"), [("FETCH", "/a"), ("GET", "a"), ("GET", "/"), ("GET", "/a/"), ("GET", "/a b"), ("GET", "/../x y")]
)
def test_a_route_that_is_none_is_a_load_error(method: str, path: str) -> None:
    plugin = Plugin("acme", version="1.0.0")
    plugin.route(method, path, check=lambda s, r: True)(named(1))
    with pytest.raises(LoadError) as caught:
        CRM("sqlite://", plugins=[plugin])
    assert caught.value.code == "bad_route"


def test_two_answers_to_one_call_are_a_load_error() -> None:
    plugin = Plugin("acme", version="1.0.0")
    for n in range(2):
        plugin.route("GET", "/a", check=lambda s, r: True)(named(n))
    with pytest.raises(LoadError) as caught:
        CRM("sqlite://", plugins=[plugin])
    assert caught.value.code == "name_taken"


def test_no_header_and_no_name_of_a_tenant_is_more_than_a_refusal(make_crm: Callable[..., Any]) -> None:
    """A36: what cannot be a signature is none; what cannot be a tenant is a problem document like any other error."""
    crm = make_crm(plugins=[calls().configured(secret=SECRET)])
    for text in ("", "\ud800", "\x00", "sha256=\N{LATIN SMALL LETTER E WITH ACUTE}", "x" * 100_000):
        assert crm.answer(Request("POST", "/acme.calls/calls", {"X-Signature": text}, b"{}"), tenant="main").status == 401
    for tenant in ("", "\x00", "x" * 64):
        answer: Response = crm.answer(Request("POST", "/acme.calls/calls", {}, b"{}"), tenant=tenant)
        assert (answer.status, json.loads(answer.body)["code"]) == (422, "bad_actor")
    assert crm.answer(Request("POST", "/acme.calls/calls", {}, b"[" * 100_000), tenant="main").status == 401
