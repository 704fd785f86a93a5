"""CK16 counts statements: bulk reads come in pieces, and a batch that cannot be made is told with its reason."""

from __future__ import annotations

from crm_core import Change, Entity, Field, Plugin, WriteCtx, check_write
from crm_core.testing.conformance import check
from crm_core.testing.conformance.costing import hook_budget
from crm_core.testing.conformance.rule import Outcome
from tests.conformance.faulty import asking

TWO_PIECES = 501  # ids


def _tried(plugin: Plugin, batch: int = TWO_PIECES) -> Outcome:
    (outcome,) = check(plugin, batch=batch, rules=[hook_budget]).outcomes
    return outcome


class Parcel(Entity):
    """A parcel."""

    title: Field[str]


bulk = Plugin("acme.bulk", version="1.0.0")
bulk.entities(Parcel)


@bulk.hook(check_write, on=Parcel)
def look(ctx: WriteCtx, changes: list[Change]) -> None:
    """Read what is there in bulk, each time anew."""
    for _ in range(5):
        ctx.session.get_many(Parcel, [change.record.id for change in changes])


def test_a_hook_that_reads_in_bulk_is_right_also_where_the_ids_take_two_pieces() -> None:
    assert (_tried(bulk).outcome, _tried(bulk).reasons) == ("passed", ())


def test_a_hook_that_asks_for_each_record_is_seen_in_a_large_batch_too() -> None:
    (reason,) = _tried(asking.plugin).reasons
    assert asking.REASON in reason


class Crate(Entity):
    """A crate."""

    seal: Field[str]


picky = Plugin("acme.picky", version="1.0.0")
picky.entities(Crate)


@picky.hook(check_write, on=Crate)
def check_seal(ctx: WriteCtx, changes: list[Change]) -> None:
    """Take no seal but ours."""
    for change in changes:
        if not str(change.record.seal).startswith("A-"):  # type: ignore[attr-defined]  # a crate's
            ctx.refuse(change, "acme.picky.bad_seal", field="seal")


def test_a_batch_that_cannot_be_made_is_told_with_code_field_and_what_to_give() -> None:
    outcome = _tried(picky)
    assert outcome.outcome == "skipped"
    (why,) = outcome.reasons
    assert why == (
        "a batch of made-up acme.picky.crate is answered by refused (acme.picky.bad_seal of seal); "
        "give @example(Crate) in tests/conformance.py"
    )
