"""An import's own record: written with each batch, in the batch's transaction, so that the two can never disagree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.imports import ImportRun, ImportState
from ..errors import Conflict, Invalid, NotFound
from .mapping import Mapping

if TYPE_CHECKING:
    from ..session import Session

LAST = "last"
_WHY = "import"
_STALE = ("stale_version", "changed_meanwhile")


def request_of(run: str) -> str:
    """Return the request under which the journal has what a run wrote."""
    return f"import:{run}"


@attrs.frozen
class Subject:
    """What is imported: the file and how it is read, so that only the same goes on where it stopped."""

    file: str
    entity: str
    checksum: str
    mapping: str

    @classmethod
    def of(cls, path: Path, entity: str, mapping: Mapping) -> Subject:
        """Look at a file and its mapping."""
        with path.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        said = json.dumps([entity, attrs.asdict(mapping)], sort_keys=True, default=str)
        return cls(path.name[-255:], entity, checksum, hashlib.sha256(said.encode()).hexdigest())


class _Nothing(Exception):
    """The batch wrote nothing, so neither is it written that there was an import."""


class Logbook:
    """The record of one import. An import that changes nothing leaves none.

    Args:
        run: the record of an import that goes on.
    """

    def __init__(self, subject: Subject, run: ImportRun | None = None) -> None:
        self._subject = subject
        self._run = run

    @property
    def id(self) -> str:
        """The run's id; empty where nothing was written yet."""
        return self._run.id if self._run else ""

    @contextmanager
    def batch(self, session: Session) -> Iterator[Session]:
        """Give the session to write a batch in. :meth:`keep` ends the batch; without it all is undone."""
        fresh = self._run is None
        try:
            with session.savepoint() if fresh else nullcontext():
                if self._run is None:
                    with session._elevated_core(_WHY) as core:
                        facts = attrs.asdict(self._subject)
                        self._run = core.create(ImportRun(**facts, actor=session.actor.id, owner=_owner(session)))
                inner = session.derive()
                inner.request = request_of(self._run.id)
                yield inner
                if fresh and not self._run.report:
                    raise _Nothing
        except _Nothing:
            self._run = None

    def keep(self, session: Session, **facts: Any) -> None:
        """Write how far the import came.

        Raises:
            Conflict: ``import_taken_over``: another process goes on with it, or it was undone.
        """
        assert self._run is not None
        self._run = _changed(session, self._run, facts)


def _owner(session: Session) -> str | None:
    return session.actor.id if session.actor.kind == "user" else None


def _changed(session: Session, run: ImportRun, facts: dict[str, Any]) -> ImportRun:
    with session._elevated_core(_WHY) as core:
        try:
            return core.update(ImportRun, run.id, facts, version=run.version)
        except Conflict as e:
            if e.code not in _STALE:
                raise
            raise Conflict("import_taken_over", run=run.id) from e


def find(session: Session, run: str) -> ImportRun:
    """Return the record of an import that the actor made, or may see; ``last`` is the latest of the actor's own that stands.

    Raises:
        NotFound: there is none for this actor.
    """
    mine = ImportRun.actor == session.actor.id
    with session._elevated_core(_WHY) as core:
        if run == LAST:
            runs = core.query(ImportRun).where(mine, ImportRun.state != ImportState.UNDONE)
            found = runs.order_by(ImportRun.created_at.desc(), ImportRun.id.desc()).first()
        else:
            found = core.find(ImportRun, run)
    if found is None or not (found.actor == session.actor.id or session.find(ImportRun, found.id)):
        raise NotFound(entity="import_run")
    return found


def going_on(session: Session, subject: Subject, run: str) -> ImportRun | None:
    """Return the import to go on with, taken from whoever was at it: the one asked for, else one of the same that broke off.

    Raises:
        NotFound: the one asked for is not there.
        Invalid: ``import_not_broken_off``, ``import_other_file``, ``import_other_mapping``.
    """
    found = _asked_for(find(session, run), subject) if run else _broken_off(session, subject)
    return found and _changed(session, found, {"attempts": found.attempts + 1})


def _asked_for(run: ImportRun, subject: Subject) -> ImportRun:
    if run.state is not ImportState.RUNNING:
        raise Invalid("import_not_broken_off", run=run.id, state=run.state.value)
    if run.checksum != subject.checksum:
        raise Invalid("import_other_file", run=run.id, path=subject.file, file=run.file)
    if run.mapping != subject.mapping:
        raise Invalid("import_other_mapping", run=run.id)
    return run


def _broken_off(session: Session, subject: Subject) -> ImportRun | None:
    same = (ImportRun.checksum == subject.checksum, ImportRun.mapping == subject.mapping)
    with session._elevated_core(_WHY) as core:
        runs = core.query(ImportRun).where(ImportRun.actor == session.actor.id, *same, ImportRun.state == ImportState.RUNNING)
        return runs.order_by(ImportRun.created_at.desc(), ImportRun.id.desc()).first()


def undone(session: Session, run: ImportRun) -> ImportRun:
    """Write that an import is taken back, so that nobody goes on with it."""
    return run if run.state is ImportState.UNDONE else _changed(session, run, {"state": ImportState.UNDONE})
