"""Frozen schemas: one JSON file a revision, in the folder ``revisions`` of the package whose plugin it belongs to.

A file holds the steps from the revision before it to itself. ``python -m crm_core.storage.revisions.freeze`` writes it; a released one
is never edited, since databases were made by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files

import attrs

from ...errors import LoadError
from .steps import Step, from_plain


@attrs.frozen
class Revision:
    """A state of one plugin's schema.

    Attributes:
        id: the year and month it was released in, ``2026.11``, or ``declared.<hash>`` for a schema that is not frozen yet.
        steps: what leads from the revision before to this one.
    """

    id: str
    steps: Sequence[Step]

    @property
    def order(self) -> tuple[int, ...]:
        """What revisions are sorted by."""
        return order(self.id)


def order(id: str) -> tuple[int, ...]:
    """Read ``2026.11`` as numbers, so that 2026.9 comes before it.

    Raises:
        LoadError: ``revision_name``.
    """
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})*", id):
        raise LoadError("revision_name", given=id[:60])
    return tuple(int(part) for part in id.split("."))


def coming(package: str, month: str) -> str:
    """Name the next revision of a package: *month*, or, where that is not later than its newest, the newest with a number behind it."""
    newest = max(names(package), key=order, default="")
    if not newest or order(month) > order(newest):
        return month
    base = order(newest)
    number = base[2] + 1 if len(base) > 2 else 2
    return ".".join(map(str, (*base[:2], number)))


def names(package: str) -> set[str]:
    """Return the revisions of a package without reading them; a package without any has none."""
    folder = files(package) / "revisions"
    found = folder.iterdir() if package and folder.is_dir() else ()
    return {f.name.removesuffix(".json") for f in found if f.name.endswith(".json")}


def frozen(package: str) -> list[Revision]:
    """Read the revisions of a package, oldest first."""
    folder = files(package) / "revisions"
    return [
        Revision(id, [from_plain(step) for step in json.loads((folder / f"{id}.json").read_text("utf-8"))])
        for id in sorted(names(package), key=order)
    ]
