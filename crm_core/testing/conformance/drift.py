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
    from .subject import Subject


@attrs.frozen
class Drift:
    """How the code and the revisions differ.

    Attributes:
        reasons: each difference.
        short: what to do, in a line, for the rules that need tables.
    """

    reasons: Sequence[str]
    short: str


def drift_of(subject: Subject) -> Drift | None:
    """Compare; None where they are alike, where no revision is frozen yet, or where the plugin does not load."""
    plugin = subject.plugin
    if not plugin.package or not frozen(plugin.package):
        return None
    try:
        with subject.crm(migrate=False) as crm:
            place = Place(crm.tables.prefix, crm.tables.schema, crm.bound.kind)
            steps = [place.describe(step) for step in unfrozen(crm.registry, [plugin.name])[plugin]]
    except LoadError as e:
        return Drift([str(e)], "its code declares otherwise what its revisions made: see CK07") if e.code == "schema_changed" else None
    freeze = f"crm plugin freeze {plugin.name}"
    reasons = [f"no revision does what the code declares: {step}; run {freeze}" for step in steps]
    return Drift(reasons, f"its revisions are behind its code (CK07): {freeze}") if steps else None
