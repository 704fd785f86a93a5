"""What the plugins' functions cost is measured while somebody asks, and costs nothing otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from crm_core import (
    Account,
    Actor,
    Change,
    Created,
    CRMError,
    Event,
    Plugin,
    PluginFailed,
    Ref,
    Refused,
    Session,
    WriteCtx,
    before_write,
    check_write,
)
from crm_core.hooks.meter import Cost
from tests.threads import at_once

ADMIN = Actor.system("test", tenant="main")
acme = Plugin("acme", version="1.0.0")
acme.grants("account:read")


@attrs.frozen
class Cheer:
    account: Ref[Account]


@acme.hook(before_write, on=Account)
def trim(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    return changes


@acme.hook(check_write, on=Account)
def no_spam(ctx: WriteCtx, changes: list[Change]) -> None:
    for change in changes:
        name = getattr(change.record, "name")  # noqa: B009  # a Change holds any entity
        if name == "Spam":
            ctx.refuse(change, "acme.spam")
        if name == "Bug":
            raise ZeroDivisionError


@acme.on(Created[Account])
def hear(s: Session, event: Event[Account]) -> None: ...


@acme.on(Created[Account], external=True)
def ring(s: Session, event: Event[Account]) -> None: ...


@acme.action(on=Account, permission="acme.cheer", label="acme.cheer")
def cheer(s: Session, command: Cheer) -> str:
    return "hooray"


def by_name(costs: list[Cost]) -> dict[str, Cost]:
    return {cost.name: cost for cost in costs}


def test_calls_errors_and_times_of_each_function_are_counted(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[acme])
    with crm.measured() as meter:
        with crm.session(ADMIN) as s:
            s.create_many([Account(name=f"Acme {n}") for n in range(2)])
            assert s.perform(Cheer(s.create(Account(name="Acme")).ref)) == "hooray"
        for name, error in (("Spam", Refused), ("Bug", PluginFailed)):
            with pytest.raises(error), crm.session(ADMIN) as s:
                s.create(Account(name=name))
        crm.run_pending()
    found = by_name(meter.report())
    told = {name: (c.task, c.calls, c.errors) for name, c in found.items()}
    assert told == {
        "acme.trim": ("before_write", 4, 0),
        "acme.no_spam": ("check_write", 4, 1),  # a refusal is no error
        "acme.cheer": ("action", 1, 0),
        "acme.hear": ("subscriber", 3, 0),
        "acme.ring": ("subscriber", 3, 0),
    }
    assert all(0 <= c.longest <= c.seconds for c in found.values())


def test_nothing_is_measured_and_functions_are_called_as_they_are_when_nobody_asks(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[acme])
    with crm.measured() as meter, crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
    before = by_name(meter.report())
    assert [fn for fn, _ in crm.registry.plan(before_write, Account)] == [trim]
    with crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
    assert by_name(meter.report()) == before


def test_who_measures_within_a_measurement_shares_it(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[acme])
    with crm.measured() as outer:
        with crm.measured() as inner:
            assert inner is outer
        with crm.session(ADMIN) as s:
            s.create(Account(name="Acme"))
        assert by_name(outer.report())["acme.trim"].calls == 1


def test_threads_are_counted_together(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[acme])

    def work(_: int) -> None:
        for _ in range(5):
            with crm.session(ADMIN) as s:
                s.create(Account(name="Acme"))

    with crm.measured() as meter:
        at_once(work, range(4))
    assert by_name(meter.report())["acme.trim"].calls == 20
    assert issubclass(Refused, CRMError)
