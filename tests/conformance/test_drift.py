"""Where a plugin's revisions are behind its code CK07 says it in words, and no other rule says it once more."""

from __future__ import annotations

from crm_core import Created, Entity, Event, Field, Plugin, Session, field
from crm_core.testing.conformance import check
from tests.conformance.faulty.words import translate
from tests.conformance.subtle import drifting

behind = Plugin("acme.drifting", version="1.0.0", package=drifting.__name__)


class Entry(Entity):
    """An entry, with a note that is not frozen yet."""

    title: Field[str] = field(length=20)
    note: Field[str | None] = field(length=9)


behind.entities(Entry)
translate(behind)


def test_what_is_not_frozen_is_told_once_and_the_rules_that_need_tables_are_skipped() -> None:
    outcomes = {o.rule.id: o for o in check(behind).outcomes}
    assert outcomes["CK07"].reasons == (
        "no revision does what the code declares: add column crm_acme_drifting_entry.note (str(9)); run crm plugin freeze acme.drifting",
    )
    short = ("its revisions are behind its code (CK07): crm plugin freeze acme.drifting",)
    skipped = {id for id, o in outcomes.items() if o.outcome == "skipped"}
    assert {"CK01", "CK02", "CK03", "CK05", "CK09", "CK11", "CK15"} <= skipped
    assert {outcomes[id].reasons for id in skipped} == {short}
    assert all("freeze" not in reason for id, o in outcomes.items() if id not in skipped | {"CK07"} for reason in o.reasons)


def test_what_was_frozen_and_is_declared_otherwise_is_not_to_be_frozen_again() -> None:
    outcomes = {o.rule.id: o for o in check(drifting.plugin).outcomes}
    (changed,) = outcomes["CK07"].reasons
    assert changed.startswith("What a frozen revision declares is declared otherwise now, or gone: acme_drifting_entry.title.")
    assert outcomes["CK02"].reasons == ("its code declares otherwise what its revisions made: see CK07",)


joining = Plugin("acme.joining", version="1.0.0", requires={"acme.drifting": ">=1"})
joining.grants("acme.drifting.entry:read")


@joining.on(Created[Entry])
def look(s: Session, event: Event[Entry]) -> None:
    """Look at the entry."""
    s.get(Entry, event.record)


def test_what_requires_a_plugin_that_is_behind_is_told_where_to_look_and_breaks_no_rule_by_it() -> None:
    report = check(joining, others=[behind])
    outcomes = {o.rule.id: o for o in report.outcomes}
    short = "the revisions of acme.drifting, which it requires, are behind its code: crm plugin check acme.drifting"
    skipped = {id for id, o in outcomes.items() if o.outcome == "skipped"}
    assert {"CK01", "CK02", "CK03", "CK05", "CK07", "CK09", "CK11", "CK15"} <= skipped
    assert {outcomes[id].reasons for id in skipped} == {(short,)}
    assert {str(o.rule): o.reasons for o in report.failed if "behind" in str(o.reasons) or "freeze" in str(o.reasons)} == {}


def test_why_rules_were_skipped_is_said_once_in_a_report() -> None:
    for plugin, others in ((behind, []), (joining, [behind])):
        lines = "\n".join(check(plugin, others=others).lines())
        assert lines.count("behind its code") == 1, lines
