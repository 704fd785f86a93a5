"""The app: ``manage.py migrate`` brings the CRM's tables up to date too, those of test databases included."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate

from .pending import check, found, upgrade

__all__ = ["CRMApp", "found", "migrated"]


class CRMApp(AppConfig):
    """The CRM as an app without models."""

    name = "crm_core.ext.django"
    label = "crm_core"
    verbose_name = "CRM"

    def ready(self) -> None:
        """Hear of migrations, and of checks of a database."""
        post_migrate.connect(migrated, sender=self)
        checks.register(check, checks.Tags.database)


def migrated(*, using: str, verbosity: int = 0, stdout: Any = None, **_: Any) -> None:
    """Bring the tables of the CRMs on a database up to date, after those of the models."""
    upgrade(using, verbosity, stdout)
