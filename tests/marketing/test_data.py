"""Published figures of two campaigns, through the module's own reports: Hillstrom's mailing and a bank's calls [C25, C27].

64,000 customers in three arms visited in 18.28, 15.14 and 10.62 % of cases; 5,289 of a bank's 45,211 clients said yes.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice
from pathlib import Path

import pytest

from crm_core import CRM, Channel, Contact, Session
from crm_core.rules import F, to_json
from crm_marketing.api import Campaign, CampaignKind, CampaignMember, Marketing, MemberStatus
from tests.figures import LONG
from tests.marketing.conftest import MANAGER, campaign

TestData = Callable[[str], Path]
Row = dict[str, str]
Facts = tuple[Campaign, MemberStatus]
CHUNK = 5_000


def percent(part: int, whole: int) -> Decimal:
    return (Decimal(100 * part) / whole).quantize(Decimal("0.01"), ROUND_HALF_UP)


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def load(s: Session, rows: Iterable[Row], contact: Callable[[int, Row], Contact], member: Callable[[Row], Facts]) -> None:
    """Create a contact and a member for each row, in batches."""
    number = 0
    for chunk in chunks(rows):
        people: Sequence[Contact] = s.create_many(contact(number + n, row) for n, row in enumerate(chunk)).ok
        facts = ((person, *member(row)) for person, row in zip(people, chunk, strict=True))
        s.create_many(CampaignMember(campaign=within.ref, contact=person.ref, status=step) for person, within, step in facts)
        number += len(chunk)


def analyze(crm: CRM) -> None:
    with crm.bound.begin() as connection:
        connection.exec_driver_sql("ANALYZE")  # as PostgreSQL does by itself within a minute


def hillstrom(path: Path) -> Iterator[Row]:
    with path.open(encoding="ascii", newline="") as file:
        yield from csv.DictReader(file)


def visited(row: Row) -> MemberStatus:
    if row["conversion"] == "1":
        return MemberStatus.CONVERTED
    if row["visit"] == "1":
        return MemberStatus.RESPONDED
    return MemberStatus.PLANNED if row["segment"] == "No E-Mail" else MemberStatus.SENT


def test_c25_hillstrom_visits_of_the_three_arms_are_those_published(crm: CRM, test_data: TestData) -> None:
    if crm.bound.kind == "postgresql" and not LONG:
        pytest.skip("64,000 rows on both databases, in the long form: CRM_TRUST_LONG=1")
    path = test_data("marketing/hillstrom_email/hillstrom.csv")
    plain: Counter[tuple[str, str]] = Counter()
    for row in hillstrom(path):
        plain.update([(row["segment"], "all")] + [(row["segment"], n) for n in ("visit", "conversion") if row[n] == "1"])
        assert row["visit"] == "1" or row["conversion"] == "0", "who buys has come"
    with crm.session(MANAGER) as s:
        whole = campaign(s, "Christmas")
        arms = {name: campaign(s, name, parent=whole.ref) for name in ("Mens E-Mail", "Womens E-Mail", "No E-Mail")}
        load(
            s,
            hillstrom(path),
            lambda n, row: Contact(name=f"Customer {n}", title=row["zip_code"]),
            lambda r: (arms[r["segment"]], visited(r)),
        )
    analyze(crm)
    with crm.session(MANAGER) as s:
        found = {name: s.use(Marketing).figures(arm) for name, arm in arms.items()}
        total = s.use(Marketing).figures(whole)
        assert s.use(Marketing).preview("contact", to_json(F("title") == "Rural")) == sum(r["zip_code"] == "Rural" for r in hillstrom(path))
    for name, figures in found.items():
        assert figures.total == plain[name, "all"]
        assert figures.reached(MemberStatus.RESPONDED) == plain[name, "visit"]
        assert figures.reached(MemberStatus.CONVERTED) == plain[name, "conversion"]
        assert figures.percent(MemberStatus.RESPONDED) == percent(plain[name, "visit"], plain[name, "all"])
    assert [str(f.percent(MemberStatus.RESPONDED)) for f in found.values()] == ["18.28", "15.14", "10.62"]
    assert (total.total, total.reached(MemberStatus.RESPONDED)) == (64_000, sum(n for (_, what), n in plain.items() if what == "visit"))
    print(f"{crm.bound.kind}: {total.total} members, visits {[str(f.percent(MemberStatus.RESPONDED)) for f in found.values()]} %")


def bank(path: Path) -> Iterator[Row]:
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("bank-full.csv"))
        with archive.open(name) as raw:
            yield from csv.DictReader(io.TextIOWrapper(raw, "utf-8", newline=""), delimiter=";")


def test_c25_c27_the_banks_calls_brought_5289_of_45211_and_segments_of_them_count_alike(crm: CRM, test_data: TestData) -> None:
    path = test_data("marketing/uci_bank_marketing/bank-additional.zip")
    jobs = Counter(row["job"] for row in bank(path))
    yes = Counter(row["job"] for row in bank(path) if row["y"] == "yes")
    with crm.session(MANAGER) as s:
        calls = campaign(s, "Term deposit", kind=CampaignKind.CALLS, channel=Channel.CALL)
        step = {"yes": MemberStatus.CONVERTED, "no": MemberStatus.SENT}
        load(s, bank(path), lambda n, row: Contact(name=f"Client {n}", title=row["job"]), lambda r: (calls, step[r["y"]]))
    analyze(crm)
    with crm.session(MANAGER) as s:
        marketing = s.use(Marketing)
        figures = marketing.figures(calls)
        for job in ("student", "retired", "blue-collar"):
            rule = to_json(F("title") == job)
            assert marketing.preview("contact", rule) == jobs[job]
    assert (figures.total, figures.reached(MemberStatus.CONVERTED)) == (45_211, 5_289) == (jobs.total(), yes.total())
    assert str(figures.percent(MemberStatus.CONVERTED)) == "11.70"
    print(f"{crm.bound.kind}: {figures.total} members, {figures.reached(MemberStatus.CONVERTED)} yes")
