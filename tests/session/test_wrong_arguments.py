"""What a session says to code that calls it with something of the wrong kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from crm_core import CRM, Account, Actor, Contact, CRMError, Invalid, NotFound, Plugin, Ref, Session
from crm_core.errors import WrongArgument
from crm_core.hooks.measures import Rollup

SYSTEM = Actor.system("test", tenant="main")


@attrs.frozen
class Settings:
    """A plugin's settings."""

    days: int = 3


@pytest.mark.parametrize("given", [Settings, Account, 5, "Shop"], ids=str)
def test_only_a_service_can_be_used(make_crm: Any, given: Any) -> None:
    plugin = Plugin("shop", version="1.0", settings=Settings)

    @plugin.service
    class Shop:
        def __init__(self, session: Session) -> None:
            self.session = session

    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        assert s.use(Shop).session.plugin == "shop"
        with pytest.raises(Invalid) as caught:
            s.use(given)
    assert caught.value.code == "service_unknown"


WRONG: dict[str, Callable[[Any], object]] = {
    "get a name": lambda s: s.get("account", "x"),
    "get a record": lambda s: s.get(Account(name="secret"), "x"),
    "get a list": lambda s: s.get([], "x"),
    "find": lambda s: s.find("account", "x"),
    "get_many": lambda s: s.get_many("account", ["x"]),
    "lock": lambda s: s.lock("account", "x"),
    "query": lambda s: s.query("account"),
    "update": lambda s: s.update("account", "x", {}),
    "restore": lambda s: s.restore("account", "x"),
    "create": lambda s: s.create(5),
    "create a class": lambda s: s.create(Account),
    "create_many": lambda s: s.create_many([Account(name="a"), 5]),
    "save": lambda s: s.save({"name": "secret"}),
    "upsert": lambda s: s.upsert(None, on="name"),
    "delete a number": lambda s: s.delete(5),
    "delete an id": lambda s: s.delete("secret"),
    "delete a class": lambda s: s.delete(Account),
    "can": lambda s: s.can("read", "account"),
    "actions": lambda s: s.actions("secret"),
    "seen": lambda s: s.seen("secret"),
    "share": lambda s: s.share("secret", "user:7"),
    "get_many of one": lambda s: s.get_many(Account, "secret"),
    "create_many of a number": lambda s: s.create_many(5),
    "create_many of one": lambda s: s.create_many(Account(name="secret")),
    "create_many on_error": lambda s: s.create_many([Account(name="a")], on_error="secret"),
    "update_where": lambda s: s.update_where("secret", {"name": "b"}),
    "upsert on": lambda s: s.upsert(Account(name="a"), on=["secret"]),
    "can an action": lambda s: s.can(5, Account),
    "cells": lambda s: s.cells("secret"),
    "cells where": lambda s: s.cells(Rollup("x", "y", Account, ("industry",), None), "secret"),
    "rebuild": lambda s: s.rebuild("secret"),
    "related a record": lambda s: s.related("secret", Contact.account),
    "related a name": lambda s: s.related(Contact(name="a"), "account"),
    "related another's": lambda s: s.related(Account(name="a"), Contact.account),
    "related no reference": lambda s: s.related(Contact(name="a"), Contact.name),
    "view360": lambda s: s.view360("secret"),
    "view360 at": lambda s: s.view360(Ref(Account, "x"), at="secret"),
    "timeline": lambda s: s.timeline(5),
    "timeline at": lambda s: s.timeline(Ref(Account, "x"), at="secret"),
    "describe": lambda s: s.describe("account"),
    "settings": lambda s: s.settings(5),
    "change_settings": lambda s: s.change_settings("secret", {}),
    "define_role": lambda s: s.define_role("secret"),
    "remove_role": lambda s: s.remove_role(5),
    "link": lambda s: s.link("secret", Account(name="a"), Contact(name="b")),
    "unlink": lambda s: s.unlink(5, Account(name="a"), Contact(name="b")),
    "linked": lambda s: s.linked(["secret"], Account(name="a")),
    "matching": lambda s: s.query(Account).matching("secret", allow=["name"]),
    "where text": lambda s: s.query(Account).where("name = 'secret'"),
    "where a comparison in Python": lambda s: s.query(Account).where(bool("secret")),
    "where a class": lambda s: s.query(Account).where(Account),
    "order_by text": lambda s: s.query(Account).order_by("name"),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG.keys())
def test_a_mistake_of_the_calling_code_is_a_typed_error_that_tells_no_value(make_crm: Any, call: Callable[[Any], object]) -> None:
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        with pytest.raises(WrongArgument) as caught:
            call(s)
        assert s.query(Account).count() == 0
    assert isinstance(caught.value, CRMError)
    assert isinstance(caught.value, TypeError)
    assert (caught.value.code, caught.value.status) == ("wrong_argument", 500)
    assert "secret" not in str(caught.value)
    assert str(caught.value).endswith("is needed.")


@pytest.mark.parametrize("id", [5, None, ["x"], {"x": 1}, b"x", Account], ids=str)
def test_what_cannot_be_an_id_names_nothing(make_crm: Any, id: Any) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda s: s.get(Account, id),
        lambda s: s.lock(Account, id),
        lambda s: s.update(Account, id, {"name": "b"}),
        lambda s: s.restore(Account, id),
    ]
    with make_crm().session(SYSTEM) as s:
        for call in calls:
            with pytest.raises(NotFound):
                call(s)
        assert s.find(Account, id) is None
        assert s.get_many(Account, [id]) == []


