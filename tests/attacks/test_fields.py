"""Attacks on fields that are not theirs to read or to set [A04, A07]."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import func, select

from crm_analytics.api import Analytics, Report
from crm_core import Invalid, Money, Session
from crm_core.io import Importer, export, mapping_of
from crm_core.rules import F
from tests.attacks.raid import ME, NOBODY, SALARY, Attack, World, body, each, problem
from tests.laws.shop import Deal
from tests.laws.tricks import Redeem

FORGED: dict[str, Any] = {
    "id": NOBODY, "tenant": "other", "version": -1, "created_at": "1999-01-01T00:00:00Z", "created_by": "2", "updated_at": None,
    "updated_by": "2", "deleted_at": "1999-01-01T00:00:00Z", "tenant_id": 2, "is_admin": True, "_origin": {}, "_ext": {}, "_related": {},
    "__class__": "x", "__dict__": {}, "__crm_options__": {}, "salary": 1, "details": {"b": 1}, "roles": ["admin"], "owner_id": "1",
    "name\x00": "x", "": "x", "amount_currency": "USD", "ID": NOBODY, "Tenant": "other",
}  # fmt: skip


def test_a04_a_body_sets_what_its_sender_may_set_and_nothing_else(world: World) -> None:
    world.assert_refused("A04", each("update", FORGED, lambda w, s, n: s.update(Deal, w.deal.id, {n: FORGED[n]})))
    world.assert_refused("A04", each("create", FORGED, lambda w, s, n: s.create(body(w, {n: FORGED[n]}))))
    world.assert_refused(
        "A04",
        {
            "giving a new record to another": lambda w, s: s.create(Deal(name="x", account=w.mine.ref, amount=Money(1, "EUR"), owner="2")),
            "a command with more": lambda w, s: w.crm.registry.actions and s.perform(Redeem(w.theirs.ref)),
            "a record of another class": lambda w, s: s.create(object()),  # type: ignore[type-var]
            "a record that was read": lambda w, s: s.create(s.get(Deal, w.deal.id)),
        },
    )


FLS: dict[str, Attack] = {
    "a filter": lambda w, s: s.query(Deal).matching({"salary__gte": "50000"}, allow=["salary"]).all(),
    "isnull": lambda w, s: s.query(Deal).matching({"salary__isnull": "false"}, allow=["salary"]).all(),
    "sort": lambda w, s: s.query(Deal).matching({"sort": "salary"}, allow=["salary"]).all(),
    "sort down": lambda w, s: s.query(Deal).matching({"sort": "-salary"}, allow=["salary"]).all(),
    "where": lambda w, s: s.query(Deal).where(Deal.salary > 5).all(),
    "order_by": lambda w, s: s.query(Deal).order_by(Deal.salary).all(),
    "max": lambda w, s: s.execute(select(func.max(Deal.salary))).all(),
    "count": lambda w, s: s.execute(select(func.count(Deal.salary))).all(),
    "group": lambda w, s: s.execute(select(func.count(Deal.id)).group_by(Deal.salary)).all(),
    "having": lambda w, s: s.execute(select(Deal.name).group_by(Deal.name).having(func.max(Deal.salary) > 5)).all(),
    "window": lambda w, s: s.execute(select(func.row_number().over(order_by=Deal.salary))).all(),
    "the sum of parts": lambda w, s: s.execute(select(Deal.salary + 1)).all(),
    "a subquery": lambda w, s: s.execute(select(select(Deal.salary).limit(1).scalar_subquery())).all(),
    "the attribute": lambda w, s: s.get(Deal, w.deal.id).salary,
    "an update that compares": lambda w, s: s.update(Deal, w.deal.id, {"salary": SALARY}),
    "an export": lambda w, s: export(s, s.query(Deal), w.folder / "fls.csv", fields=["name", "salary"]),
    "an import by it": lambda w, s: imported_by_salary(w),
    "a rule": lambda w, s: s.use(Analytics).run(Report(metrics=["sales.won_deals"], where=F("salary") > 5)),
    "its owner's password": lambda w, s: s.query(Deal).matching({"owner.password_hash__startswith": "$a"}, allow=["owner"]).all(),
    "an alias": lambda w, s: s.query(Deal).matching({"t1.salary": "1"}, allow=["t1.salary", "salary"]).all(),
    "a describe": lambda w, s: s.describe(Deal)["fields"]["salary"] if "salary" in s.describe(Deal)["fields"] else no_field(),
}


def no_field() -> Any:
    raise Invalid("unknown_field")


def imported_by_salary(w: World) -> None:
    path = w.folder / "salaries.csv"
    path.write_text(f"name,salary\nx,{SALARY}\n")
    Importer(w.crm, ME, mapping_of({"entity": "shop.deal", "key": "s:{salary}", "fields": {"name": "name", "salary": "salary"}})).run(path)


def test_a07_a_hidden_field_does_not_exist(world: World) -> None:
    world.assert_refused("A07", FLS)
    world.assert_harmless(
        "A07",
        {
            "JSON": lambda w, s: w.crm.to_json(s.get(Deal, w.deal.id)),
            "repr": lambda w, s: (s.get(Deal, w.deal.id), s.query(Deal).all()),
            "the whole entity": lambda w, s: s.execute(select(Deal)).all(),
            "an export of all": lambda w, s: (export(s, s.query(Deal), w.folder / "all.csv"), (w.folder / "all.csv").read_text()),
            "a timeline": lambda w, s: s.timeline(w.mine.ref),
            "a view": lambda w, s: s.view360(w.mine.ref),
        },
        journalled=True,
    )
    asked: list[Callable[[World, Session, str], Any]] = [
        lambda w, s, n: s.query(Deal).matching({n: "1"}, allow=[n]).all(),
        lambda w, s, n: s.query(Deal).matching({"sort": n}, allow=[n]).all(),
        lambda w, s, n: s.update(Deal, w.deal.id, {n: 1}),
    ]
    for attack in asked:
        hidden, unknown = (problem(world, partial(attack_on, attack, n)).replace(n, "FIELD") for n in ("salary", "nonsense"))
        assert hidden == unknown


def attack_on(attack: Callable[[World, Session, str], Any], name: str, w: World, s: Session) -> Any:
    return attack(w, s, name)
