"""Another process with the club: says what the club does, and what of it can be used when it is asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta

from crm_core import CRM, Account, Actor, CRMError, lifespan, quarantine
from crm_core.inbound import Request
from tests.lifecycle.club import Award, Cards, club, system

REFRESH = 0.3


class Told(list[str]):
    """What is put in is said at once."""

    def append(self, what: str) -> None:
        say(what)


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def ended(work: Callable[[], object]) -> str:
    """Return how a call ended: the code of its error, or ``done``."""
    try:
        work()
    except CRMError as e:
        return e.code
    return "done"


def used(crm: CRM) -> dict[str, object]:
    """Use all that the club brings."""
    with crm.session(system(), write=False) as s:
        account = s.query(Account).where(Account.name == "few").one()
        panels = [p.name for p in s.view360(account).panels if p.plugin == "club"]
        service, action = ended(lambda: s.use(Cards)), [a.name for a in s.actions(account)]

    def debtor() -> None:
        with crm.session(system()) as s:
            s.create(Account(name="Debtor"))
            raise StopIteration

    def performed() -> None:
        with crm.session(system()) as s:
            s.perform(Award(account.ref))

    try:
        check = ended(debtor)
    except StopIteration:
        check = "passed"
    with crm.session(Actor("7", roles={"club.ours"}), write=False) as s:
        seen = [a.name for a in s.query(Account).where(Account.name.in_(["few", "many"])).all()]
    return {
        "service": service, "actions": action, "panels": panels, "check": check, "seen": seen, "action": ended(performed),
        "job": ended(lambda: crm.jobs.run("club.hourly")), "route": crm.answer(Request("POST", "/club/visits", {})).status,
    }  # fmt: skip


def asked(crm: CRM) -> dict[str, str]:
    """Read and write as its users do."""

    def read() -> None:
        with crm.session(system(), write=False) as s:
            s.query(Account).all()

    def write() -> None:
        with crm.session(system()) as s:
            s.create(Account(name="more"))

    return {"read": ended(read), "written": ended(write)}


def main(url: str) -> None:
    quarantine.LOOK_AGAIN, lifespan.TURN = timedelta(seconds=REFRESH), REFRESH / 3
    crm = CRM(url, plugins=[club(Told())])
    crm.start()
    say("ready")
    for line in sys.stdin:
        match line.strip():
            case "work":
                say({"delivered": crm.run_pending()})
            case "ask":
                say(asked(crm))
            case "use":
                say(used(crm))
    crm.close()


if __name__ == "__main__":
    main(sys.argv[1])
