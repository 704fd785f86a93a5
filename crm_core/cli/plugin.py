"""``crm plugin``: what a vendor does with a plugin."""

from __future__ import annotations

import click

from .plugin_check import check_


@click.group()
def plugin() -> None:
    """Write and prove a plugin."""


plugin.add_command(check_)
