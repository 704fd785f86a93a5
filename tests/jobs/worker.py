"""A worker as a process of its own: it runs the jobs that are due, and hangs in the midst of one where it is told to."""

from __future__ import annotations

import os
import sys
import time

from crm_core import CRM, Account, Plugin, Session

STEPS = 4
plugin = Plugin("acme", version="1.0")
plugin.grants("account:read,create")


@plugin.job(every="0 3 * * *")
def long(s: Session) -> None:
    """Make a record a step; each is committed with the checkpoint after it."""
    for step in range(s.job.checkpoint or 0, STEPS):
        s.create(Account(name=f"step {step} of process {os.getpid()}"))
        if "--hang" in sys.argv and step == STEPS // 2:
            print("halfway", flush=True)
            time.sleep(600)
        s.job.progress(step + 1, STEPS, checkpoint=step + 1)


def main() -> None:
    """Begin the job, or run what is due; say how many jobs were done."""
    crm = CRM(sys.argv[1], plugins=[plugin])
    if "--hang" in sys.argv:
        crm.jobs.run("acme.long")
    print("done:", crm.jobs.run_due(), flush=True)
    crm.close()


if __name__ == "__main__":
    main()
