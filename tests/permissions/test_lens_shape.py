"""A lens is a shape: who asks is a bind. What is hidden, masked, deleted or of another tenant stays where it is."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import func, select

from crm_core.entities.columns import alias
from crm_core.entities.meta import logical_table
from crm_core.errors import NotReadable, Refused
from crm_core.testing.databases import Database
from tests.permissions.lens_forms import read_forms
from tests.permissions.lens_world import KINDS, USERS, Company, Deal, Firm, Kind, Loyalty, actor, logical_names
from tests.threads import at_once

BY_NAME = {kind.name: kind for kind in KINDS}


@pytest.fixture
def company(database: Database) -> Company:
    return Company(database.engine())


def ids(company: Company, kind: Kind, me: str, tenant: str = "one") -> set[str]:
    return {row["id"] for row in company.visible(Deal, kind, me, tenant)}


def test_actors_of_one_shape_share_one_compiled_statement_and_see_their_own(company: Company) -> None:
    kind = BY_NAME["subordinates and team"]
    lens = company.lens(kind)
    with company.engine.connect() as connection:
        hits = []
        for i, me in enumerate(USERS):
            result: Any = lens.execute(connection, select(Deal.id).where(Deal.chance >= i * 0), actor(me))
            hits.append(result.context.cache_hit.name)
            assert set(result.scalars()) == ids(company, kind, me)
    assert hits == ["CACHE_MISS"] + ["CACHE_HIT"] * (len(USERS) - 1)


def test_two_tenants_never_mix_in_any_form(database: Database) -> None:
    company = Company(database.engine(), seed=7)
    kind = BY_NAME["sees all"]
    lens = company.lens(kind)
    wrong = []
    with company.engine.connect() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tenant in ("two", "one", "three"):
            seen = company.truth(connection, kind, "u0", tenant)
            for (name, statement), (_, truth) in zip(read_forms(Firm, Deal, database.kind), read_forms(*seen, database.kind), strict=True):
                want = sorted(repr(tuple(row)) for row in connection.execute(truth))
                got = sorted(repr(tuple(row)) for row in lens.execute(connection, statement, actor("u0", tenant)))
                if want != got:
                    wrong.append(f"{tenant} {name}")
    assert not wrong


@pytest.mark.parametrize("missing", ["crm_tenant", "crm_me"])
def test_a_missing_actor_value_shows_nothing(company: Company, missing: str) -> None:
    lens = company.lens(BY_NAME["owner"])
    given = {k: v for k, v in actor("u1").items() if k != missing}
    with company.engine.connect() as connection:
        assert lens.execute(connection, select(Deal.id), given).all() == []


def test_an_entity_is_not_read_outside_a_session(company: Company) -> None:
    with company.engine.connect() as connection:
        for statement in (
            select(Deal.id),
            select(Deal),
            select(alias(Deal).id),
            select(Deal.amount.to("EUR")),
            select(Firm.emails.has("x")),
        ):
            with pytest.raises(Refused, match="session"):
                connection.execute(statement)


def test_a_statement_can_be_printed_without_a_session() -> None:
    statements = [select(Deal), select(Deal.amount.sum(), Deal.amount.to("EUR"), Deal.amount), select(Firm).where(Firm.emails.has("x"))]
    assert all("FROM" in str(s) for s in statements)
    assert "deal" in repr(logical_table(Deal))


def test_deleted_records_are_not_seen_unless_the_lens_is_made_for_them(company: Company) -> None:
    everyone = BY_NAME["sees all"]
    stored = {r["id"] for r in company.data.deals if r["tenant"] == "one"}
    with company.engine.connect() as connection:
        living = set(company.lens(everyone).execute(connection, select(Deal.id), actor("u0")).scalars())
        both = set(company.lens(everyone, include_deleted=True).execute(connection, select(Deal.id), actor("u0")).scalars())
    assert living < both == stored


def test_a_masked_field_shows_stars_and_nothing_else_about_its_value(company: Company) -> None:
    lens = company.lens(BY_NAME["hidden and masked"])
    with company.engine.connect() as connection:
        statement = select(Firm.id, Firm.phone, func.length(Firm.phone), Firm.phone.label("p"))
        shown: list[Any] = list(lens.execute(connection, statement, actor("u1")))
    stored = {r["id"]: r["phone"] for r in company.data.firms}
    assert {row[1] for row in shown} == {"***", None}
    assert all((phone is None) == (stored[id_] is None) and length in (None, 3) and label == phone for id_, phone, length, label in shown)


def test_a_whole_entity_has_no_columns_of_extensions_but_they_can_be_asked_for(company: Company) -> None:
    lens = company.lens(BY_NAME["sees all"])
    with company.engine.connect() as connection:
        for entity in (Firm, alias(Firm), alias(Firm, "f")):
            names = lens.execute(connection, select(entity), actor("u0")).keys()
            assert list(names) == logical_names(Firm)
        tiers = set(lens.execute(connection, select(Loyalty.tier).where(Loyalty.tier == "gold"), actor("u0")).scalars())
        sub = select(Firm.id, Loyalty.tier).subquery()
        assert set(lens.execute(connection, select(sub), actor("u0")).keys()) == {"id", "loyalty_tier"}
    assert tiers == {"gold"}


def test_a_list_is_searched_by_its_entries_within_the_tenant(company: Company) -> None:
    lens = company.lens(BY_NAME["sees all"])
    wanted = "p3@x.example"
    want = {r["id"] for r in company.visible(Firm, BY_NAME["sees all"], "u0", "one") if any(e.address == wanted for e in r["emails"])}
    f2 = alias(Firm)
    with company.engine.connect() as connection:
        for statement in (
            select(Firm.id).where(Firm.emails.has(wanted)),
            select(f2.id).where(f2.emails.has(wanted)),
            select(Firm.id).where(Firm.id.in_(select(f2.id).where(f2.emails.has(wanted)))),
        ):
            assert set(lens.execute(connection, statement, actor("u0")).scalars()) == want
        other = select(Deal.id).where(sa.exists().where(Firm.id == Deal.firm, Firm.emails.has(wanted)))
        got = set(lens.execute(connection, other, actor("u0")).scalars())
    assert want
    assert got == {r["id"] for r in company.visible(Deal, BY_NAME["sees all"], "u0", "one") if r["firm"] in want}


def test_an_entity_without_a_view_does_not_exist(company: Company) -> None:
    lens = company.lens(BY_NAME["sees all"])
    from crm_core.entities.customer import ExchangeRate

    with company.engine.connect() as connection, pytest.raises(NotReadable) as unseen:
        lens.execute(connection, select(ExchangeRate.rate), actor("u0"))
    assert unseen.value.code == "entity_not_readable"


def test_a_masked_field_is_listed_and_nothing_else(company: Company) -> None:
    lens = company.lens(BY_NAME["hidden and masked"])
    with company.engine.connect() as connection:
        assert {*lens.execute(connection, select(Firm.phone), actor("u1")).scalars()} <= {"***", None}
        for statement in (select(Firm.id).where(Firm.phone == "1"), select(Firm.id).order_by(Firm.phone)):
            with pytest.raises(NotReadable) as refused:
                lens.execute(connection, statement, actor("u1"))
            assert refused.value.code == "masked_only_listed"


def test_where_nobody_keeps_rates_nothing_is_converted(company: Company) -> None:
    lens = company.lens(BY_NAME["sees all"], rates=None)
    with company.engine.connect() as connection, pytest.raises(Refused) as refused:
        lens.execute(connection, select(Deal.amount.to("EUR")), actor("u0"))
    assert refused.value.code == "no_rates"


def test_a_refused_statement_is_refused_again_and_leaves_no_compiled_trace(company: Company) -> None:
    lens = company.lens(BY_NAME["owner"])
    hostile = select(company.tables.entities[Deal].c.id)
    with company.engine.connect() as connection:
        for _ in range(3):
            with pytest.raises(Refused):
                lens.execute(connection, hostile, actor("u1"))


def test_a_statement_that_passes_for_an_allowed_one_runs_as_the_allowed_one(company: Company) -> None:
    lens = company.lens(BY_NAME["owner"])
    text = 'x", (SELECT max(salary) FROM crm_firm) AS "y'
    honest = select(Deal.id.label(text)).order_by(Deal.id)
    crafted = select(Deal.id.label(sa.quoted_name(text, quote=False))).order_by(Deal.id)
    with company.engine.connect() as connection:
        with pytest.raises(Refused):
            lens.execute(connection, crafted, actor("u1"))
        first = lens.execute(connection, honest, actor("u1")).all()
        assert lens.execute(connection, crafted, actor("u1")).all() == first
    assert all(len(row) == 1 for row in first)


def test_threads_share_a_lens(database: Database) -> None:
    company = Company(database.engine(pool_size=8))
    kind = BY_NAME["shares"]
    lens = company.lens(kind)

    def look(me: str) -> None:
        with company.engine.connect() as connection:
            for i in range(20):
                statement = select(Deal.id, *[sa.literal(n) for n in range(i % 5)])
                assert {row[0] for row in lens.execute(connection, statement, actor(me))} == ids(company, kind, me), me

    at_once(look, USERS)
