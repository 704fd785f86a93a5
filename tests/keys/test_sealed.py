"""Sealed fields through create, read, change and select [C72]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import case, func, literal, select, union, union_all

from crm_core import CRM, Account, Actor, Conflict, Invalid, LoadError, NotReadable, alias
from tests.keys.clinic import CLINIC, FULL, IBAN, SEALED, Credit, Patient, Visit, stored


def test_a_crm_without_keys_does_not_load_sealed_fields_and_says_what_to_do(databases: Any) -> None:
    with pytest.raises(LoadError) as e:
        CRM("sqlite://", plugins=[CLINIC])
    assert e.value.code == "sealed_needs_keys"
    assert "keys=FileKeys(" in str(e.value)


def test_every_kind_of_sealed_field_comes_back_as_it_was(s: Any) -> None:
    made = s.create(Patient(**FULL))
    read = s.get(Patient, made.id)
    assert {n: getattr(read, n) for n in FULL} == FULL
    assert {n: getattr(s.query(Patient).one(), n) for n in FULL} == FULL
    assert s.crm.from_json(Patient, {k: v for k, v in s.crm.to_json(read).items() if k in FULL}).debt == FULL["debt"]
    columns = [getattr(Patient, n) for n in sorted(FULL)]
    assert list(s.execute(select(*columns)).one()) == [FULL[n] for n in sorted(FULL)]


def test_nothing_sealed_stands_in_the_row(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        made = s.create(Patient(**FULL))
    row = stored(crm, Patient, made.id)
    for name in SEALED:
        assert getattr(row, name).startswith("1A")
    assert IBAN not in repr(row)
    assert row.name == "Ada"
    assert row.iban_blind.startswith("1:")


def test_empty_sealed_fields_stay_null_and_change_in_every_way(s: Any) -> None:
    made = s.create(Patient(name="Bob"))
    assert s.get(Patient, made.id).iban is None
    assert s.update(Patient, made.id, {"iban": IBAN, "born": "1990-01-02"}).iban == IBAN
    record = s.get(Patient, made.id)
    record.iban, record.story = None, "new"
    s.save(record)
    assert (s.get(Patient, made.id).iban, s.get(Patient, made.id).story) == (None, "new")
    assert s.query(Patient).where(Patient.iban.is_(None)).count() == 1
    assert s.query(Patient).where(Patient.story != None).count() == 1  # noqa: E711  # SQL
    s.delete(s.get(Patient, made.id))
    assert s.restore(Patient, made.id).story == "new"


def test_a_sealed_field_comes_out_of_any_select(s: Any) -> None:
    a, b = s.create_many([Patient(name="A", iban="1"), Patient(name="B", iban="2")]).ok
    s.create(Visit(patient=a.ref, words="cough"))
    other = alias(Patient)
    inner = select(Patient.id, Patient.iban.label("account")).subquery()
    assert s.execute(select(inner.c.account).order_by(inner.c.id)).scalars().all() == ["1", "2"]
    assert s.execute(select(other.iban, Visit.words).join(Visit, Visit.patient == other.id)).one() == ("1", "cough")
    assert set(s.execute(union_all(select(Patient.iban), select(other.iban))).scalars()) == {"1", "2"}
    cte = select(Patient.iban, Patient.name).where(Patient.name == "B").cte()
    assert s.execute(select(cte.c.iban)).scalar_one() == "2"
    assert s.execute(select(select(Patient.iban).where(Patient.id == b.id).scalar_subquery())).scalar_one() == "2"
    assert {(r.name, r.iban) for r in s.execute(select(Patient.name, Patient.iban))} == {("A", "1"), ("B", "2")}


@pytest.mark.parametrize(
    "build",
    [
        lambda: Patient.iban < "D",
        lambda: Patient.iban.like("D%"),
        lambda: Patient.iban.startswith("D"),
        lambda: Patient.iban.desc(),
        lambda: Patient.iban + "x",
        lambda: "x" + Patient.iban,
        lambda: Patient.iban == Patient.card,
        lambda: Patient.iban == func.lower("x"),
        lambda: Patient.iban == literal("x"),
        lambda: Patient.iban.in_(select(Patient.name)),
        lambda: Patient.iban.in_("x"),
        lambda: Patient.iban == 5,
        lambda: Patient.story == "x",
        lambda: Patient.smokes == True,  # noqa: E712  # SQL
        lambda: Patient.iban.between("a", "b"),
        lambda: Patient.iban.distinct(),
        lambda: Patient.notes["a"],
    ],
)
def test_what_a_sealed_field_cannot_do_is_invalid_when_it_is_written(build: Callable[[], Any]) -> None:
    with pytest.raises(Invalid) as e:
        build()
    assert e.value.code in ("sealed_operator", "sealed_not_searchable", "invalid")


REFUSED: list[Callable[[], Any]] = [
    lambda: select(Patient.id).order_by(Patient.iban),
    lambda: select(Patient.iban).order_by("iban"),
    lambda: select(Patient.iban.label("x")).order_by("x"),
    lambda: select(Patient.iban.label("x")).group_by("x"),
    lambda: select(func.count(Patient.iban)),
    lambda: select(func.max(Patient.iban)),
    lambda: select(func.lower(Patient.iban)),
    lambda: select(func.count()).group_by(Patient.iban),
    lambda: select(Patient.iban).distinct(),
    lambda: union(select(Patient.iban), select(Patient.iban)),
    lambda: select(case((Patient.name == "x", Patient.iban))),
    lambda: select(func.coalesce(Patient.iban, "x")),
    lambda: select(func.row_number().over(order_by=Patient.iban)),
    lambda: select(Patient.id).where(func.length(Patient.iban) > 3),
]


def test_what_a_sealed_field_cannot_do_is_invalid_when_it_runs(s: Any) -> None:
    for build in REFUSED:
        with pytest.raises(Invalid) as e:
            s.execute(build())
        assert e.value.code == "sealed_operator"


def test_queries_and_query_strings_say_the_same(s: Any) -> None:
    s.create(Patient(name="A", iban="1"))
    with pytest.raises(Invalid):
        s.query(Patient).order_by(Patient.iban)
    for params in ({"iban__lt": "2"}, {"iban__startswith": "1"}, {"sort": "iban"}):
        with pytest.raises(Invalid):
            s.query(Patient).matching(params, allow=["iban"]).all()
    assert s.query(Patient).matching({"iban": "1"}, allow=["iban"]).count() == 1
    assert s.query(Patient).matching({"iban__in": "2,1", "born__isnull": "true"}, allow=["iban", "born"]).count() == 1


def test_records_are_found_by_whole_values_alone(s: Any) -> None:
    a, b, _ = s.create_many([Patient(name="A", iban="1", born=FULL["born"]), Patient(name="B", iban="é"), Patient(name="C")]).ok
    assert s.query(Patient).where(Patient.iban == "1").one().id == a.id
    assert s.query(Patient).where(Patient.iban == "e\u0301").one().id == b.id
    assert s.query(Patient).where(Patient.born == FULL["born"]).one().id == a.id
    assert {p.id for p in s.query(Patient).where(Patient.iban.in_(["1", "é", "?"])).all()} == {a.id, b.id}
    assert [p.name for p in s.query(Patient).where(Patient.iban != "1").all()] == ["B"]
    assert [p.name for p in s.query(Patient).where(Patient.iban.not_in(["1"])).all()] == ["B"]
    assert s.query(Patient).where(Patient.iban.in_([])).all() == []
    assert s.query(Patient).where((Patient.iban == "x") | (Patient.iban == "1")).page(5).items[0].id == a.id
    other = alias(Patient)
    assert s.execute(select(other.name).where(other.iban == "1")).scalar_one() == "A"


def test_a_unique_sealed_field_is_unique_and_upsert_finds_by_it(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        made = s.create(Patient(name="A", card="C-1"))
        with pytest.raises(Conflict) as e:
            s.create(Patient(name="B", card="C-1"))
        assert (e.value.code, e.value.params["field"]) == ("not_unique", "card")
        assert s.upsert(Patient(name="A2", card="C-1"), on="card").id == made.id
        assert s.upsert(Patient(name="N", card="C-2"), on="card").id != made.id
        result = s.create_many([Patient(name="x", card="C-1"), Patient(name="y", card="C-9")], on_error="collect")
        assert [row for row, _ in result.failed] == [0]
        s.delete(s.get(Patient, made.id))
        s.create(Patient(name="B", card="C-1"))
    with crm.session(Actor.system("tests", tenant="other")) as s:
        s.create(Patient(name="elsewhere", card="C-1"))


def test_an_extension_has_sealed_fields_too(s: Any) -> None:
    made = s.create(Account(name="Acme"))
    made[Credit].score = "AAA"
    s.save(made)
    assert s.get(Account, made.id)[Credit].score == "AAA"
    assert s.query(Account).where(Credit.score == "AAA").one().id == made.id
    assert s.execute(select(Credit.score)).scalar_one() == "AAA"


def test_masked_and_hidden_sealed_fields_tell_nothing(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        made = s.create(Patient(**FULL))
    clerk = Actor("c", roles={"clerk"})
    with crm.session(clerk) as s:
        assert s.get(Patient, made.id).iban == "***"
        assert s.execute(select(Patient.iban)).scalar_one() == "***"
        with pytest.raises(NotReadable):
            _ = s.get(Patient, made.id).card
        for criterion in (Patient.iban == IBAN, Patient.card == "C-1", Patient.card.is_(None)):
            with pytest.raises(NotReadable):
                s.query(Patient).where(criterion).all()


def test_repr_and_conflicts_do_not_show_sealed_values(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        made = s.create(Patient(**FULL))
        assert IBAN not in repr(made)
        assert "iban=***" in repr(made)
        s.update(Patient, made.id, {"iban": "X", "name": "B"})
        with pytest.raises(Conflict) as e:
            s.update(Patient, made.id, {"iban": "MINE", "name": "C"}, version=1)
        assert {e.value.params[k][n] for k in ("yours", "theirs", "base") for n in ("iban", "name")} == {"***"}


def test_equal_values_show_as_equal_in_one_field_of_one_tenant_alone(crm: Any, admin: Actor) -> None:
    """[A25]"""
    with crm.session(admin) as s:
        a, b = s.create_many([Patient(name="A", iban="1", card="1"), Patient(name="B", iban="1")]).ok
    with crm.session(Actor.system("tests", tenant="other")) as s:
        c = s.create(Patient(name="C", iban="1"))
    first, second, other = (stored(crm, Patient, r.id) for r in (a, b, c))
    assert first.iban_blind == second.iban_blind
    assert first.iban != second.iban
    assert len({first.iban_blind, first.card_blind, other.iban_blind}) == 3
