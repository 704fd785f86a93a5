"""Drift: a plugin's code declares what its frozen revisions do not have, so that no host would ever get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from ...errors import LoadError
from ...storage.revisions.freeze import unfrozen
from ...storage.revisions.history import frozen
from ...storage.revisions.place import Place

if TYPE_CHECKING:
    from ...crm import CRM
    from ...hooks.plugin import Plugin
    from .subject import Subject


@attrs.frozen
class Drift:
    """How the code and the revisions differ.

    Attributes:
        reasons: each difference of the plugin itself; none where what it requires is behind.
        short: what to do, in a line, for the rules that need tables.
    """

    reasons: Sequence[str]
    short: str


def drift_of(subject: Subject) -> Drift | None:
    """Compare, first for the plugin and then for what it requires.

    None where they are alike, where no revision is frozen yet, or where the plugin does not load.
    """
    if subject.load_error is not None:
        return None
    with subject.crm(migrate=False) as crm:
        own = _of(crm, subject.plugin)
        if own is not None:
            return own
        behind = next((p.name for p in subject.required if _of(crm, p) is not None), None)
    if behind is None:
        return None
    return Drift([], f"the revisions of {behind}, which it requires, are behind its code: crm plugin check {behind}")


def _of(crm: CRM, plugin: Plugin) -> Drift | None:
    if not plugin.package or not frozen(plugin.package):
        return None
    try:
        place = Place(crm.tables.prefix, crm.tables.schema, crm.bound.kind)
        steps = [place.describe(step) for step in unfrozen(crm.registry, [plugin.name])[plugin]]
    except LoadError as e:
        return Drift([str(e)], "its code declares otherwise what its revisions made: see CK07") if e.code == "schema_changed" else None
    freeze = f"crm plugin freeze {plugin.name}"
    reasons = [f"no revision does what the code declares: {step}; run {freeze}" for step in steps]
    return Drift(reasons, f"its revisions are behind its code (CK07): {freeze}") if steps else None
