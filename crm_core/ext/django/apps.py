"""The app: ``manage.py migrate`` brings the CRM's tables up to date too, those of test databases included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.module_loading import import_string

from ...crm import CRM
from ...storage.django import DjangoBound


class CRMApp(AppConfig):
    """The CRM as an app without models."""

    name = "crm_core.ext.django"
    label = "crm_core"
    verbose_name = "CRM"

    def ready(self) -> None:
        """Hear of migrations."""
        post_migrate.connect(migrated, sender=self)


def found() -> Sequence[CRM]:
    """Return the host's CRMs: what the setting ``CRM`` names, one or a list.

    Raises:
        ImproperlyConfigured: there is no such setting.
    """
    named = getattr(settings, "CRM", None)
    if not named:
        raise ImproperlyConfigured('The setting CRM says where your CRM is, like CRM = "shop.crm.crm"')
    return [import_string(each) for each in ([named] if isinstance(named, str) else named)]


def migrated(*, using: str, **_: Any) -> None:
    """Bring the tables of the CRMs on a database up to date, after those of the models."""
    for crm in found():
        if isinstance(crm.bound, DjangoBound) and crm.bound.alias == using:
            crm.migrations.upgrade()
