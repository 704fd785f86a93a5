"""[C76] A custom field is in rights, journal, history, events, forms, schemas, files, erasure and hooks like any other."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Account, Actor, Contact, Email, Invalid, LoadError, Plugin, Role, Runtime, Session, Updated, before_write, custom
from crm_core.io import Importer, export, mapping_of
from crm_core.privacy import erase
from crm_core.rules import F, criterion, from_json, matches, to_json

ADMIN = Actor.system("setup", tenant="acme")
REP = Actor("7", tenant="acme", roles={"rep"})
BOSS = Actor("8", tenant="acme", roles={"boss"}, locale="zh_CN")

plugin = Plugin("acme.watch", version="1.0")
SEEN: list[Any] = []


@plugin.hook(before_write, on=Contact)
def shout(ctx: Any, changes: Any) -> Any:
    """Write a custom field from a hook."""
    for change in changes:
        if change.record.custom.get("nick"):
            change.record.custom["nick"] = change.record.custom["nick"].upper()
    return changes


@plugin.on(Updated[Account])
def watch(session: Session, event: Updated[Account]) -> None:
    """Note what an event tells of."""
    SEEN.append(dict(event.changes))


plugin.grants("account:read")


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    everything = ("read", "create", "update", "delete", "export")
    rep = Role("rep").allow(Account, *everything, fields={"custom.salary": "none", "custom.grade": "read"}).allow(Contact, *everything)
    boss = Role("boss").allow(Account, *everything).allow(Contact, *everything)
    return make_crm(plugins=[plugin], roles=[rep, boss], runtime=Runtime.seeded(1))  # type: ignore[no-any-return]


def unknown(call: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as e:
        call()
    return [(d.field, d.code) for d in e.value.details] or [(e.value.params["field"], e.value.code)]


def test_a_hidden_field_is_as_unknown_as_one_that_is_not_there(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        rights: dict[str, dict[str, Any]] = {"salary": {}, "grade": {}, "bonus": {"readers": ["boss"]}, "note": {"writers": ["boss"]}}
        for name, given in rights.items():
            s.custom_fields.add(Account, name, **given)
        made = s.create(Account(name="A", custom={"salary": "1", "grade": "2", "bonus": "3", "note": "4"}))
    with crm.session(BOSS) as s:
        assert s.get(Account, made.id).custom == {"bonus": "3", "grade": "2", "note": "4", "salary": "1"}
    with crm.session(REP) as s:
        seen = s.get(Account, made.id)
        assert seen.custom == {"grade": "2", "note": "4"}
        assert s.query(Account).where(custom("grade") == "2").all() == [seen]
        for name in ("salary", "bonus", "nothing"):
            full = f"custom.{name}"
            assert unknown(lambda full=full: s.update(Account, made.id, {full: "9"})) == [(full, "unknown_field")]
            assert unknown(lambda name=name: s.create(Account(name="B", custom={name: "9"}))) == [(full, "unknown_field")]
            assert unknown(lambda name=name: s.query(Account).where(custom(name) == "9")) == [(full, "rule_unknown_field")]
            assert unknown(lambda name=name: s.query(Account).order_by(custom(name))) == [(full, "unknown_field")]
            assert unknown(lambda name=name: s.custom_fields.column(Account, name)) == [(full, "unknown_field")]
            with pytest.raises(Invalid, match="no field"):
                seen.custom[name]
        for name in ("grade", "note"):
            assert unknown(lambda name=name: s.update(Account, made.id, {f"custom.{name}": "9"})) == [
                (f"custom.{name}", "field_not_writable")
            ]
        assert set(s.describe(Account)["fields"]) & {"custom.salary", "custom.bonus", "custom.grade"} == {"custom.grade"}
        assert "salary" not in s.json_schema(Account)["properties"]["custom"]["properties"]


def test_a_statement_that_was_built_by_who_sees_a_field_tells_who_does_not_nothing(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "salary", kind="integer")
        s.create(Account(name="A", custom={"salary": 3}))
        column = s.custom_fields.column(Account, "salary")
        assert list(s.execute(select(Account.name, column))) == [("A", 3)]
    with crm.session(REP) as s:
        assert list(s.execute(select(Account.name, column))) == [("A", None)]
        assert s.execute(select(func.count()).select_from(Account).where(column == 3)).scalar_one() == 0
    with crm.session(Actor.system("x", tenant="other")) as s:
        s.create(Account(name="B"))
        assert list(s.execute(select(Account.name, column))) == [("B", None)]


def test_changes_are_in_the_journal_and_the_past_is_found_by_them(crm: CRM) -> None:
    clock = crm.runtime.clock
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "weight", kind="decimal", scale=2)
        made = s.create(Account(name="A", custom={"weight": "1.50"}))
    then = clock.now()
    clock.advance(timedelta(hours=1))  # type: ignore[attr-defined]  # a fixed one
    with crm.session(ADMIN) as s:
        s.update(Account, made.id, {"custom.weight": "2.25"})
        past = s.as_of(then)
        assert past.get(Account, made.id).custom == {"weight": Decimal("1.50")}
        assert [a.id for a in past.query(Account).where(custom("weight") == Decimal("1.5")).order_by(custom("weight")).all()] == [made.id]
        assert past.query(Account).where(custom("weight") > 2).count() == 0
        assert s.view360(made, at=then).record.custom == {"weight": Decimal("1.50")}
        journal = crm.tables.system.journal
        rows = s._unit.connection.execute(select(journal.c.payload).where(journal.c.record == made.id).order_by(journal.c.id)).scalars()
        created, updated = rows
        assert created["new"]["custom.weight"] == "1.50"
        assert updated["changes"] == {"custom.weight": ["1.50", "2.25"]}


def test_events_tell_of_custom_fields_to_whom_may_read_them(crm: CRM) -> None:
    SEEN.clear()
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "grade")
        s.custom_fields.add(Account, "salary", readers=["boss"])
        made = s.create(Account(name="A"))
        s.update(Account, made.id, {"custom": {"grade": "1", "salary": "2"}})
    crm.run_pending()
    assert [sorted(changes) for changes in SEEN] == [["custom.grade"]]


def test_a_hook_changes_a_custom_field_and_it_is_checked(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Contact, "nick", pattern="[a-zA-Z]+")
        assert s.create(Contact(name="Ann", custom={"nick": "annie"})).custom["nick"] == "ANNIE"


def test_rules_that_are_stored_as_json_ask_for_custom_fields(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "tier", kind="choice", options=["gold", "tin"])
        s.custom_fields.add(Account, "size", kind="integer")
        for n, tier in enumerate(("gold", "tin", None)):
            s.create(Account(name=f"a{n}", custom={"tier": tier, "size": n}))
        rule = from_json(to_json((F("custom.tier") == "gold") | ((F("custom.size") >= 2) & F("custom.tier").is_null())))
        assert [a.name for a in s.query(Account).where(criterion(rule, Account, s)).order_by(Account.name).all()] == ["a0", "a2"]
        assert [a.name for a in s.query(Account).order_by(Account.name).all() if matches(rule, a, s)] == ["a0", "a2"]
        assert [
            a.name for a in s.query(Account).matching({"custom.size__gte": "1", "sort": "-custom.size"}, allow=["custom.size"]).all()
        ] == [
            "a2",
            "a1",
        ]


def test_forms_and_schemas_call_a_field_by_the_language_of_who_asks(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        options = {"gold": {"en": "Gold", "zh": "金"}}
        s.custom_fields.add(Account, "tier", kind="choice", label={"en": "Tier", "zh": "等级"}, options=options, required=True)
        s.custom_fields.add(Account, "size", kind="integer", min=1, position=-1)
    with crm.session(BOSS) as s:
        fields = s.describe(Account)["fields"]
        assert [n for n in fields if n.startswith("custom.")] == ["custom.size", "custom.tier"]
        assert fields["custom.tier"] == {
            "label": "等级", "type": "choice", "required": True, "writable": True, "masked": False, "classified": "internal",
            "options": [{"value": "gold", "label": "金"}], "max_length": 255,
        }  # fmt: skip
        schema = s.json_schema(Account)["properties"]["custom"]
        assert (schema["required"], schema["properties"]["size"]["title"]) == (["tier"], "Size")
        made = s.create(crm.from_json(Account, {"name": "A", "custom": {"tier": "gold", "size": 2}}))
        assert crm.to_json(made)["custom"] == {"size": 2, "tier": "gold"}


def test_a_file_brings_custom_fields_and_an_export_takes_them_along(crm: CRM, tmp_path: Path) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "region", label="Region")
        s.custom_fields.add(Account, "weight", kind="decimal", scale=2)
    source, written = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("Company,Region,Weight\nAcme,EU,1.5\nBolt,,x\nCord,US,\n", encoding="utf-8")
    mapping = mapping_of(
        {"entity": "account", "match": "name", "fields": {"name": "Company", "custom.region": "Region", "custom.weight": "Weight"}}
    )
    report = Importer(crm, ADMIN, mapping).run(source)
    assert (report.created, [d.field for f in report.failures for d in f.error.details]) == (2, ["custom.weight"])
    again = Importer(crm, ADMIN, mapping).run(source)
    assert (again.created, again.updated) == (0, 0)
    with crm.session(ADMIN) as s:
        export(s, s.query(Account).order_by(Account.name), written, fields=["name", "custom.region", "custom.weight"])
    assert written.read_text("utf-8") == "name,custom.region,custom.weight\nAcme,EU,1.50\nCord,US,\n"


def test_a_personal_field_stands_apart_in_the_journal_and_goes_with_the_person(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Contact, "hobby", classified="personal")
        s.custom_fields.add(Contact, "old", classified="personal")
        s.custom_fields.add(Contact, "batch", kind="integer")
        ann = s.create(Contact(name="Ann", emails=[Email("ann@example.com")], custom={"hobby": "chess", "old": "x", "batch": 3}))
        s.custom_fields.retire(Contact, "old")
        journal = crm.tables.system.journal
        payload, personal = s._unit.connection.execute(
            select(journal.c.payload, journal.c.personal).where(journal.c.record == ann.id)
        ).one()
        assert ("custom.hobby" in payload["new"], personal["new"]["custom.hobby"], payload["new"]["custom.batch"]) == (False, "chess", 3)
        erase(s, ann.ref, reason="asked")
        value = crm.tables.system.custom_value
        left = s._unit.connection.execute(select(value.c.text, value.c.number).where(value.c.record == ann.id)).all()
        assert [tuple(row) for row in left] == [(None, 3)]


def test_a_role_hides_or_locks_a_field_of_every_tenant_and_has_no_rule_by_its_value(make_crm: Any) -> None:
    """Nobody's fields are known when roles are checked; half-sight of a field is none."""
    with pytest.raises(LoadError) as refused:
        make_crm(roles=[Role("gold").allow(Account, "read", where=custom("tier") == "gold")])
    assert refused.value.code == "rule_unknown_field"
    half = Role("half").allow(Account, "read", "update", fields={"custom.tier": "masked", "custom.size": "read"})
    crm: CRM = make_crm(roles=[half])
    made = {}
    for tenant in ("acme", "other"):
        with crm.session(Actor.system("setup", tenant=tenant)) as s:
            s.custom_fields.add(Account, "tier")
            s.custom_fields.add(Account, "size", kind="integer")
            made[tenant] = s.create(Account(name="A", custom={"tier": "gold", "size": 3}))
    for tenant, record in made.items():
        with crm.session(Actor("7", tenant=tenant, roles={"half"})) as s:
            assert s.get(Account, record.id).custom == {"size": 3}
            assert unknown(lambda s=s: s.query(Account).where(custom("tier") == "gold")) == [("custom.tier", "rule_unknown_field")]
            assert unknown(lambda s=s, id=record.id: s.update(Account, id, {"custom.size": 4})) == [("custom.size", "field_not_writable")]
