"""What people did in the last days: visits and steps in campaigns, as conditions of segments, compiled to SQL [C27]."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

import attrs
from sqlalchemy import ColumnElement, func, select

from crm_core import Entity, Invalid, Ref, Session
from crm_core.rules import Rule, check, criterion, everything, from_json, sees_all, to_json

from .members import CampaignMember
from .people import as_id, columns
from .touches import Touch

Kind = Literal["touch", "campaign"]
_KINDS: Mapping[str, tuple[Any, Any]] = {"touch": (Touch, Touch.at), "campaign": (CampaignMember, CampaignMember.status_at)}
_LONGEST = 3660
_MOST_OFTEN = 1_000_000


@attrs.frozen
class Behaviour:
    """That somebody did something at least so often in the last days, or did not.

    Attributes:
        of: ``touch``, a visit; ``campaign``, a step in a campaign, at the time of the last one there.
        days: of 24 hours, back from the moment somebody looks.
        where: a rule on the visits (``F("channel") == "web"``) or members (``F("status").in_(["opened", "responded"])``).
        least: how often.
        never: that they did not.
    """

    of: Kind
    days: int
    where: Rule = everything
    least: int = 1
    never: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what a segment keeps."""
        return {"of": self.of, "days": self.days, "where": to_json(self.where), "least": self.least, "never": self.never}

    @classmethod
    def from_json(cls, data: Any) -> Behaviour:
        """Read what a segment keeps.

        Raises:
            Invalid: ``marketing.bad_behaviour``, or what is wrong with the rule.
        """
        if not isinstance(data, dict) or data.keys() - {a.name for a in attrs.fields(cls)} or not {"of", "days"} <= data.keys():
            raise Invalid("marketing.bad_behaviour", expected="of, days and maybe where, least, never")
        found = cls(**{**data, "where": from_json(data["where"]) if "where" in data else everything})
        whole = all(type(n) is int for n in (found.days, found.least)) and type(found.never) is bool
        if not whole or found.of not in list(_KINDS) or not 0 < found.days <= _LONGEST or not 0 < found.least <= _MOST_OFTEN:
            raise Invalid(
                "marketing.bad_behaviour", expected=f"of {', '.join(_KINDS)}, days from 1 to {_LONGEST}, least from 1 to {_MOST_OFTEN}"
            )
        return found


def check_behaviour(session: Session, data: Any) -> None:
    """Check that an author sees all that a behaviour which others will apply speaks of.

    Raises:
        Invalid: ``marketing.bad_behaviour``, ``rule_sees_more``, or what is wrong with the rule.
    """
    behaviour = Behaviour.from_json(data)
    what, _ = _KINDS[behaviour.of]
    if not sees_all(what, session):
        raise Invalid("rule_sees_more", entity=behaviour.of)
    check(behaviour.where, what, session, stored=True)


def did(session: Session, entity: type[Entity], data: Any) -> ColumnElement[bool]:
    """Return a stored behaviour as a condition on contacts or leads.

    Raises:
        Invalid: ``marketing.bad_behaviour``: it cannot be read; ``marketing.not_a_person``: these records are no people.
    """
    behaviour, mine = Behaviour.from_json(data), columns(Ref(entity, ""))
    what, at = _KINDS[behaviour.of]
    person = what.contact if mine["contact"] else as_id(entity, what.lead)
    now = session.crm.runtime.clock.now()
    when = (at > now - timedelta(days=behaviour.days), at <= now)
    theirs = select(person).where(person == entity.id, *when, criterion(behaviour.where, what, session))
    found = theirs.group_by(person).having(func.count() >= behaviour.least).exists()
    return ~found if behaviour.never else found
