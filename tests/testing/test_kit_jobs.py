"""A kit runs jobs in its own transaction, where ``crm.jobs.run`` would see nothing of it, or wait for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_core import CRM, Account, AsyncCRMSession, Created, Denied, Entity, Event, Field, NotFound, Plugin, Ref, Runtime, Session, field
from crm_core.testing import open_kit
from crm_core.testing.conformance import RULES, check

plugin = Plugin("acme.visits", version="1.0.0")
plugin.grants("account:read")
heard: list[str] = []


class Visit(Entity):
    """A visit that is planned."""

    account: Field[Ref[Account]]
    source: Field[str] = field(unique=True)


plugin.entities(Visit)


@plugin.job(every="0 3 * * *", per_tenant=True)
def plan(s: Session) -> None:
    """Plan a visit to everybody, three at a time."""
    done, after = s.job.checkpoint or (0, None)
    while True:
        page = s.query(Account).order_by(Account.id).page(3, after=after)
        s.create_many([Visit(account=account.ref, source=account.id) for account in page])
        done, after = done + len(page), page.next
        s.job.progress(done, checkpoint=(done, after))
        assert s.job.checkpoint == [done, after]
        if after is None:
            break


@plugin.job(every="0 3 * * *")
async def look(s: AsyncCRMSession) -> None:
    """Look at all of it."""
    await s.run(lambda session: session.job.progress(session.query(Visit).count()))


@plugin.job(every="0 3 * * *")
def paint(s: Session) -> None:
    """Do what was not granted."""
    s.create(Account(name="Own"))


@plugin.on(Created[Visit])
def hear(s: Session, event: Event[Visit]) -> None:
    """Note who is to be visited."""
    heard.append(event.record.id)


def test_a_job_sees_what_the_kit_made_and_what_it_makes_is_delivered_and_gone(make_crm: Callable[..., CRM]) -> None:
    heard.clear()
    crm = make_crm(plugins=[plugin], runtime=Runtime.seeded(1))
    with open_kit(crm) as kit:
        kit.act_as(tenant="north")
        for _ in range(7):
            kit.make(Account)
        kit.run_job("acme.visits.plan")
        kit.run_job("acme.visits.look")
        assert kit.session.query(Visit).count() == 7
        kit.deliver()
        assert len(heard) == 7
        assert kit.events[-1].actor == "plugin:acme.visits"
    assert crm.jobs.runs() == []
    with open_kit(crm) as kit:
        kit.act_as(tenant="north")
        assert kit.session.query(Visit).count() == 0


def test_what_a_job_of_a_kit_raises_is_raised_and_undone_alone(make_crm: Callable[..., CRM]) -> None:
    with open_kit(make_crm(plugins=[plugin], runtime=Runtime.seeded(1))) as kit:
        kit.make(Account)
        with pytest.raises(Denied, match="account:create"):
            kit.run_job("acme.visits.paint")
        with pytest.raises(NotFound, match=r"did you mean acme\.visits\.plan"):
            kit.run_job("acme.visits.plam")
        assert kit.session.query(Account).count() == 1


def test_conformance_runs_a_job_beyond_its_first_look_at_its_checkpoint() -> None:
    broken = Plugin("acme.broken", version="1.0.0")

    @broken.job(every="0 3 * * *")
    def stumble(s: Session) -> None:
        """Fall after the first step."""
        s.job.progress(1, checkpoint=1)
        raise ZeroDivisionError

    (outcome,) = check(broken, rules=[rule for rule in RULES if rule.id == "CK02"]).outcomes
    assert (outcome.outcome, "acme.broken.stumble" in str(outcome.reasons)) == ("failed", True)
