"""Attacks through names and expressions: sorting, paths, templates, stored definitions [A05, A06, A08, A30, A32]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crm_analytics.api import Analytics, Report
from crm_core import CRM, Account, CRMError, Invalid, Plugin, Role
from crm_core.io import Importer, mapping_of
from crm_core.messages import Messages
from crm_core.permissions.role_codec import role_from_json
from crm_core.rules import F, from_json, to_json
from tests.attacks.house import rule as automation_rule
from tests.attacks.raid import CANARY, SYSTEM, Attack, World, each
from tests.laws.shop import Deal

INJECTED = [
    "name;DROP TABLE crm_account--",
    "(CASE WHEN (SELECT 1)=1 THEN id ELSE name END)",
    "-name,1",
    "1",
    "1 DESC",
    "name COLLATE NOCASE",
    "name, (SELECT name FROM crm_account)",
    "name) UNION SELECT 1--",
    '"name"',
    "`name`",
    "[name]",
    "crm_account.name",
    "name--",
    "name/**/",
    "name\n",
    "\tname",
    "name\x00",
    "ｎａｍｅ",
    "NAME",
    "--name",
    "+name",
    "",
    "-",
    ",",
    "name asc",
    "random()",
    "pg_sleep(5)",
    "_origin",
    "__class__",
    "salary",
    "name" * 100_000,
    "\N{CYRILLIC SMALL LETTER A}ccount",
]
PATHS = [
    "a')) OR 1=1--",
    "custom.x' ]",
    "details->>'a'",
    "details.a",
    "details['a']",
    "details__a",
    "details__a__b",
    "$.a",
    "$[0]",
    "details',(SELECT sqlite_version())",
    "name__regex",
    "name__eq__or",
    "name__",
    "__name",
    "name__startswith__",
    "account__name",
    "account.name",
    "owner__password_hash__startswith",
    "t1.salary",
    "name OR 1=1",
    "name%00",
    "name__in__in",
    "\ud800",
    "name__isnull__",
]
ZONES = [
    "UTC'||(SELECT sqlite_version())||'",
    "UTC'; DROP TABLE crm_account--",
    "../../etc/passwd",
    "/etc/passwd",
    "Europe/../Europe/Berlin",
    "UTC\x00",
    "",
    ".",
    "Europe",
    "x" * 100_000,
    "posixrules/",
    "localtime'",
    "\ud800",
]
TEMPLATES = [
    "{{ contact.__class__.__mro__ }}",
    "{contact.__init__.__globals__}",
    "{name.__class__}",
    "{0.__class__}",
    "{given.__class__.__mro__}",
    "%config.db_password%",
    "%(crm_tenant)s",
    "%s%s%s%n",
    "{% for i in range(999999999) %}x{% endfor %}",
    "${jndi:ldap://x}",
    "{given!r:>999999999}",
    "{given:999999999}",
    "{" * 1000,
    "[" * 1000,
    "[[[{given}]]]",
    "#{7*7}",
    "<%= 7*7 %>",
]


def test_a05_sort_is_by_allowed_names_alone(world: World) -> None:
    world.assert_refused(
        "A05", each("sort", filter(None, INJECTED), lambda w, s, t: s.query(Account).matching({"sort": t}, allow=["name"]).all())
    )
    world.assert_refused(
        "A05",
        each("order_by", INJECTED[:20], lambda w, s, t: s.query(Account).order_by(t).all())
        | each("page after", filter(None, INJECTED), lambda w, s, t: s.query(Account).order_by(Account.name).page(1, after=t)),
    )


def test_a06_paths_and_expressions_are_names_or_nothing(world: World) -> None:
    allow = ["name", "salary", "details", "account"]
    world.assert_refused("A06", each("filter", PATHS, lambda w, s, t: s.query(Deal).matching({t: "1"}, allow=allow).all()))
    world.assert_refused("A06", each("rule", PATHS, lambda w, s, t: report(s, where=from_json({"op": "eq", "field": t, "value": "1"}))))
    world.assert_refused("A06", each("zone", filter(None, ZONES), lambda w, s, t: report(s, zone=t)))
    world.assert_refused("A06", each("grain", filter(None, INJECTED), lambda w, s, t: report(s, grain=t)))
    world.assert_refused("A06", each("by", INJECTED, lambda w, s, t: report(s, by=[t])))
    world.assert_refused("A06", each("metric", INJECTED, lambda w, s, t: s.use(Analytics).run(Report(metrics=[t]))))
    world.assert_refused("A06", each("update", PATHS, lambda w, s, t: s.update(Deal, w.deal.id, {t: "1"})))
    world.assert_harmless("A06", each("expand", PATHS, lambda w, s, t: w.crm.to_json(s.get(Deal, w.deal.id), expand=[t])))


def report(s: Any, **asked: Any) -> Any:
    return s.use(Analytics).run(Report(metrics=["sales.won_deals"], **({"grain": "month"} | asked)))


def test_a08_templates_are_text_wherever_they_stand(world: World) -> None:
    """What a user writes is never a template: it comes back as it was, in errors, labels and records."""
    for locale in ("en", "zh", "{given.__class__}"):
        for text in TEMPLATES:
            error = Invalid("wrong_type", given=text, expected=text)
            said = world.crm.messages.text(error.code, error.params, locale)
            assert "<class" not in said
            assert len(said) < 5_000
    attacks: dict[str, Attack] = each("an option", TEMPLATES, lambda w, s, t: s.update(Deal, w.deal.id, {"amount": t}))
    world.assert_refused("A08", attacks)
    plugin = Plugin("acme", version="1")
    codes = {f"acme.t{n}": text.replace("given", "x") for n, text in enumerate(TEMPLATES)}
    plugin.catalogue("en", codes)
    messages = Messages(plugin.definitions.catalogues)
    for code in codes:
        world.tried["A08"] += 1
        said = messages.text(code, {"x": world.mine, "config": world.crm})
        assert not [secret for secret in (CANARY, "<class", "function", "postgresql") if secret in said], said
        assert len(said) < 5_000
        world.handled["A08"] += 1


STORED: dict[str, Attack] = {
    "a role whose rule names SQL": lambda w, s: s.define_role(role_from_json(role(where={"field": "1=1--", "op": "eq", "value": 1}))),
    "a role with an operator of its own": lambda w, s: s.define_role(role_from_json(role(where={"op": "sql", "value": "1=1"}))),
    "a role for a table": lambda w, s: s.define_role(role_from_json(role(entity="crm_journal"))),
    "a role that is code": lambda w, s: s.define_role(role_from_json("__import__('os').system('x')")),
    "a role with an action of SQL": lambda w, s: s.define_role(role_from_json(role(actions=["read; DROP TABLE x"]))),
    "a role with a field level of its own": lambda w, s: s.define_role(role_from_json(role(fields={"name": "root"}))),
    "a role with a hidden field": lambda w, s: s.define_role(role_from_json(role(fields={"a')) OR 1=1--": "read"}))),
    "a role that extends itself": lambda w, s: s.define_role(Role("x", extends=["x"]).allow(Account, "read")),
    "a role named like a host's": lambda w, s: s.define_role(Role("rep").allow(Account, "read")),
    "a deep rule": lambda w, s: from_json(nested(5_000)),
    "a broad rule": lambda w, s: report(s, where=from_json({"op": "or", "rules": [to_json(F("name") == "x")] * 20_000})),
    "a rule that is a list": lambda w, s: from_json([1]),
    "a rule with NaN": lambda w, s: report(s, where=from_json({"field": "amount", "op": "eq", "value": float("nan")})),
    "an automation of SQL": lambda w, s: s.create(automation_rule(entity="crm_account; DROP TABLE x")),
    "an automation whose condition is SQL": lambda w, s: s.create(automation_rule(condition={"field": "1=1--", "op": "eq", "value": 1})),
    "an automation that sets a column": lambda w, s: s.create(automation_rule(actions=[{"set": {"name=1;--": "x"}}])),
    "an automation that performs code": lambda w, s: s.create(automation_rule(actions=[{"perform": "os.system", "with": {"x": 1}}])),
    "an automation of a dunder": lambda w, s: s.create(automation_rule(actions=[{"set": {"__class__": "x"}}])),
    "an automation that reads a path": lambda w, s: s.create(automation_rule(actions=[{"set": {"name": {"field": "owner.__class__"}}}])),
    "an automation that sets a system field": lambda w, s: s.create(automation_rule(actions=[{"set": {"tenant": "other"}}])),
    "a mapping of SQL": lambda w, s: imported(w, {"fields": {"name); DROP TABLE x--": "name"}}),
    "a mapping with a key of SQL": lambda w, s: imported(w, {"fields": {"name": "name"}, "key": "x:{1=1--}"}),
    "a mapping to a system field": lambda w, s: imported(w, {"fields": {"name": "name", "tenant": "name"}}),
    "a mapping with code": lambda w, s: mapping_of({"entity": "account", "fields": {"name": {"column": "n", "eval": "1"}}}),
    "a stored report by SQL": lambda w, s: report(s, where=from_json({"field": "1=1--", "op": "eq", "value": 1})),
}


def role(**changed: Any) -> dict[str, Any]:
    allow = {"entity": "account", "actions": ["read"], "where": {"op": "everything"}, "fields": {}} | changed
    return {"name": "stored", "label": "x", "extends": [], "allow": [allow], "restrict": [], "permit": []}


def nested(depth: int) -> Any:
    rule: Any = to_json(F("name") == "x")
    for _ in range(depth):
        rule = {"op": "not", "rule": rule}
    return rule


def test_a30_what_is_stored_as_data_is_checked_like_what_is_asked(world: World) -> None:
    world.assert_refused("A30", STORED, by=SYSTEM)


def imported(w: World, mapping: dict[str, Any]) -> Any:
    path = w.folder / "rows.csv"
    path.write_text("name\nAcme\n")
    return Importer(w.crm, SYSTEM, mapping_of({"entity": "account", **mapping})).run(path)


NAMES = ('x"); DROP TABLE a;--', "a b", "x'", "x\x00", "\N{CJK UNIFIED IDEOGRAPH-540D}" * 30, "../x", "{x}", "%s", "\ud800", "x\n")


def test_a30_names_become_identifiers_or_nothing(world: World) -> None:
    made: dict[str, Callable[[str], Any]] = {
        "plugin": lambda name: CRM("sqlite://", plugins=[Plugin(name, version="1")]),
        "dimension": lambda name: CRM("sqlite://", plugins=[dimensioned(name)]),
    }
    for kind, make in made.items():
        for name in NAMES:
            world.tried["A30"] += 1
            with pytest.raises(CRMError):
                make(name).migrate()
                raise AssertionError(f"{kind} {name!r}")
            world.handled["A30"] += 1


def dimensioned(name: str) -> Plugin:
    plugin = Plugin("acme", version="1")
    plugin.dimension("x", Account, name, label="x")
    return plugin


def test_a32_no_preview_shows_another_persons_record(world: World) -> None:
    """There is no template preview; what shows a record by an id or address of one's choice goes through the lens."""
    world.assert_refused(
        "A32",
        {
            "the view of a hidden customer": lambda w, s: s.view360(w.theirs.ref),
            "the timeline of a hidden customer": lambda w, s: s.timeline(w.theirs.ref),
            "the view of a hidden person": lambda w, s: s.view360(w.person.ref),
            "the actions on a hidden record": lambda w, s: s.get(Account, w.theirs.id) and s.actions(w.theirs),
        },
    )
