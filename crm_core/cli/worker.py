"""``crm worker``: deliver events until told to stop."""

from __future__ import annotations

import signal
from types import FrameType

import click

from .shell import Shell, connected


@click.command()
@click.option("--once", is_flag=True, help="Deliver what is due now, and end.")
@connected
def worker(shell: Shell, once: bool) -> None:
    """Deliver committed events to their subscribers, until interrupted."""
    crm = shell.open()
    crm.ports.demand()
    if once:
        click.echo(shell.text("cli_delivered", count=crm.run_pending()))
        return
    running = crm.worker()

    def stop(_: int, __: FrameType | None) -> None:
        running.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    click.echo(shell.text("cli_working"))
    running.run()
