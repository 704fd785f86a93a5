"""What was imported: a record for each file, with how far it came."""

from __future__ import annotations

from enum import Enum
from typing import Any

from .entity import Entity
from .fields import Field, field


class ImportState(Enum):
    """Where an import stands; one that broke off stays ``running`` until it goes on."""

    RUNNING = "running"
    DONE = "done"
    UNDONE = "undone"


class ImportRun(Entity):
    """A file that was imported. What it created and changed stands in the journal, under the request ``import:<id>``.

    ``checksum`` is the file's SHA-256 and ``mapping`` the mapping's; ``position`` is the last line that was dealt with, ``waiting`` the
    lines before it that name records still to come, ``errors`` the size of the error file, ``report`` the counts until then.

    Attributes:
        file: the file's name.
        actor: who imported it: the id of a user.
    """

    file: Field[str] = field(read_only=True)
    entity: Field[str] = field(length=127, read_only=True)
    actor: Field[str] = field(read_only=True, index=True)
    checksum: Field[str] = field(length=64, read_only=True)
    mapping: Field[str] = field(length=64, read_only=True)
    state: Field[ImportState] = field(default=ImportState.RUNNING, read_only=True)
    attempts: Field[int] = field(default=1, read_only=True)
    position: Field[int] = field(default=0, read_only=True)
    waiting: Field[list[Any]] = field(factory=list, read_only=True)
    errors: Field[int] = field(default=0, read_only=True)
    report: Field[dict[str, Any]] = field(factory=dict, read_only=True, pii=True)
    owner: Field[str | None] = field(default=None, read_only=True)
