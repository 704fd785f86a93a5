"""Screens as data: each actor gets what they may see, in their language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Entity, Extension, Field, Form, ListView, LoadError, Plugin, Role, field


class Booking(Entity):
    """A desk for a day."""

    desk: Field[str]
    note: Field[str | None] = field(default=None)


plugin = Plugin("desk", version="1.0.0")
plugin.entities(Booking)
plugin.catalogue("zh", {"desk.booking": "预订", "desk.all": "所有预订"})
plugin.catalogue("en", {"desk.booking": "Booking", "desk.all": "All bookings"})


@plugin.extend(Account)
class Seat(Extension):
    row: Field[str] = field(default="a")


plugin.screen(Form(Booking, fields=["note", "desk"]))
plugin.screen(ListView(Booking, columns=["desk", "note", "created_at"], filters=["desk", "note"], label="desk.all"))
plugin.screen(ListView(Account, columns=["name", "desk_row"], sort="name"))
plugin.assets("crm_core", "static")
READER = Role("reader").allow(Booking, "read", fields={"note": "none"})
CLERK = Role("clerk").allow(Booking, "read", "create").allow(Account, "read")


def shown(crm: Any, *roles: str, locale: str = "en") -> list[tuple[str, str, list[str]]]:
    found = crm.screens(Actor("1", roles=set(roles), locale=locale))["screens"]
    return [(s["kind"], s["label"], [f["name"] for f in s["fields"]]) for s in found]


def test_an_actor_gets_the_screens_and_fields_that_they_may_see(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[plugin], roles=[READER, CLERK])
    assert shown(crm) == []
    assert shown(crm, "reader") == [("list", "All bookings", ["desk", "created_at"])]
    assert shown(crm, "clerk") == [
        ("form", "Booking", ["note", "desk"]),
        ("list", "All bookings", ["desk", "note", "created_at"]),
        ("list", "Account", ["name", "desk_row"]),
    ]
    assert shown(crm, "reader", locale="zh_CN")[0][1] == "所有预订"
    reader = crm.screens(Actor("1", roles={"reader"}))
    assert (reader["screens"][0]["sort"], reader["screens"][0]["filters"]) == ("-created_at", ["desk"])
    assert reader["assets"] == [{"plugin": "desk", "package": "crm_core", "folder": "static"}]


@pytest.mark.parametrize(
    "screen",
    [Form(Booking, fields=["dsk"]), ListView(Booking, columns=["desk"], sort="-dsk"), ListView(Booking, columns=["desk"], filters=["dsk"])],
)
def test_a_field_that_is_not_there_is_a_load_error_with_a_suggestion(screen: Form | ListView) -> None:
    other = Plugin("other", version="1.0.0", requires={"desk": ">=1"})
    other.screen(screen)
    with pytest.raises(LoadError) as caught:
        CRM("sqlite://", plugins=[plugin, other])
    assert (caught.value.code, caught.value.params["suggestion"]) == ("screen_field", "desk")
