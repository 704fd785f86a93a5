"""Pull: read what changed, page by page; each page's records, its cursor and its used-up files are kept in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from crm_core import Refused, Session

from .channel import Channel, Remembered
from .connector import CursorExpired, Page, SchemaChanged, Throttled
from .intake import judge
from .keeping import from_plain
from .ledger import Binding, Cursor, Parked, ParkedState, SeenFile
from .mapping import Stream
from .push import settle
from .settings import Settings
from .taking import gone, take_in
from .verdict import Verdict


def pull(channel: Channel, counts: Counter[str]) -> None:
    """Take in what changed in the ERP, parents first; count how many records of each verdict, by ``stream.verdict``.

    A run that the ERP throttled leaves a note, and the next one begins there, or a stream later where it got no further: so every
    stream has its turn. What then comes before its parents waits for them.

    Raises:
        SchemaChanged: a stream's mapped fields are gone from the ERP; it was left alone, and the other streams were taken in.
    """
    lost: list[str] = []
    with channel.leased():
        settle(channel)
        channel.connector.memory = Remembered(channel)
        until = horizon(channel)
        streams = _turns(channel)
        for place, stream in enumerate(streams):
            before = _positions(channel, stream)
            try:
                lost += _take_stream(channel, stream, until, counts)
            except Throttled:
                further = place > 0 or _positions(channel, stream) != before
                _note_stop(channel, stream if further else streams[1 % len(streams)])
                counts += _retry_waiting(channel)
                raise
        _note_stop(channel, None)
        counts += _retry_waiting(channel)
        if lost:
            raise SchemaChanged(fields=", ".join(lost))


def _take_stream(channel: Channel, stream: Stream, until: datetime, counts: Counter[str]) -> list[str]:
    """Take a stream in; return its mapped fields that the ERP has no more, which leave it alone."""
    lost = _lost(channel, stream)
    for scope in () if lost else channel.scopes:
        for page in read(channel, stream, scope, until):
            with channel.session("pull") as session:
                taken = take_in(session, channel.name, stream, scope, _judged(channel, session, stream, page))
                _keep(channel, session, stream, scope, page)
            counts += _named(stream, taken)
        counts += _named(stream, _deletions(channel, stream, scope))
    return [f"{stream.name}.{path}" for path in lost]


def _turns(channel: Channel) -> list[Stream]:
    """Return what is to be read, parents first, from where the last run stopped on, and then what comes before that."""
    streams = [s for s in channel.streams if s.from_erp != "never"]
    with channel.session("turn", fenced=False) as session:
        row = session.query(Cursor).where(Cursor.key == channel.name).first()
    first = next((n for n, s in enumerate(streams) if row is not None and s.name == row.cursor), 0)
    return streams[first:] + streams[:first]


def _note_stop(channel: Channel, stream: Stream | None) -> None:
    with channel.session("turn") as session:
        row = session.query(Cursor).where(Cursor.key == channel.name).first()
        name = stream.name if stream else None
        if row is None and name is not None:
            session.create(Cursor(key=channel.name, cursor=name, at=channel.now()))
        elif row is not None and row.cursor != name:
            session.update(Cursor, row.id, {"cursor": name, "at": channel.now()})


def _positions(channel: Channel, stream: Stream) -> dict[str, str | None]:
    with channel.session("turn", fenced=False) as session:
        rows = session.query(Cursor).where(Cursor.key.in_([_key(channel, stream, scope) for scope in channel.scopes]))
        return {row.key: row.cursor for row in rows.all()}


def _lost(channel: Channel, stream: Stream) -> list[str]:
    """Return the mapped paths that the ERP says it does not have; none where it cannot tell."""
    if not channel.connector.offers("schema"):
        return []
    there = channel.patiently(channel.connector.schema, stream.entity)
    return [path for path in stream.paths if path not in there]


def horizon(channel: Channel) -> datetime:
    """Return until when to read: a little before now by the ERP's own clock, which is the only one that its instants follow."""
    server_time = channel.patiently(channel.connector.check).server_time
    with channel.session("settings", fenced=False) as session:
        return server_time - timedelta(seconds=session.settings(Settings).settle_seconds)


