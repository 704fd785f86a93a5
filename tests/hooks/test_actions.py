"""Actions: typed commands that everybody can list, describe and perform."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from crm_core.entities.customer import Account, Contact
from crm_core.entities.entity import Entity
from crm_core.entities.fields import Field, Ref
from crm_core.entities.money import Money
from crm_core.errors import Denied, Invalid, LoopDetected, NotFound, PluginFailed
from crm_core.hooks.actions import list_for, perform
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from tests.hooks.commands import ID, PLAIN, Everything, Part, action, everything
from tests.hooks.host import Host, refused


@attrs.define
class Redeem:
    account: Ref[Account]
    points: int


def redeem(s: Any, cmd: Redeem) -> int:
    return cmd.points * 2


def loyalty(fn: Any = redeem, permission: str = "acme.loyalty.redeem", on: type[Entity] | None = Account) -> Plugin:
    plugin = Plugin("acme.loyalty", version="1.0")
    plugin.action(on=on, permission=permission, label="acme.loyalty.redeem_label")(fn)
    plugin.catalogue("en", {"acme.loyalty.redeem_label": "Redeem points"})
    plugin.catalogue("de", {"acme.loyalty.redeem_label": "Punkte einlösen"})
    return plugin


def stored(host: Host) -> Account:
    account = Account(name="Acme")
    object.__setattr__(account, "id", ID)
    host.records[ID] = account
    return account


# Performing


def test_a_command_is_carried_out_by_the_action_that_takes_it() -> None:
    host = Host(loyalty(), permits=("acme.loyalty.redeem",))
    account = stored(host)
    assert perform(host, Redeem(account.ref, 21)) == 42


def test_without_the_permission_nothing_runs() -> None:
    def never(s: Any, cmd: Redeem) -> int:
        raise AssertionError("ran")

    host = Host(loyalty(never))
    with pytest.raises(Denied):
        perform(host, Redeem(stored(host).ref, 1))


def test_a_hidden_record_is_not_found_whether_or_not_the_action_is_allowed() -> None:
    for permits in ((), ("acme.loyalty.redeem",)):
        with pytest.raises(NotFound):
            perform(Host(loyalty(), permits=permits), Redeem(Ref(Account, ID), 1))


def test_an_unknown_command_suggests_the_right_one() -> None:
    @attrs.define
    class Redeam:
        points: int

    with pytest.raises(Invalid, match="Did you mean Redeem") as caught:
        perform(Host(loyalty()), Redeam(1))
    assert caught.value.code == "unknown_action"


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        (Redeem(Ref(Account, ID), "21"), {("points", "wrong_type")}),  # type: ignore[arg-type]  # wrong on purpose
        (Redeem(Ref(Account, ID), None), {("points", "required")}),  # type: ignore[arg-type]  # wrong on purpose
        (Redeem(Ref(Account, ID), 10**30), {("points", "too_big")}),
        (Redeem(Ref(Contact, ID), True), {("account", "wrong_type"), ("points", "wrong_type")}),  # type: ignore[arg-type]  # wrong on purpose
        (Redeem(Ref(Account, "no id"), 1), {("account", "bad_ref")}),
    ],
)
def test_wrong_values_are_all_reported_before_anything_runs(command: Redeem, wrong: set[tuple[str, str]]) -> None:
    host = Host(loyalty(), permits=("acme.loyalty.redeem",))
    stored(host)
    with pytest.raises(Invalid) as caught:
        perform(host, command)
    assert {(d.field, d.code) for d in caught.value.details} == wrong
    assert {d.entity for d in caught.value.details} == {"acme.loyalty.redeem"}


def test_an_action_that_raises_is_named() -> None:
    def broken(s: Any, cmd: Redeem) -> int:
        return 1 // 0

    host = Host(loyalty(broken), permits=("acme.loyalty.redeem",))
    with pytest.raises(PluginFailed) as caught:
        perform(host, Redeem(stored(host).ref, 1))
    assert (caught.value.params["plugin"], caught.value.params["hook"]) == ("acme.loyalty", "action")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert host.hooks.running is None


def test_an_action_that_performs_itself_is_cut() -> None:
    def again(s: Any, cmd: Redeem) -> Any:
        return perform(s, cmd)

    host = Host(loyalty(again), permits=("acme.loyalty.redeem",))
    with pytest.raises(LoopDetected, match=r"acme\.loyalty\.again \(action\) → acme\.loyalty\.again"):
        perform(host, Redeem(stored(host).ref, 1))


def whole(**changes: Any) -> Everything:
    loaded: Everything = action(everything).load(PLAIN)
    return attrs.evolve(loaded, **changes)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"parts": [Part("a", Money("1", "EUR")), "b"]}, {("parts", "wrong_type", 1)}),
        ({"parts": [Part("a", 5)]}, {("parts.price", "wrong_type", 0)}),  # type: ignore[arg-type]  # wrong on purpose
        ({"best": Part(None, Money("1", "EUR"))}, {("best.sku", "required", None)}),  # type: ignore[arg-type]  # wrong on purpose
        ({"best": "x"}, {("best", "wrong_type", None)}),
        ({"others": [Ref(Contact, ID), None]}, {("others", "required", 1)}),
        ({"tags": "abc"}, {("tags", "wrong_type", None)}),
        ({"ratio": Decimal("Infinity")}, {("ratio", "not_finite", None)}),
        ({"when": datetime.fromisoformat("2026-01-01T00:00")}, {("when", "naive_datetime", None)}),
    ],
)
def test_what_is_wrong_inside_a_command_is_reported_with_its_place(change: dict[str, Any], wrong: set[tuple[str, str, int | None]]) -> None:
    plugin = Plugin("a", version="1")
    plugin.action(permission="a.everything")(everything)
    with pytest.raises(Invalid) as caught:
        perform(Host(plugin, permits=("a.everything",)), whole(**change))
    assert {(d.field, d.code, d.row) for d in caught.value.details} == wrong


# Listing


def test_actions_are_listed_in_the_actor_s_language_with_whether_and_why_not() -> None:
    allowed, denied = Host(loyalty(), permits=("acme.loyalty.redeem",), locale="de_AT"), Host(loyalty(), locale="zh_CN")
    (info,) = list_for(allowed, stored(allowed))
    assert (info.name, info.label, info.allowed, info.why_not) == ("acme.loyalty.redeem", "Punkte einlösen", True, None)
    (info,) = list_for(denied, stored(denied))
    assert (info.label, info.allowed, info.why_not) == ("Redeem points", False, "您无权执行此操作。")
    assert info.input_schema["required"] == ["account", "points"]


def test_only_the_actions_on_that_entity_are_listed() -> None:
    host = Host(loyalty())
    assert list_for(host, Contact(name="Ann")) == []
    assert list_for(Host(loyalty(on=None)), stored(host)) == []


# Loading


def test_the_command_class_is_found_though_other_names_are_for_type_checkers_only() -> None:
    def only_typed(s: "NotImported", cmd: "Redeem") -> "AlsoNot":  # type: ignore[name-defined]  # noqa: F821, UP037
        return cmd

    assert action(only_typed).command is Redeem


@pytest.mark.parametrize(
    "fn",
    [
        lambda s: None,
        lambda s, cmd: None,
        lambda s, cmd, more: None,
    ],
)
def test_an_action_without_a_typed_command_does_not_load(fn: Any) -> None:
    plugin = Plugin("a", version="1")
    plugin.action(permission="a.do")(fn)
    assert refused(lambda: Registry([plugin])).code == "action_ill_typed"


def test_a_command_that_is_no_attrs_class_does_not_load() -> None:
    def plain(s: Any, cmd: dict[str, Any]) -> None: ...
    def unknown(s: Any, cmd: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037

    for fn in (plain, unknown):
        assert refused(lambda fn=fn: action(fn).check()).code == "action_ill_typed"  # type: ignore[misc]  # bound in the loop


def test_a_command_with_a_field_that_cannot_come_from_outside_does_not_load() -> None:
    @attrs.define
    class Odd:
        stream: bytes

    @attrs.define
    class Endless:
        deeper: list[Tree]

    def takes(cls: type[Any]) -> Any:
        def fn(s: Any, cmd: Any) -> None: ...

        fn.__annotations__["cmd"] = cls
        return fn

    @attrs.define
    class Unresolved:
        lost: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037

    assert refused(lambda: action(takes(Unresolved)).check()).code == "unresolved_annotation"
    error = refused(lambda: action(takes(Odd)).check())
    assert (error.code, error.params["field"]) == ("bad_annotation", "stream")
    assert refused(lambda: action(takes(Endless)).check()).code == "bad_annotation"


@attrs.define
class Tree:
    branches: list[Tree]


def test_an_action_on_an_entity_needs_a_reference_to_its_record() -> None:
    error = refused(lambda: Registry([loyalty(on=Contact)]))
    assert error.code == "action_without_record"
    assert "a Ref to Contact" in str(error)


def test_a_permission_starts_with_the_plugin_s_name() -> None:
    assert refused(lambda: Registry([loyalty(permission="sales.redeem")])).code == "name_unprefixed"


def test_one_command_has_one_action() -> None:
    def twice(s: Any, cmd: Redeem) -> None: ...

    plugin = loyalty()
    plugin.action(permission="acme.loyalty.redeem")(twice)
    error = refused(lambda: Registry([plugin]))
    assert (error.code, error.params["kind"]) == ("name_taken", "command")


class Stray(Entity):
    name: Field[str]


def test_an_action_on_an_entity_nobody_declares_does_not_load() -> None:
    @attrs.define
    class Touch:
        stray: Ref[Stray]

    def touch(s: Any, cmd: Touch) -> None: ...

    touch.__annotations__["cmd"] = Touch
    plugin = Plugin("a", version="1")
    plugin.action(on=Stray, permission="a.touch")(touch)
    assert refused(lambda: Registry([plugin])).code == "not_declared"
