"""What was given for a personal, sensitive or secret field stands in no error, log line nor report of an import [S14] [C72] [A29]."""

from __future__ import annotations

import csv
import logging
import pickle
import traceback
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_core import Actor, Address, Conflict, CRMError, Email, Entity, Field, Invalid, ListField, Plugin, Role, field
from crm_core.io import Importer, Mapping, Source
from crm_core.rules import F

CANARIES = ("canary", "181518151815", "1815-", "271828", "Byron", "bruenett", "Zz9")


class Person(Entity):
    name: Field[str] = field(classified="personal")
    login: Field[str] = field(classified="personal", unique=True)
    born: Field[date | None] = field(default=None, classified="sensitive", max=date(2020, 1, 1))
    salary: Field[Decimal | None] = field(default=None, classified="sensitive", scale=2, max=Decimal(1000))
    pin: Field[int | None] = field(default=None, classified="secret", max=9)
    hair: Field[str | None] = field(default=None, length=4, classified="personal")
    emails: ListField[Email] = field(factory=list, classified="personal")
    addresses: ListField[Address] = field(factory=list, classified="personal")
    shoes: Field[int | None] = field(default=None, max=60)


hr = Plugin("hr", version="1.0")
hr.entities(Person)
WRONG: list[Callable[[Any, Any], Any]] = [
    lambda s, p: s.create(Person(name="Byron" * 99, login="a")),
    lambda s, p: s.create(Person(name="Byron\x00", login="a")),
    lambda s, p: s.create(Person(name="x", login="canary1")),  # taken
    lambda s, p: s.update(Person, p.id, {"salary": Decimal("271828.18")}),
    lambda s, p: s.update(Person, p.id, {"salary": "271828.183"}),
    lambda s, p: s.update(Person, p.id, {"salary": 271828}),
    lambda s, p: s.update(Person, p.id, {"pin": 181518151815}),
    lambda s, p: s.update(Person, p.id, {"pin": "181518151815"}),
    lambda s, p: s.update(Person, p.id, {"born": "1815-13-13"}),
    lambda s, p: s.create(Person(name="x", login="a", born=181518151815)),  # type: ignore[arg-type]  # a caller's mistake
    lambda s, p: s.update(Person, p.id, {"hair": "bruenett"}),
    lambda s, p: s.update(Person, p.id, {"pin": 3}, version=7),  # stale
    lambda s, p: s.update(Person, p.id, {"emails": [{"address": "canary at example"}]}),
    lambda s, p: s.update(Person, p.id, {"addresses": [{"street": "x", "country": "Zz9"}]}),
    lambda s, p: s.query(Person).where(Person.salary > Decimal("271828.18281")).all(),
    lambda s, p: s.query(Person).where(Person.salary > Decimal("2.71828E+40")).all(),
    lambda s, p: s.query(Person).where(Person.name == "Byron\ud800").all(),
    lambda s, p: s.query(Person).matching({"pin": "181518151815x"}, allow=["pin"]).all(),
    lambda s, p: s.query(Person).matching({"born__gt": "1815-13-13"}, allow=["born"]).all(),
    lambda s, p: s.query(Person).matching({"salary": "271828e9"}, allow=["salary"]).all(),
    lambda s, p: s.upsert(Person(name="Byron", login="canary1", pin=181518151815), on="login"),
    lambda s, p: Person(name="x", login="y", salry=271828),  # type: ignore[call-arg]  # mistyped
    lambda s, p: s.define_role(Role("odd").allow(Person, "read", where=F("pin") == "181518151815")),
    lambda s, p: s.define_role(Role("odd").allow(Person, "read", where=F("born").in_([181518151815]))),
]


@pytest.fixture
def crm(make_crm: Callable[..., Any]) -> Any:
    return make_crm(plugins=[hr])


def hits(told: str) -> list[str]:
    return [word for word in CANARIES if word in told]


def told(error: CRMError, crm: Any) -> str:
    """Return all that a host can write down of an error, as a log with its traceback does it."""
    texts = [repr(error), str(error), repr(error.params), repr(error.details), repr(pickle.loads(pickle.dumps(error)).params)]
    texts += [f"{error.message(locale, crm.messages)} {error.problem(locale, crm.messages)}" for locale in ("en", "zh")]
    frames = "".join(traceback.format_exception(error))
    return "\n".join([*texts, *(line for line in frames.splitlines() if not line.startswith("    "))])  # without lines of code


def test_no_error_tells_what_was_given(crm: Any, officer: Actor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    with crm.session(officer) as s:
        person = s.create(Person(name="canary0", login="canary1"))
        s.update(Person, person.id, {"name": "canary2"})
    found = []
    for number, work in enumerate(WRONG):
        with pytest.raises(CRMError) as e, crm.session(officer) as s:
            work(s, person)
        found += [(number, e.value.code, word) for word in hits(told(e.value, crm))]
    assert found == []
    assert [record.getMessage() for record in caplog.records if hits(record.getMessage())] == []


def test_an_error_of_a_field_about_nobody_still_tells_it(crm: Any, officer: Actor) -> None:
    with pytest.raises(Invalid) as e, crm.session(officer) as s:
        s.create(Person(name="x", login="y", shoes=99))
    assert e.value.details[0].value == "99"


def test_the_report_of_an_import_does_not_and_its_error_file_has_the_rows_as_they_came(crm: Any, officer: Actor, tmp_path: Path) -> None:
    fields = ("name", "login", "born", "salary", "pin", "hair")
    rows = [
        ["Byron", "a", "1815-13-13", "1", "1", ""],
        ["Byron", "b", "", "271828,18", "1", ""],
        ["Byron", "c", "", "271828.18", "1", ""],
        ["Byron", "d", "", "1", "181518151815", ""],
        ["Byron", "e", "", "1", "x181518151815", ""],
        ["Byron", "f", "", "1", "1", "bruenett"],
    ]
    table, errors = tmp_path / "in.csv", tmp_path / "errors.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([fields, *rows])
    report = Importer(crm, officer, Mapping(entity="hr.person", fields={n: Source(n) for n in fields})).run(table, errors=errors)
    assert (report.created, report.failed) == (0, 6)
    assert [hits(repr(failure) + told(failure.error, crm)) for failure in report.failures] == [[]] * 6
    with errors.open(newline="") as file:
        _, *kept = csv.reader(file)
    assert sorted(row[2:] for row in kept) == sorted(rows)
    assert [hits(row[1]) for row in kept] == [[]] * 6


def test_the_sides_of_a_conflict_are_in_its_parameters_alone(crm: Any, officer: Actor) -> None:
    """Who has to decide sees the names of both sides; a log that writes the message does not, and what is sensitive nobody does."""
    with crm.session(officer) as s:
        person = s.create(Person(name="canary0", login="canary1"))
        s.update(Person, person.id, {"name": "canary2", "pin": 3})
    with pytest.raises(Conflict) as e, crm.session(officer) as s:
        s.update(Person, person.id, {"name": "Byron", "pin": 5}, version=1)
    sides = [e.value.params[side] for side in ("yours", "theirs", "base")]
    assert [side["name"] for side in sides] == ["Byron", "canary2", "canary0"]
    assert {side["pin"] for side in sides} == {"***"}
    frames = "".join(traceback.format_exception_only(e.value))
    assert hits("\n".join([repr(e.value), str(e.value), e.value.message("zh", crm.messages), frames])) == []
