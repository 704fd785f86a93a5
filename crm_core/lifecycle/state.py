"""What is told of plugins in a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import attrs

State = Literal["enabled", "disabled", "stopped", "uninstalled"]


@attrs.frozen
class PluginStatus:
    """A plugin in a database.

    Attributes:
        name, version: which, as it was installed.
        state: ``enabled``; ``disabled``: somebody switched it off; ``stopped``: with its checks on others' records; ``uninstalled``: its
            data was kept.
        loaded: whether this CRM has its code.
        since: when its state or version last changed.
        reason, actor: why, and by whom.
    """

    name: str
    version: str
    state: State
    loaded: bool
    since: datetime
    reason: str | None
    actor: str


@attrs.frozen
class PluginPlan:
    """What installing or upgrading a plugin would do.

    Attributes:
        name, version: which, and to which version.
        installed: the version that is there; None: none is.
        steps: what would be done to the schema, that of others too, since the tables are those of all loaded plugins or of none.
        brings: what else comes: entities, events, permissions, and so on, as ``event acme.loyalty.earned``.
        waiting: data migrations that would run.
    """

    name: str
    version: str
    installed: str | None
    steps: Sequence[str]
    brings: Sequence[str]
    waiting: Sequence[str]


@attrs.frozen
class Disabling:
    """What disabling a plugin would do, in words as ``veto acme.loyalty.no_debts (check_write account)``.

    Attributes:
        name: which.
        ends: what of it runs no more.
        stays: its restrictions that stay in force: vetoes on others' records, rules of its roles, and what is to be read alone.
    """

    name: str
    ends: Sequence[str]
    stays: Sequence[str]


@attrs.frozen
class Removal:
    """What a plugin has in a database.

    Attributes:
        name, version: which.
        companions: those that join it to others and go with it.
        rows: how many, by table of its own.
        columns: how many values are in the columns that it added to others, by ``table.column``.
        others: how many rows of the core's tables are about it, by table: positions, parked lines, jobs, settings, ...
        at_work: its jobs and external subscribers that some process runs now, and how long it has them unless it asks again.
    """

    name: str
    version: str
    companions: Sequence[str]
    rows: Mapping[str, int]
    columns: Mapping[str, int]
    others: Mapping[str, int]
    at_work: Mapping[str, datetime]
