"""CK09 goes by what was used in the kit's run, and says of what it had to read the source."""

from __future__ import annotations

import attrs

from crm_core import CollectHook, Ctx, Entity, Event, Field, Plugin, Request, Response, Secret, Session, signed
from crm_core.testing.conformance import RULES, check
from tests.conformance.faulty import roundabout
from tests.conformance.faulty.words import translate

CK09 = [rule for rule in RULES if rule.id == "CK09"]
resting = Plugin("acme.resting", version="1.0.0")


class Nap(Entity):
    """A nap."""

    title: Field[str]


class Woken(Event[Nap], name="acme.resting.woken", version=1):
    """A nap ended."""


resting.entities(Nap)
resting.events(Woken)
wakers: CollectHook[Ctx, Nap, str] = CollectHook("acme.resting.wakers", per="item")
resting.hooks(wakers)


@attrs.define
class Settings:
    """What a tenant can set."""

    secret: Secret | None = None
    unread: str = ""


calling = Plugin("acme.calling", version="1.0.0", settings=Settings)


@calling.route("POST", "/calls", check=signed(Settings, "secret", header="X-Signature"))
def called(session: Session, request: Request) -> Response:
    """Answer."""
    return Response()


@resting.service
class Alarm:
    """What wakes, and what the kit's run does not call."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def ring(self, nap: Nap) -> None:
        """Ask, and tell."""
        wakers(Ctx(self._session), nap)
        self._session.emit(Woken(record=nap.ref))


translate(resting)


def test_what_a_run_shows_needs_no_look_into_the_source() -> None:
    (outcome,) = check(roundabout.plugin, rules=CK09).outcomes
    assert (outcome.reasons, outcome.notes) == ((), ())


def test_what_the_run_did_not_reach_is_read_in_the_source_and_the_report_says_so() -> None:
    (outcome,) = check(resting, rules=CK09).outcomes
    told = "the kit's run did not use the hook acme.resting.wakers, the event acme.resting.woken; of these the source was read"
    assert (outcome.reasons, outcome.notes) == ((), (told,))


def test_a_setting_that_signs_calls_is_read_and_another_is_not() -> None:
    (outcome,) = check(calling, rules=CK09).outcomes
    assert outcome.reasons == ("the setting unread is declared and never read",)
