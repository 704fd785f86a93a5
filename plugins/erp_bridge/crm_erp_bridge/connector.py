"""What an integrator writes: a ``Connector``. Only ``check``, ``read`` and ``apply`` are needed; the rest has honest defaults."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, Protocol

import attrs

from crm_core import CRMError

CursorKind = Literal["none", "time", "delta_token", "sequence"]
_CODE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")


# What goes wrong with the ERP as a whole. What is wrong with one record is a result of ``apply``.


def _because(self: CRMError, code: str | None = None, /, *, details: Sequence[Any] = (), **params: Any) -> None:
    """Make an error with a code of the connector's own, or with a plain text, which is its reason."""
    if code is not None and not _CODE.fullmatch(code):
        code, params["reason"] = None, code
    CRMError.__init__(self, code, details=details, **params)


class AuthFailed(CRMError):
    """The ERP does not let us in: nothing is tried again before somebody looks. ``AuthFailed("the token ran out")`` says why."""

    default_code, status = "erp_bridge.auth_failed", 502
    __init__ = _because


class Throttled(CRMError):
    """The ERP asks us to come back later; nothing of the call was done."""

    default_code, status = "erp_bridge.throttled", 503

    def __init__(self, after: timedelta) -> None:
        super().__init__(seconds=int(after.total_seconds()))
        self.after = after


class Unavailable(CRMError):
    """The ERP did not answer. Of a write nobody knows whether it happened. ``Unavailable("HTTP 503")`` says why."""

    default_code, status = "erp_bridge.unavailable", 503
    __init__ = _because


class CursorExpired(CRMError):
    """The ERP cannot go on from this cursor: everything is read once more."""

    default_code, status = "erp_bridge.cursor_expired", 410


class SchemaChanged(CRMError):
    """The ERP's fields are not those of the mapping any more."""

    default_code, status = "erp_bridge.schema_changed", 502


class NotOffered(CRMError):
    """The connector does not offer this."""

    default_code, status = "erp_bridge.not_offered", 501


def _instant(given: datetime | str) -> datetime:
    return datetime.fromisoformat(given) if isinstance(given, str) else given


@attrs.frozen
class Remote:
    """A record as the ERP has it.

    Attributes:
        id: the ERP's own, as text.
        version: changes whenever the record does.
        modified_at: when it was changed: an aware datetime, or its text in ISO 8601.
        data: its fields, by the paths that the mapping names; exact numbers are text or Decimal, never float.
        scope: the organisation or company it belongs to.
        state: where it stands in the ERP's workflow.
        deleted: it is gone, and this is its tombstone.
        key: the idempotency key it was made under, where the ERP keeps one.
        partial: ``data`` speaks of what it names alone; a field whose path is not there stays as it was, and is emptied by None or ``""``.
        wrong: why it cannot be read as it is written; it is a dead letter with these words, and holds up no other.
    """

    id: str
    version: str = attrs.field(kw_only=True)
    modified_at: datetime = attrs.field(kw_only=True, converter=_instant)
    data: Mapping[str, Any] = attrs.field(kw_only=True, repr=False)
    scope: str = attrs.field(default="", kw_only=True)
    state: str = attrs.field(default="", kw_only=True)
    deleted: bool = attrs.field(default=False, kw_only=True)
    key: str = attrs.field(default="", kw_only=True)
    partial: bool = attrs.field(default=False, kw_only=True)
    wrong: CRMError | None = attrs.field(default=None, kw_only=True, eq=False)


@attrs.frozen
class Page:
    """A page of changed records, sorted as the cursor is.

    Attributes:
        next: where to go on, for the next page or the next run; where it is None, the instant of the last record.
        complete: there is no more for now.
        marks: what this page used up and must not be used again, such as files, as {digest: name}; kept with the page's records.
    """

    records: Sequence[Remote]
    next: str | None = attrs.field(default=None, kw_only=True)
    complete: bool = attrs.field(kw_only=True)
    marks: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)


@attrs.frozen
class IdPage:
    """A page of all living records' ids and versions, for finding what was deleted."""

    records: Mapping[str, str]
    next: str | None = None


@attrs.frozen
class Op:
    """A write that the ERP is asked for.

    Attributes:
        key: the idempotency key: the same for every try, and never used for anything else.
        remote_id: whose record; None for a create.
        expect_version: the version the change is based on.
    """

    key: str
    kind: Literal["create", "update"]
    entity: str
    scope: str
    remote_id: str | None
    data: Mapping[str, Any] = attrs.field(repr=False)
    expect_version: str | None = None


@attrs.frozen
class OpResult:
    """What the ERP says to an :class:`Op`."""


@attrs.frozen
class Ok(OpResult):
    """Done: the record and its version now."""

    id: str
    version: str


@attrs.frozen
class Pending(OpResult):
    """Taken in, but somebody in the ERP must approve; the op is given again, with its key, after ``poll_after``. The id may be empty."""

    id: str
    waits_for: str = attrs.field(kw_only=True)
    poll_after: timedelta = attrs.field(kw_only=True)


@attrs.frozen
class Conflict(OpResult):
    """Somebody changed the record in the ERP since ``expect_version``: this is how it is now."""

    current: Remote


@attrs.frozen
class Invalid(OpResult):
    """The ERP refuses these fields, and says why; nothing is tried again before somebody changes something."""

    errors: Mapping[str, str]


