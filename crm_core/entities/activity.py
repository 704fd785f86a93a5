"""What happened with a customer: interactions, notes and tags, linked to any record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar

from ..classes import frozen
from .entity import Entity
from .fields import Field, ListField, Ref, field
from .meta import spec


class Channel(Enum):
    """By which way an interaction took place."""

    CALL = "call"
    EMAIL = "email"
    MEETING = "meeting"
    CHAT = "chat"
    VISIT = "visit"
    WEB = "web"
    SURVEY = "survey"
    OTHER = "other"


class Direction(Enum):
    """Who began it."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


@frozen
class Link:
    """A pointer to a record of any entity, by the entity's name and the record's id."""

    entity: str
    record: str

    @classmethod
    def to(cls, target: Ref[Any] | Entity) -> Link:
        """Point at a record."""
        ref = target if isinstance(target, Ref) else target.ref
        return cls(spec(ref.entity).name, ref.id)

    @property
    def index_value(self) -> str:
        return self.record


@frozen
class Participant:
    """Someone who took part: an address or user id, a display name, a role such as ``from``, ``to`` or ``host``."""

    address: str
    name: str = ""
    role: str = ""

    @property
    def index_value(self) -> str:
        return self.address


class Interaction(Entity):
    """One entry of the timeline: a call, mail, meeting, chat, visit. What was said stays as it was; links may be added.

    Attributes:
        direction: whether it came in or went out.
        participants: who took part.
    """

    __append_only__: ClassVar[bool] = True
    __amendable__: ClassVar[frozenset[str]] = frozenset({"links", "owner"})

    at: Field[datetime] = field(index=True)
    channel: Field[Channel] = field(default=Channel.OTHER)
    direction: Field[Direction] = field(default=Direction.INTERNAL)
    subject: Field[str] = field(default="", pii=True)
    body: Field[str] = field(default="", text=True, pii=True)
    participants: ListField[Participant] = field(factory=list, pii=True)
    links: ListField[Link] = field(factory=list)
    owner: Field[str | None] = field(default=None)
    external_ref: Field[str | None] = field(default=None, unique=True)


class Note(Entity):
    """A remark on records, free to edit."""

    body: Field[str] = field(text=True, pii=True)
    links: ListField[Link] = field(factory=list)
    owner: Field[str | None] = field(default=None)


class Tag(Entity):
    """A label people put on records.

    Attributes:
        color: how it is shown, such as ``#0a7``.
    """

    name: Field[str] = field(length=100, unique=True)
    color: Field[str | None] = field(default=None, length=20)


class Tagging(Entity):
    """A tag on a record.

    Attributes:
        tag: the label.
    """

    __erased__: ClassVar[str] = "delete"
    __points__: ClassVar[Mapping[str, str]] = {"record": "entity"}

    tag: Field[Ref[Tag]] = field(on_delete="cascade")
    entity: Field[str] = field(length=127)
    record: Field[str] = field(length=36, index=True)
    owner: Field[str | None] = field(default=None)
