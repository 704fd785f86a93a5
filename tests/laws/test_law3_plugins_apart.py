"""Law 3 while it runs: what a hook gets in its hands leads to no connection by a public name.

Python holds nobody who means harm in one process; what a plugin's code may name at all is checked in tests/test_architecture.py.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, Table

from crm_core import Account, Actor, Change, Plugin, Refused, Session, WriteCtx, after_write
from crm_core.storage.engine import Bound
from crm_core.storage.unit import Lease, Unit

RAW = (Bound, Connection, Engine, Lease, Table, Unit)
# The host's own way to its database hangs on the CRM; the static check refuses it to plugins.
HOSTS = {"crm.bound"}
MEMBERS = ["unit", "lease", "connection", "elevated_core"]


def leads(session: Session) -> set[str]:
    """Return the paths of one and two public names from a session to what sends statements or could."""
    first = {}
    for name in dir(session):
        if not name.startswith("_"):
            with suppress(Refused):  # no job works in it
                first[name] = getattr(session, name)
    found = {name for name, value in first.items() if isinstance(value, RAW)}
    for name, value in first.items():
        for inner in dir(value) if not callable(value) else ():
            if not inner.startswith("_") and isinstance(getattr(value, inner, None), RAW):
                found.add(f"{name}.{inner}")
    return found


def test_a_hook_finds_no_connection_by_a_public_name(make_crm: Any) -> None:
    plugin, seen = Plugin("careless", version="1"), []

    @plugin.hook(after_write, on=Account)
    def look(ctx: WriteCtx, changes: list[Change]) -> None:
        seen.append((leads(ctx.session), [m for m in MEMBERS if hasattr(ctx.session, m)]))

    with make_crm(plugins=[plugin]).session(Actor.system("test", tenant="main")) as s:
        s.create(Account(name="A"))
    assert seen == [(HOSTS, [])]