@attrs.frozen
class Retry(OpResult):
    """Not now, and nothing was done: once more after a while."""

    after: timedelta


@attrs.frozen
class Fatal(OpResult):
    """Never."""

    reason: str


@attrs.frozen
class CheckResult:
    """Who answered, and what its clock says."""

    version: str = attrs.field(kw_only=True)
    server_time: datetime = attrs.field(kw_only=True)
    scopes: Sequence[str] = attrs.field(kw_only=True)


@attrs.frozen(kw_only=True)
class EntityCaps:
    """What the ERP can do with one kind of record; the engine adapts, nothing is assumed.

    Attributes:
        cursor: what ``read`` goes by.
        cursor_precision_s: how fine the ERP's clock is, in seconds.
        unique_keys: fields whose values name one record.
        bulk_read, bulk_write: most records of one call.
        scoped: records belong to one organisation each.
        states: the ERP's words for draft, open, in_approval, approved.
        tombstones: ``read`` tells of deleted records.
        id_listing: ``list_ids`` is offered, so deletions are found without tombstones.
        optimistic_lock: ``expect_version`` is honoured.
        idempotency_key: the ERP itself keeps ``Op.key``.
        create, update: whether ``apply`` takes such ops; a write that it does not take is a dead letter (``erp_bridge.not_offered``).
    """

    cursor: CursorKind = "none"
    cursor_precision_s: float = 1
    unique_keys: Sequence[str] = ()
    bulk_read: int = 500
    bulk_write: int = 50
    scoped: bool = False
    states: Mapping[str, str] = attrs.field(factory=dict)
    tombstones: bool = False
    id_listing: bool = False
    optimistic_lock: bool = False
    idempotency_key: bool = False
    create: bool = True
    update: bool = True


@attrs.frozen(kw_only=True)
class SchemaField:
    """What the ERP says of one field: its own word for the type, whether it must be given, its length, its values if they are a list."""

    type: str
    required: bool = False
    max_length: int | None = None
    values: Sequence[str] = ()


class Memory(Protocol):
    """What the bridge remembers for a connector: the marks of the pages that were kept."""

    def known(self, marks: Sequence[str]) -> AbstractSet[str]:
        """Return those of *marks* that are used up."""


class NoMemory:
    """Remembers nothing: everything is new."""

    def known(self, marks: Sequence[str]) -> AbstractSet[str]:
        """Return nothing."""
        return frozenset()


class Connector(ABC):
    """A way to one ERP. Write ``check``, ``read`` and ``apply``; override the rest where the ERP can do it.

    One instance serves one thread at a time. ``memory`` is set by the bridge before ``read``.
    """

    entities: Mapping[str, EntityCaps] = MappingProxyType({})
    memory: Memory = NoMemory()

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings

    @abstractmethod
    def check(self) -> CheckResult:
        """Log in and say who answered.

        Raises:
            AuthFailed, Unavailable: it did not work; the message holds no secret.
        """

    @abstractmethod
    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        """Return a page of what changed from *cursor* on (inclusive; None: from the beginning) and not after *until*.

        Raises:
            CursorExpired: the cursor is not one to go on from.
            AuthFailed, Throttled, Unavailable, SchemaChanged: as they say.
        """

    @abstractmethod
    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        """Write, and return one result for each op, in order; an op that fails is a result and no exception.

        A repeat with the same key has the same effect as once, and returns the same id.

        Raises:
            AuthFailed, Throttled: nothing was done.
            Unavailable: nobody knows what was done.
        """

    def find(self, entity: str, key: str) -> list[Remote]:
        """Return the records made under an idempotency key: did the create that timed out happen?

        Raises:
            NotOffered: the ERP cannot tell; the op is then repeated with its key.
        """
        raise NotOffered(what="find")

    def ask(self, question: str, args: dict[str, Any], *, timeout: timedelta) -> dict[str, Any]:
        """Answer a live question that is no synchronisation: stock, a price, credit.

        Raises:
            NotOffered: this ERP does not answer it.
        """
        raise NotOffered(what=question)

    def list_ids(self, entity: str, after: str | None, limit: int, scope: str) -> IdPage:
        """Return all living ids with their versions, page by page.

        Raises:
            NotOffered: the ERP cannot list them.
        """
        raise NotOffered(what="list_ids")

    def get(self, entity: str, ids: Sequence[str], scope: str) -> list[Remote]:
        """Return records by id, leaving out what is gone.

        Raises:
            NotOffered: the ERP cannot.
        """
        raise NotOffered(what="get")

    def schema(self, entity: str) -> Mapping[str, SchemaField]:
        """Return the ERP's fields by path, ``address.city``; a mapped field that is not among them stops its stream.

        Raises:
            NotOffered: the ERP cannot tell.
        """
        raise NotOffered(what="schema")

    def capabilities(self) -> Mapping[str, Any]:
        """Say what this connector offers, for people and for the conformance suite."""
        offered = [name for name in ("find", "ask", "list_ids", "get", "schema") if self.offers(name)]
        return {"api": 1, "entities": dict(self.entities), "offers": offered}

    def offers(self, name: str) -> bool:
        """Say whether an optional method is written."""
        return getattr(type(self), name) is not getattr(Connector, name)

    def close(self) -> None:  # noqa: B027  # not every connector holds something
        """Let go of what is held: connections, files."""
