"""The CRM, for which the shop's customers are the accounts."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

import crm_sales
from crm_core import CRM, Account, Actor, Created, Deleted, Plugin, Role, Updated
from crm_core.adoption import Adopted
from crm_core.ext import django as crm_django

from .models import Customer

heard: list[tuple[str, Any]] = []
plugin = Plugin("ears", version="1.0.0")
plugin.grants("account:read")


@plugin.on(Created[Account])
def created(_: Any, event: Any) -> None:
    heard.append(("created", event.new["name"]))


@plugin.on(Updated[Account])
def updated(_: Any, event: Any) -> None:
    heard.append(("updated", {name: (c.old, c.new) for name, c in event.changes.items()}))


@plugin.on(Deleted[Account])
def deleted(_: Any, event: Any) -> None:
    heard.append(("deleted", event.old["name"]))


def actor(request: HttpRequest) -> Actor:
    """Tell who asks, by Django's login."""
    user: Any = request.user
    if not user.is_authenticated:
        raise PermissionDenied
    return Actor(user.pk, roles={group.name for group in user.groups.all()}, locale="en")


COLUMNS = {"name": "company_name", "owner": "rep_id", "external_ref": "number", "kind": "sort", "created_at": "joined"}
rep = Role("rep").allow(Account, "read", "create", "update")
crm = CRM("django://default", plugins=[crm_sales.plugin, plugin], roles=[rep], adopt={Account: Adopted(Customer, COLUMNS)})
crm_django.observe(crm)
