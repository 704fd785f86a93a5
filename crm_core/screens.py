"""The screens that plugins bring, as one actor may see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .entities.meta import spec
from .hooks.screens import Form, ListView

if TYPE_CHECKING:
    from .crm import CRM
    from .permissions.actor import Actor


def screens(crm: CRM, actor: Actor) -> dict[str, Any]:
    """Return forms and lists with their fields described, and where the plugins' files are; all in the actor's language.

    A form is there for who may create or change its records, a list for who may read them; what they may not read is left out.
    """
    health = crm.registry.health
    described = {screen.entity: crm.describe(screen.entity, actor) for screen in crm.registry.screens}
    shown = [found for screen in crm.registry.screens if (found := _shown(crm, screen, described[screen.entity], actor.locale)) is not None]
    assets = [
        {"plugin": each.plugin, "package": each.package, "folder": each.folder}
        for each in crm.registry.assets
        if not health.is_off(each.plugin, actor.tenant)
    ]
    return {"screens": shown, "assets": assets}


def _shown(crm: CRM, screen: Form | ListView, described: dict[str, Any], locale: str) -> dict[str, Any] | None:
    actions = described["actions"]
    needed = ("create", "update") if isinstance(screen, Form) else ("read",)
    fields = described["fields"]
    there = [{"name": name, **fields[name]} for name in screen.names if name in fields]
    if not any(actions[action] for action in needed) or not there:
        return None
    label = crm.messages.template(screen.label, locale) or screen.label or described["label"]
    found = {"kind": screen.kind, "entity": spec(screen.entity).name, "label": label, "fields": there}
    if isinstance(screen, ListView):
        found["sort"] = screen.sort if screen.sort.removeprefix("-") in fields else None
        found["filters"] = [name for name in screen.filters if name in fields]
    return found
