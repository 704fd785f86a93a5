"""A data migration, which runs where tables are made, is no reason for two runs to differ."""

from __future__ import annotations

from crm_core import CollectHook, Ctx, Entity, Field, Plugin, Session
from crm_core.testing.conformance import RULES, check

CK15 = [rule for rule in RULES if rule.id == "CK15"]
grown = Plugin("acme.grown", version="2.0.0")


class Ring(Entity):
    """A ring of a tree."""

    title: Field[str]


grown.entities(Ring)
grown.hooks(CollectHook[Ctx, Ring, str]("acme.grown.agers", per="item"))


@grown.data_migration("2.0.0")
def count_rings(session: Session) -> None:
    """Look at every ring."""
    session.query(Ring).count()


def test_a_plugin_with_a_data_migration_leaves_the_same_rows_twice() -> None:
    (outcome,) = check(grown, rules=CK15).outcomes
    assert (outcome.outcome, outcome.reasons) == ("passed", ())
