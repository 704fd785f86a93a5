"""Backups: a file of all that a CRM keeps, or of one tenant, which can be proved and goes into either database again."""

from ..errors import BackupRefused
from ..storage.backup.archive import Manifest
from ..storage.backup.reading import Count
from .drilling import Drilled, drill
from .moving import move
from .restoring import restore
from .taking import backup, verify
from .tenants import drop_tenant

__all__ = [
    "BackupRefused",
    "Count",
    "Drilled",
    "Manifest",
    "backup",
    "drill",
    "drop_tenant",
    "move",
    "restore",
    "verify",
]
