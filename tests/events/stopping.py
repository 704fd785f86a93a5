"""A process that says when it is inside a batch and waits there; run by ``test_crashes.py``, which stops it."""

from __future__ import annotations

import sys
import time
from typing import Any

from crm_core.events.subscription import Fenced
from crm_core.testing.databases import Database
from tests.events.raw import RawHost


def main(url: str) -> None:
    """Deliver with a lease of a second; the first event takes half of it."""

    def handle(session: Any, event: Any) -> None:
        session.effect(event)
        print("inside", flush=True)
        time.sleep(0.5)

    host = RawHost(Database("postgresql", url), {"box.record": handle})
    try:
        done = host.delivery(lease=1).run_pending()
        print("delivered" if done else "failed", flush=True)
    except (Exception, Fenced):
        print("failed", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
