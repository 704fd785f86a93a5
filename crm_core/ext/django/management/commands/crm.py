"""``manage.py crm ...``: the command ``crm`` on the CRM that the setting ``CRM`` names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Run a command of the CRM: ``manage.py crm worker``."""

    help = "Run a command of the CRM, such as worker, import or export."

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """Hand the rest of the line over."""
        self.handle(*argv[2:])

    def handle(self, *args: Any, **options: Any) -> None:
        """Run ``crm ARGS`` on the host's CRM."""
        import click

        from crm_core.cli.app import app

        for option in app.params:
            if isinstance(option, click.Option) and option.name in ("db", "app"):
                option.hidden = True  # the setting says it
        named = settings.CRM if isinstance(settings.CRM, str) else settings.CRM[0]
        module, _, name = named.rpartition(".")
        app(["--app", f"{module}:{name}", *args], prog_name="manage.py crm")
