"""What a session says to code that calls it with something of the wrong kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from crm_core import Account, Actor, CRMError, Invalid, Plugin, Session
from crm_core.errors import WrongArgument

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