def read(channel: Channel, stream: Stream, scope: str, until: datetime, *, fresh: bool = False) -> Iterator[Page]:
    """Yield pages from the kept cursor on, each with where to go on; an expired cursor begins anew, once.

    Raises:
        Refused: ``erp_bridge.cursor_stuck``: a page leads to itself.
    """
    cursor = None if fresh else _start(channel, stream, scope)
    limit = channel.caps(stream).bulk_read
    baseline = cursor is None
    while True:
        try:
            page = channel.patiently(channel.connector.read, stream.entity, cursor, until, limit, scope)
        except CursorExpired:
            if baseline:
                raise
            cursor, baseline = None, True
            continue
        following = page.next
        if following is None and page.records and not page.marks:
            following = max(r.modified_at for r in page.records).isoformat()
        if not page.complete and following == cursor and not page.marks:
            raise Refused("erp_bridge.cursor_stuck", stream=stream.name, cursor=str(cursor))
        yield Page(page.records, next=following, complete=page.complete, marks=page.marks)
        if page.complete:
            return
        cursor = following


def _key(channel: Channel, stream: Stream, scope: str) -> str:
    return f"{channel.name}:{stream.name}:{scope}"


def _start(channel: Channel, stream: Stream, scope: str) -> str | None:
    """Return the kept cursor; one that is an instant, less the overlap, so that what was committed late is read after all."""
    with channel.session("cursor", fenced=False) as session:
        row = session.query(Cursor).where(Cursor.key == _key(channel, stream, scope)).first()
        overlap = timedelta(minutes=session.settings(Settings).overlap_minutes)
    if row is None or row.cursor is None or channel.caps(stream).cursor != "time":
        return row.cursor if row else None
    try:
        return (datetime.fromisoformat(row.cursor) - overlap).isoformat()
    except ValueError:
        return row.cursor


def _judged(channel: Channel, session: Session, stream: Stream, page: Page) -> list[Verdict]:
    return judge(session, channel.name, stream, page.records)


def _keep(channel: Channel, session: Session, stream: Stream, scope: str, page: Page) -> None:
    key = _key(channel, stream, scope)
    row = session.upsert(Cursor(key=key), on="key")
    session.update(Cursor, row.id, {"cursor": page.next if page.next is not None else row.cursor, "at": channel.now()})
    for mark, name in page.marks.items():
        session.upsert(SeenFile(key=f"{channel.name}:{mark}", name=name), on="key")


def _named(stream: Stream, counts: Counter[str]) -> Counter[str]:
    return Counter({f"{stream.name}.{kind}": n for kind, n in counts.items()})


def _retry_waiting(channel: Channel) -> Counter[str]:
    """Try records once more that waited for another one; what is still missing goes on waiting."""
    counts: Counter[str] = Counter()
    for stream in channel.streams:
        after: str | None = None
        while True:
            with channel.session("waiting") as session:
                waiting = session.query(Parked).where(
                    Parked.bridge == channel.name, Parked.stream == stream.name, Parked.state == ParkedState.WAITING
                )
                page = waiting.page(200, after=after)
                verdicts = judge(session, channel.name, stream, [from_plain(p.remote) for p in page])
                ready = [v for v in verdicts if v.kind != "waiting" and not (v.missing and v.kind in ("same", "echo"))]
                if ready:
                    counts += _named(stream, take_in(session, channel.name, stream, channel.scopes[0], ready))
            after = page.next
            if after is None:
                break
    return counts


def living_ids(channel: Channel, stream: Stream, scope: str) -> Iterator[str]:
    """Yield all living ids of a stream's kind, as the ERP lists them."""
    after: str | None = None
    while True:
        page = channel.patiently(channel.connector.list_ids, stream.entity, after, channel.caps(stream).bulk_read, scope)
        yield from page.records
        after = page.next
        if after is None:
            return


def _deletions(channel: Channel, stream: Stream, scope: str) -> Counter[str]:
    """Find what the ERP does not have any more: missing in two scans running, and never too many at once."""
    if not (channel.caps(stream).id_listing and channel.connector.offers("list_ids")):
        return Counter()
    there = set(living_ids(channel, stream, scope))
    with channel.session("deletions") as session:
        bound = session.query(Binding).where(
            Binding.bridge == channel.name, Binding.stream == stream.name, Binding.scope == scope, Binding.gone_at.is_(None)
        )
        missing, back, total = [], [], 0
        for binding in bound.stream():
            total += 1
            if binding.remote_id not in there:
                missing.append(binding)
            elif binding.missing:
                back.append(binding)
        if len(missing) * 100 > total * session.settings(Settings).most_missing_percent and len(missing) > 1:
            return Counter(missing_too_many=len(missing))
        for binding in back:
            session.update(Binding, binding.id, {"missing": 0})
        certain = [b for b in missing if b.missing >= 1]
        for binding in missing:
            session.update(Binding, binding.id, {"missing": binding.missing + 1})
        gone(session, stream, certain)
    return Counter({"delete": len(certain)}) if certain else Counter()
