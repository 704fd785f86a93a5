"""``manage.py migrate``: Django's own, whose ``--check`` and ``--plan`` see the CRM's migrations, too."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.commands import migrate

from crm_core.ext.django.pending import migrating, planned


class Command(migrate.Command):
    """Django's command; what it makes, and when, is Django's and :mod:`crm_core.ext.django.apps`' to do."""

    def check(self, *args: Any, **options: Any) -> None:
        """Check all but whether the CRM's tables are behind."""
        with migrating():
            super().check(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        """Look at the CRM's tables where the command only looks."""
        looks = options["check_unapplied"] or options["plan"]
        steps = planned(options["database"]) if looks and not options["app_label"] else []
        if steps:
            self.stdout.write("CRM:", self.style.MIGRATE_LABEL)
            for step in steps:
                self.stdout.write(f"  {step}")
        super().handle(*args, **options)
        if steps and options["check_unapplied"]:
            sys.exit(1)