@pytest.mark.parametrize("changes", [5, None, ["secret"], "secret"], ids=str)
def test_changes_that_are_no_mapping_are_invalid(make_crm: Any, changes: Any) -> None:
    plugin = Plugin("shop", version="1.0", settings=Settings)
    calls: list[Callable[[Any], object]] = [
        lambda s: s.update_where(s.query(Account), changes),
        lambda s: s.change_settings(Settings, changes),
    ]
    with make_crm(plugins=[plugin]).session(SYSTEM) as s:
        for call in calls:
            with pytest.raises(Invalid) as caught:
                call(s)
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize("grantee", [5, None, ["x"], "secret"], ids=str)
def test_a_grantee_that_is_none_is_invalid(make_crm: Any, grantee: Any) -> None:
    with make_crm().session(SYSTEM) as s:
        account = s.create(Account(name="a"))
        for call in (s.share, s.unshare):
            with pytest.raises(Invalid) as caught:
                call(account, grantee)
            assert caught.value.code == "bad_grantee"


def test_a_wrong_argument_names_the_call(make_crm: Any) -> None:
    with make_crm().session(SYSTEM) as s, pytest.raises(WrongArgument) as caught:
        s.settings(5)
    assert str(caught.value) == "Session.settings: a value of the type int was given where a class of settings is needed."


ANY_CRM: Any = CRM  # as an untyped program calls it


class Names:
    """Half a directory."""

    def __init__(self, users: object) -> None:
        self._users = users

    def users(self, tenant: str, ids: object = None) -> object:
        return self._users


class Staff(Names):
    def actor(self, tenant: str, user_id: str) -> None:
        """Know nobody."""


def asked(crm: CRM, users: object) -> None:
    """Open a session whose rules ask a directory that answers wrongly."""
    other = ANY_CRM(crm.url, directory=Staff(users))
    try:
        with other.session(SYSTEM) as s:
            other.members(s)
    finally:
        other.close()


WRONG_OF_CRM: dict[str, Callable[[Any], object]] = {
    "session": lambda crm: crm.session("secret").__enter__(),
    "transact an actor": lambda crm: crm.transact(None, lambda s: None),
    "transact work": lambda crm: crm.transact(SYSTEM, "secret"),
    "transact retries": lambda crm: crm.transact(SYSTEM, lambda s: None, retries="secret"),
    "outcome": lambda crm: crm.outcome(5),
    "outcome tenant": lambda crm: crm.outcome("k", tenant=5),
    "table": lambda crm: crm.table("account"),
    "codec": lambda crm: crm.codec(["secret"]),
    "references": lambda crm: crm.references("account"),
    "json_schema": lambda crm: crm.json_schema("account"),
    "from_json": lambda crm: crm.from_json(["secret"], {}),
    "to_json": lambda crm: crm.to_json(object()),
    "to_json a class": lambda crm: crm.to_json(Account),
    "to_json expand": lambda crm: crm.to_json([], expand="secret"),
    "describe an entity": lambda crm: crm.describe("account", SYSTEM),
    "describe an actor": lambda crm: crm.describe(Account, "secret"),
    "explain an actor": lambda crm: crm.explain("secret", "read", Account, "x"),
    "explain an action": lambda crm: crm.explain(SYSTEM, 5, Account, "x"),
    "explain an entity": lambda crm: crm.explain(SYSTEM, "read", "account", "x"),
    "release": lambda crm: crm.release(["secret"]),
    "run_pending": lambda crm: crm.run_pending(limit="secret"),
    "directory_changed": lambda crm: crm.directory_changed(5),
    "a CRM on a number": lambda _: ANY_CRM(5),
    "a CRM's plugins": lambda _: ANY_CRM("sqlite://", plugins="secret"),
    "a CRM's roles": lambda _: ANY_CRM("sqlite://", roles=["secret"]),
    "a CRM's prefix": lambda _: ANY_CRM("sqlite://", prefix=5),
    "a CRM's runtime": lambda _: ANY_CRM("sqlite://", runtime="secret"),
    "a CRM's directory": lambda _: ANY_CRM("sqlite://", directory=5),
    "a CRM's directory without actor": lambda _: ANY_CRM("sqlite://", directory=Names({"id": "secret"})),
    "a directory's class": lambda _: ANY_CRM("sqlite://", directory=Staff),
    "a directory's users": lambda crm: asked(crm, [{"id": "secret"}]),
    "a directory's answer": lambda crm: asked(crm, {"id": "secret"}),
    "what is adopted": lambda _: ANY_CRM("sqlite://", adopt=["secret"]),
    "a table that is adopted": lambda _: ANY_CRM("sqlite://", adopt={Account: "secret"}),
    "an engine to migrate on": lambda crm: crm.migrations.upgrade(crm.bound.engine),
    "an engine to observe": lambda crm: crm.adoption.observe(crm.bound.engine),
    "a CRM's quarantine": lambda _: ANY_CRM("sqlite://", quarantine_after="secret"),
}


@pytest.mark.parametrize("call", WRONG_OF_CRM.values(), ids=WRONG_OF_CRM.keys())
def test_a_mistake_of_the_host_is_a_typed_error_that_tells_no_value(make_crm: Any, call: Callable[[Any], object]) -> None:
    with pytest.raises(WrongArgument) as caught:
        call(make_crm())
    assert "secret" not in str(caught.value)
    assert str(caught.value).endswith("is needed.")
