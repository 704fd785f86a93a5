"""Rules about records, the public face: ``F("stage") == "won"``, ``related("account", owner)``, ``owner | subordinates``.

One definition, read as SQL and as Python, kept as JSON. What the words mean, NULL included, stands in ``crm_core.permissions.predicates``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .entities.meta import spec
from .errors import Invalid
from .permissions.binding import any_record, bind
from .permissions.codec import from_json, to_json
from .permissions.predicates import F, Rule, actor, everything, nothing, owner, related, subordinates, team
from .permissions.to_python import holds

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from .entities.entity import Entity
    from .session import Session

__all__ = [
    "F",
    "Rule",
    "actor",
    "check",
    "criterion",
    "everything",
    "from_json",
    "matches",
    "nothing",
    "owner",
    "related",
    "sees_all",
    "subordinates",
    "team",
    "to_json",
]


def check(rule: Rule, entity: type[Entity], session: Session, *, stored: bool = False) -> Rule:
    """Check a rule that is data (a condition somebody wrote) against an entity, and return it ready for :func:`matches`.

    A field that the session's actor does not read as it is counts as one that is not there.

    Args:
        stored: others, who may see more, will apply the rule: its author must see all the related records that it asks.

    Raises:
        Invalid: ``rule_unknown_field``, ``rule_operator``, ``rule_constant``, ``rule_too_deep``, ``rule_needs_owner``,
            ``rule_sees_more``.
    """
    may_ask = partial(sees_all, session=session) if stored else any_record

    def hidden(of: type[Any]) -> set[str]:
        return {name for name, level in session.levels(of).items() if level in ("none", "masked")}

    return bind(
        rule, spec(entity), error=Invalid, extensions=session.crm.registry.extensions, custom=session.readable_custom,
        hidden=hidden, may_ask=may_ask,
    )  # fmt: skip


def sees_all(entity: type[Entity], session: Session) -> bool:
    """Say whether the session's actor sees every record of an entity, so that no question about them tells more."""
    policy = session.policy
    return policy.is_everything(policy.rule("read", entity))


def matches(rule: Rule, record: Entity, session: Session) -> bool:
    """Say whether a checked rule holds for the values of a record at hand, as its session's actor sees the world."""
    return holds(rule, session.codec(type(record)).values(record), session.facts)


def criterion(rule: Rule, entity: type[Entity], session: Session) -> ColumnElement[bool]:
    """Return a rule that is data as a condition for queries over *entity*: ``session.query(Contact).where(criterion(...))``.

    The query then goes through its session's lens like any other: a related record that its actor does not see counts as not there.

    Raises:
        Invalid: as :func:`check`, and ``rule_of_actor`` for a rule that means something else for each actor (owner, team, ...).
    """
    from .permissions.to_query import to_query

    return to_query(check(rule, entity, session), entity, lambda e: session.codec(e).fields)
