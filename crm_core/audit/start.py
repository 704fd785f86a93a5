"""Which plugins run here: a set of names and versions other than at the last start is journalled in every tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from ..entities.upsert import upsert
from ..storage.writer import JournalRow, Origin

if TYPE_CHECKING:
    from ..runtime import Runtime
    from ..storage.engine import Bound
    from ..storage.tables import Tables
    from ..storage.writer import Writers

KIND = "core.plugins_changed.v1"
# What no tenant has: the last start's plugins.
_MINE = {"tenant": "", "plugin": "core.plugins"}


def note_plugins(
    bound: Bound,
    tables: Tables,
    writer: Writers,
    runtime: Runtime,
    versions: Mapping[str, str],
    tenants: Iterable[str],
) -> None:
    """Compare the plugins' versions, by name, with those of the last start, and journal what is not the same; the first start is none."""
    table = tables.system.setting
    mine = [table.c[name] == value for name, value in _MINE.items()]
    with bound.begin(unlimited=True) as connection:
        before = connection.execute(select(table.c.data).where(*mine).with_for_update()).scalar()
        now = runtime.clock.now()
        values = {"data": dict(versions), "at": now, "actor": "system:core"}
        if before is None:
            connection.execute(upsert(table, bound.kind).values(**_MINE, **values).on_conflict_do_nothing())
        elif before != versions:
            connection.execute(update(table).where(*mine).values(**values))
            for tenant in tenants:
                event = runtime.ids.new()
                payload = {"id": event, "plugins": dict(versions), "before": before}
                writer(connection).journal(connection, _origin(tenant, now), [JournalRow("core", event, 0, KIND, payload)])


def _origin(tenant: str, at: datetime) -> Origin:
    return Origin(tenant, at, "system:core", None, "", "start", None, ())
