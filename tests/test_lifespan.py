"""What lives as long as the process starts in order, stops in reverse, and is named when it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import CRM, Account, Actor, Denied, LoadError, Plugin, PluginFailed, Running, lifespan, quarantine

ADMIN = Actor.system("test", tenant="main")


def spanning(name: str, log: list[str], *, requires: str = "", fails: str = "") -> Plugin:
    plugin = Plugin(name, version="1.0.0", requires={requires: ">=1"} if requires else {})

    @plugin.lifespan
    def live(running: Running) -> Iterator[None]:
        if fails == "start":
            raise ZeroDivisionError
        log.append(f"+{name}")
        yield
        log.append(f"-{name}")
        if fails == "stop":
            raise ZeroDivisionError

    return plugin


def test_those_of_required_plugins_start_first_and_stop_last() -> None:
    log: list[str] = []
    crm = CRM("sqlite://", plugins=[spanning("b", log, requires="a"), spanning("a", log)])
    with crm.running():
        crm.start()  # a second start does nothing
        assert log == ["+a", "+b"]
    assert log == ["+a", "+b", "-b", "-a"]
    crm.start()
    crm.close()
    crm.close()
    assert log == ["+a", "+b", "-b", "-a"] * 2


def test_one_that_does_not_start_is_named_and_the_others_are_stopped() -> None:
    log: list[str] = []
    crm = CRM("sqlite://", plugins=[spanning("a", log), spanning("b", log, fails="start")])
    with pytest.raises(PluginFailed) as caught:
        crm.start()
    assert (caught.value.params["plugin"], caught.value.params["reason"], log) == ("b", "ZeroDivisionError", ["+a", "-a"])
    crm.close()


def test_one_that_does_not_stop_is_named_and_keeps_no_other_from_it() -> None:
    log: list[str] = []
    crm = CRM("sqlite://", plugins=[spanning("a", log), spanning("b", log, fails="stop")])
    with pytest.raises(PluginFailed), crm.running():
        pass
    assert log == ["+a", "+b", "-b", "-a"]
    crm.close()


def test_a_lifespan_yields_once() -> None:
    plugin = Plugin("acme", version="1.0.0")

    @plugin.lifespan
    def twice(running: Running) -> Iterator[None]:
        yield
        yield

    crm = CRM("sqlite://", plugins=[plugin])
    with pytest.raises(PluginFailed), crm.running():
        pass
    crm.close()
    other = Plugin("other", version="1.0.0")
    other.lifespan(lambda running: iter(()))
    with pytest.raises(LoadError) as caught:
        CRM("sqlite://", plugins=[other])
    assert caught.value.code == "not_a_lifespan"


def test_a_thread_of_a_plugin_works_as_the_plugin_with_what_it_declares(make_crm: Callable[..., Any]) -> None:
    plugin = Plugin("acme.phone", version="1.0.0")
    plugin.grants("account:read,create")
    refused: list[bool] = []

    @plugin.lifespan
    def line(running: Running) -> Iterator[None]:
        def ring() -> None:
            with running.session("north", reason="a call came in") as s:
                account = s.create(Account(name="Caller"))
                try:
                    s.delete(account)
                except Denied:
                    refused.append(True)

        thread = threading.Thread(target=ring)
        thread.start()
        yield
        thread.join()

    crm = make_crm(plugins=[plugin])
    with crm.running():
        pass
    with crm.session(Actor.system("test", tenant="north")) as s:
        assert s.query(Account).count() == 1
    journal = crm.tables.system.journal.c
    with crm.bound.begin(write=False) as connection:
        entry = connection.execute(select(journal.actor, journal.reason).where(journal.kind == "account.created.v1")).one()
    assert (entry.actor, entry.reason, refused) == ("plugin:acme.phone", "a call came in", [True])
    with crm.session(ADMIN) as s:
        assert s.query(Account).count() == 0


def test_what_cannot_follow_is_told_and_tried_again(
    make_crm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quarantine, "LOOK_AGAIN", timedelta(0))
    monkeypatch.setattr(lifespan, "TURN", 0.01)
    plugin, begun, up = Plugin("acme", version="1.0.0"), list[int](), threading.Event()

    @plugin.lifespan
    def live(running: Running) -> Iterator[None]:
        begun.append(1)
        if len(begun) == 2:
            raise ZeroDivisionError
        if len(begun) == 3:
            up.set()
        yield

    crm = make_crm(plugins=[plugin])
    with crm.running():
        other = CRM(crm.url, plugins=[plugin])
        other.plugins.disable("acme")
        while crm.lifespans._open:
            time.sleep(0.01)
        other.plugins.enable("acme")
        assert up.wait(20)
        other.close()
    told = [getattr(r, "crm_facts", {}) for r in caplog.records if getattr(r, "crm_event", "") == "lifespan_failed"]
    assert told == [{"plugin": "acme", "error": "PluginFailed"}]
    assert not [t for t in threading.enumerate() if t.name == "crm-lifespans"]
