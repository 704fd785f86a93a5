"""What is known of jobs: where each stands, and what came of its runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs

from ..errors import CRMError


class JobCancelled(CRMError):
    """Somebody cancelled the run. A job lets it pass, or tidies up and raises it again; what it did since its last checkpoint is undone."""

    default_code, status = "job_cancelled", 409


@attrs.frozen
class JobStatus:
    """Where a job stands in a tenant.

    Attributes:
        name: ``<plugin>.<function>``.
        every: its cron expression; None for a data migration.
        version: the version that a data migration leads to; else None.
        state: ``idle``, ``running``, ``waiting`` (for its next try), ``failed`` (a data migration that was tried too often), ``done`` (a
            data migration), ``resting`` (its plugin is in quarantine, or the tenant is suspended).
        last: the occurrence that was begun last; None where there was none.
        next: its next occurrence, or its next try; None where there is none.
        attempts: how often the occurrence in hand was begun.
        run: the run that began last, for ``crm.jobs.cancel``.
    """

    name: str
    tenant: str
    every: str | None
    version: str | None
    state: str
    last: datetime | None
    next: datetime | None
    attempts: int
    run: str | None


@attrs.frozen
class JobRun:
    """One try of a job.

    Attributes:
        slot: the occurrence it was for.
        attempt: its number, from 1.
        state: ``running``, ``cancelling``, ``done``, ``failed``, ``cancelled``, or ``lost`` (its process ended without a word).
        done, total: how far it came, in what the job counts.
        error: what it raised.
    """

    id: str
    job: str
    tenant: str
    slot: datetime
    attempt: int
    state: str
    started_at: datetime
    ended_at: datetime | None
    done: int | None
    total: int | None
    error: str | None

    @property
    def duration(self) -> timedelta | None:
        """How long it took; None while it runs."""
        return None if self.ended_at is None else self.ended_at - self.started_at


@attrs.frozen
class Claim:
    """The right to run one occurrence; *token* is the proof, and worth nothing once another was given out."""

    job: str
    tenant: str
    slot: datetime
    run: str
    token: int
    attempt: int
    checkpoint: Any
    lease: timedelta
