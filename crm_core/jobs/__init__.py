"""Work that plugins do again and again, and data migrations: when, once at a time over all processes, with a log of what came of it."""

from .state import JobCancelled, JobRun, JobStatus

__all__ = ["JobCancelled", "JobRun", "JobStatus"]
