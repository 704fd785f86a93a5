"""Marketing: what hosts and other plugins call, ``session.use(Marketing)``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from crm_core import Channel, Contact, Link, Query, Ref, Session

from . import consent, figures, members, membership, revenue, sending, touches
from .attribution import AttributionModel
from .campaigns import Campaign
from .consent import Consent, SendAnswer
from .figures import Figures
from .members import CampaignMember, MemberStatus
from .membership import Operation, Overlap, Refreshed
from .people import Given, as_link, seen
from .plugin import plugin
from .revenue import Attribution, Roi
from .segments import Segment
from .sending import Sending
from .touches import Touch

CampaignLike = Campaign | Ref[Campaign]
SegmentLike = Segment | Ref[Segment]


@plugin.service
class Marketing:
    """The marketing module in one session; everything is done and seen as its actor may. People are contacts, leads or links to them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # Campaigns

    def enrol(self, campaign: CampaignLike, people: Iterable[Given] | SegmentLike) -> int:
        """Add people, or the contacts or leads of a segment, to a campaign, each once; return how many are new."""
        chosen = self._people(people) if isinstance(people, Segment | Ref) else people
        return members.enrol(self._session, _ref(campaign), chosen)

    def advance(self, campaign: CampaignLike, people: Iterable[Given], status: MemberStatus) -> int:
        """Bring members to a step, and return how many moved; who is there or further stays."""
        return members.advance(self._session, _ref(campaign), people, status)

    def members(self, campaign: CampaignLike) -> Query[CampaignMember]:
        """Return the query of a campaign's members whose person the actor sees."""
        return self._session.query(CampaignMember).where(CampaignMember.campaign == _ref(campaign), seen(self._session, CampaignMember))

    def send(
        self, campaign: CampaignLike, purpose: str, *, channel: Channel | None = None, size: int = 500, after: str | None = None
    ) -> Sending:
        """Take the next planned contacts of an active campaign; who consents counts as sent to, who does not stays planned.

        Raises:
            Refused: ``marketing.not_active``.
        """
        return sending.send(self._session, _ref(campaign), purpose, channel, size, after)

    def figures(self, campaign: CampaignLike) -> Figures:
        """Count and add up a campaign with all below it."""
        return figures.figures(self._session, _ref(campaign))

    def channel_mix(self, campaign: CampaignLike) -> dict[Channel, Figures]:
        """Count and add up a campaign with all below it by their channels; the parts sum to the whole."""
        return figures.channel_mix(self._session, _ref(campaign))

    # Consent

    def give_consent(
        self,
        person: Given,
        purpose: str,
        *,
        text: str,
        evidence: Mapping[str, Any],
        source: str,
        channel: Channel = Channel.EMAIL,
    ) -> Consent:
        """Record what a person agreed to; a consent in force stays as it is and is returned."""
        return consent.give(self._session, person, purpose, text=text, evidence=evidence, source=source, channel=channel)

    def withdraw(self, person: Given, purpose: str | None = None, *, channel: Channel | None = None) -> int:
        """End a person's consents, for one purpose or channel or all; nobody else is touched. Return how many ended."""
        return consent.withdraw(self._session, person, purpose, channel)

    def may_send(
        self, contacts: Iterable[str | Ref[Contact] | Contact], purpose: str, *, channel: Channel = Channel.EMAIL
    ) -> Iterator[SendAnswer]:
        """Say for each contact whether they may be written to at this moment, and why not; read in batches as you go."""
        return consent.may_send(self._session, contacts, purpose, channel)

    # Segments

    def preview(self, entity: str, rule: dict[str, Any], behaviour: Sequence[dict[str, Any]] = ()) -> int:
        """Count the records that a rule and behaviour (as JSON) find and the actor sees; nothing is stored."""
        return membership.preview(self._session, entity, rule, behaviour)

    def refresh(self, segment: SegmentLike) -> Refreshed:
        """Bring a dynamic segment up to date now; the module's job does it every 15 minutes."""
        return membership.refresh(self._session, _ref(segment))

    def add(self, segment: SegmentLike, records: Iterable[Given]) -> int:
        """Add records to a static segment; return how many are new."""
        return membership.put(self._session, _ref(segment), records, inside=True)

    def remove(self, segment: SegmentLike, records: Iterable[Given]) -> int:
        """Take records out of a static segment; return how many left."""
        return membership.put(self._session, _ref(segment), records, inside=False)

    def inside(self, segment: SegmentLike) -> Query[Any]:
        """Return the query of the records in a segment that the actor sees."""
        return membership.members(self._session, _ref(segment))

    def combined(self, operation: Operation, first: SegmentLike, second: SegmentLike) -> Query[Any]:
        """Return the query of the records in the union, intersection or difference of two segments."""
        return membership.combined(self._session, operation, _ref(first), _ref(second))

    def overlap(self, first: SegmentLike, second: SegmentLike) -> Overlap:
        """Count how two segments overlap, among the records that the actor sees."""
        return membership.overlap(self._session, _ref(first), _ref(second))

    # Effect

    def touch(
        self,
        person: Given,
        params: Mapping[str, str],
        *,
        campaign: CampaignLike | None = None,
        at: datetime | None = None,
        channel: Channel = Channel.WEB,
    ) -> Touch:
        """Record that somebody came to us, with the parameters of the link (``utm_source``, ``gclid``, ...).

        Args:
            campaign: else the one whose code is ``utm_campaign``.
            at: else now; not before the person's first touch.
        """
        return touches.touch(self._session, person, params, campaign=_ref(campaign) if campaign else None, at=at, channel=channel)

    def touches(self, person: Given) -> list[Touch]:
        """Return when and from where a person came, the first touch first."""
        return touches.touches_of(self._session, [person])

    def attribute(self, deal: Given, model: AttributionModel) -> Attribution:
        """Share what a won deal brought among its buyers' touches before it; the credits sum to the cent.

        Raises:
            NotFound: nothing was won with it, as far as the actor sees; without a module that sells, always.
        """
        return revenue.attribute(self._session, deal, model)

    def roi(self, campaign: CampaignLike, model: AttributionModel) -> Roi:
        """Say what a campaign, with those below it, brought by a model and cost."""
        return revenue.roi(self._session, _ref(campaign), model)

    def _people(self, segment: SegmentLike) -> Iterator[Link]:
        for record in membership.members(self._session, _ref(segment)).stream():
            yield as_link(record)


def _ref(given: Any) -> Any:
    return given if isinstance(given, Ref) else given.ref
