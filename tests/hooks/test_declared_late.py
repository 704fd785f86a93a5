"""What is declared for a plugin after a CRM was made with it is refused: that CRM would not hear of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from crm_core import CRM, Account, Actor, Ref
from crm_core.entities.entity import Entity, Extension
from crm_core.entities.fields import Field, field
from crm_core.entities.meta import spec
from crm_core.errors import LoadError
from crm_core.events.event import Created, Event
from crm_core.hooks.core_specs import CORE, before_write
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.hooks.screens import ListView
from crm_core.hooks.spec import FilterHook
from crm_core.permissions.roles import Role
from tests.hooks.host import plugin as empty
from tests.hooks.host import refused


class Stamp(Entity):
    code: Field[str]


class Tier(Extension):
    tier: Field[str] = field(default="basic")


class Stamped(Event[Stamp], name="club.stamped"):
    pass


@attrs.frozen
class Award:
    account: Ref[Account]


def fn(*_: Any) -> Any: ...


def award(s: Any, command: Award) -> None: ...


DECLARATIONS: dict[str, Callable[[Plugin], Any]] = {
    "entities": lambda p: p.entities(Stamp),
    "extend": lambda p: p.extend(Account)(Tier),
    "link": lambda p: p.link(Account, Stamp),
    "events": lambda p: p.events(Stamped),
    "hooks": lambda p: p.hooks(FilterHook("club.price")),
    "service": lambda p: p.service(type("Club", (), {})),
    "role": lambda p: p.role(Role("club.host")),
    "grants": lambda p: p.grants("account:read"),
    "catalogue": lambda p: p.catalogue("en", {"club.no": "No"}),
    "retention": lambda p: p.retention("old", Stamp, keep="90 days", since="created_at", action="empty"),
    "companion": lambda p: p.companion("somewhere:plugin", beside="shop"),
    "ports": lambda p: p.ports(object),
    "screen": lambda p: p.screen(ListView(Stamp, columns=["code"])),
    "assets": lambda p: p.assets("crm_core", "catalogues"),
    "on": lambda p: p.on(Created[Account])(fn),
    "hook": lambda p: p.hook(before_write, on=Account)(fn),
    "action": lambda p: p.action(on=Account, permission="club.award")(award),
    "job": lambda p: p.job(every="0 3 * * *")(fn),
    "data_migration": lambda p: p.data_migration("2.0")(fn),
    "lifespan": lambda p: p.lifespan(fn),
    "route": lambda p: p.route("POST", "/calls", check=fn)(fn),
    "panel": lambda p: p.panel(Account, label="Club")(fn),
    "measure": lambda p: p.measure("stamps", Stamp, label="Stamps", formula="number of stamps", unit="stamps"),
    "source": lambda p: p.source(label="Visits", unit="visits")(fn),
    "dimension": lambda p: p.dimension("code", Stamp, "code", label="Code"),
    "rollup": lambda p: p.rollup("by_code", Stamp, by=["code"]),
    "metric": lambda p: p.metric(label="Twice", unit="stamps")(fn),
    "deprecated": lambda p: p.deprecated(replacement="other", end="2027.05")(fn),
    "experimental": lambda p: p.experimental(fn),
}


def test_every_verb_of_a_plugin_is_tried_here() -> None:
    assert set(DECLARATIONS) == {name for name, _ in inspect.getmembers(Plugin, inspect.isfunction) if name[0] != "_"} - {"configured"}


@pytest.mark.parametrize("verb", DECLARATIONS)
def test_nothing_can_be_declared_for_a_plugin_that_a_crm_was_made_with(verb: str) -> None:
    club = empty("club")
    Registry([club])
    error = refused(lambda: DECLARATIONS[verb](club))
    assert (error.code, error.params) == ("plugin_in_use", {"plugin": "club"})
    assert not any(getattr(club.definitions, name) for name in vars(club.definitions) if name not in ("_plugin", "loaded"))
    assert not spec(Stamp).plugin, "another plugin can still have it"
    assert "__crm_extends__" not in vars(Tier)


def test_a_host_is_told_where_declarations_belong() -> None:
    club = empty("club")
    crm = CRM("sqlite://", plugins=[club])
    with pytest.raises(LoadError, match=r"made with club already .* before CRM\(\.\.\.\), in the module that makes the plugin"):

        @club.on(Created[Account])
        def welcome(s: Any, event: Any) -> None: ...

    assert not crm.registry.subscriptions


def test_many_crms_share_a_plugin_and_what_was_declared_in_time_works_in_each() -> None:
    club, heard = empty("club"), []

    @club.hook(before_write, on=Account)
    def hear(ctx: Any, changes: Any) -> Any:
        heard.append(ctx)
        return changes

    for _ in range(2):
        crm = CRM("sqlite://", plugins=[club])
        crm.migrate()
        with crm.session(Actor.system("test", tenant="main")) as s:
            s.create(Account(name="Acme"))
    assert len(heard) == 2


def test_a_plugin_that_did_not_load_can_still_be_declared_to() -> None:
    club = empty("club", shop="")
    assert refused(lambda: Registry([club])).code == "plugin_missing"
    club.grants("account:read")
    assert Registry([club, empty("shop")]).grants("club") == {"account:read"}


def test_a_configured_plugin_is_the_same_definition() -> None:
    club = empty("club")
    Registry([club.configured()])
    assert refused(lambda: club.grants("account:read")).code == "plugin_in_use"


def test_nobody_declares_for_the_core() -> None:
    Registry([])
    assert refused(lambda: CORE.grants("account:read")).code == "plugin_in_use"
