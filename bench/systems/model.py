"""Our entities for the comparison, as a vendor's plugin would declare them."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from crm_core import Change, Entity, Field, Plugin, Role, WriteCtx, before_write, field
from crm_core.rules import F, actor, owner


class Person(Entity):
    """A person, with a dozen fields."""

    first_name: Field[str] = field(length=60)
    last_name: Field[str] = field(length=60, index=True)
    email: Field[str] = field(index=True)
    phone: Field[str] = field(default="")
    city: Field[str] = field(default="")
    language: Field[str] = field(default="en", length=10)
    customer: Field[bool] = field(default=False)
    rating: Field[int] = field(default=0, min=0, max=100)
    born: Field[date | None] = field(default=None)
    owner: Field[str | None] = field(default=None)
    note: Field[str] = field(default="", text=True)


class Deal(Entity):
    """A deal that its owner and the owner's team see."""

    name: Field[str] = field()
    owner: Field[str | None] = field(default=None)
    team: Field[str | None] = field(default=None)
    stage: Field[str] = field(default="new", length=20)
    amount: Field[int] = field(default=0)

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("owner", "stage", "amount"), ("team", "stage", "amount"), ("stage", "amount"))


REP = (
    Role("rep", label="Rep")
    .allow(Person, "read", "create", "update", where=owner)
    .allow(Deal, "read", where=owner | (F("team") == actor("team")))
)
BOSS = Role("boss", label="Boss").allow(Person, "read").allow(Deal, "read")


def hooked(name: str) -> Plugin:
    """Return a plugin with one hook on every write of a person."""
    plugin = Plugin(name, version="1", requires={"bench": ">=1"})

    @plugin.hook(before_write, on=Person)
    def tidy(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        return changes

    return plugin


def plugins(hooks: int) -> list[Plugin]:
    """Return the plugin of the entities, and *hooks* more that each have a hook."""
    plugin = Plugin("bench", version="1")
    plugin.entities(Person, Deal)
    return [plugin, *(hooked(f"bench.hook{n}") for n in range(hooks))]
