"""Names of tables, columns and indexes: within PostgreSQL's 63 bytes, and each one's own."""

from __future__ import annotations

import pytest
from sqlalchemy import MetaData, create_mock_engine
from sqlalchemy.schema import ExecutableDDLElement

from crm_core import CRM, Account, Actor, Conflict, Email, Entity, Extension, Field, ListField, LoadError, Plugin, Ref, field
from crm_core.messages import Messages
from tests.conftest import MakeCRM
from tests.storage.zoo import differences

FIRST = "a_field_whose_name_goes_on_until_it_is_nearly_one_too_lon"
SECOND = "a_field_whose_name_goes_on_until_it_is_nearly_one_too_lan"
THIRD = "größe_der_straße_für_die_prüfung_von_ähnlichkeiten"
ACCOUNT = "the_account_of_the_customer_who_gave_all_of_these_answers"
OWNER = "the_first_of_the_two_sheets_of_answers_that_belong_to_it"
LIST = "addresses_that_the_customer_named_when_asked_twice_for_it"
pytestmark = pytest.mark.filterwarnings("ignore:Did not recognize type .xid8.")
SYSTEM = Actor.system("test", tenant="main")


class QuestionnaireAnswersOfCustomersInTheNorthernRegionsOfTheCountryOne(Entity):
    a_field_whose_name_goes_on_until_it_is_nearly_one_too_lon: Field[str] = field(unique=True)
    a_field_whose_name_goes_on_until_it_is_nearly_one_too_lan: Field[str] = field(index=True)
    the_account_of_the_customer_who_gave_all_of_these_answers: Field[Ref[Account] | None] = field(default=None)


class PrüfungDerÄhnlichkeitVonStraßenUndPlätzenFürÜbergabenÜberGrößen(Entity):
    größe_der_straße_für_die_prüfung_von_ähnlichkeiten: Field[str] = field(unique=True)
    the_first_of_the_two_sheets_of_answers_that_belong_to_it: Field[Ref[QuestionnaireAnswersOfCustomersInTheNorthernRegionsOfTheCountryOne]]
    addresses_that_the_customer_named_when_asked_twice_for_it: ListField[Email] = field(factory=list)


One, Two = (
    QuestionnaireAnswersOfCustomersInTheNorthernRegionsOfTheCountryOne,
    PrüfungDerÄhnlichkeitVonStraßenUndPlätzenFürÜbergabenÜberGrößen,
)


class Loyalty(Extension):
    the_level_a_customer_reached_x: Field[str] = field(default="basic", index=True)


plugin = Plugin("a_vendor.of_questionnaires", version="1")
plugin.entities(One, Two)
plugin.extend(Account)(Loyalty)
asked = plugin.link(One, Two)


def test_long_names_are_cut_to_what_postgresql_keeps_and_stay_apart(make_crm: MakeCRM) -> None:
    crm: CRM = make_crm(plugins=[plugin])
    tables = crm.tables.metadata.tables.values()
    names = [table.name for table in tables] + [str(index.name) for table in tables for index in table.indexes]
    parts = [str(key.name) for table in tables for key in table.foreign_key_constraints]
    parts += [column.name for table in tables for column in table.columns]
    assert max(len(name.encode()) for name in [*names, *parts]) == 63
    assert len(names) == len(set(names))
    assert differences(crm.bound, crm.tables) == []
    crm.migrations.check()
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="A"))
        one = s.create(crm.from_json(One, {FIRST: "a", SECOND: "b", ACCOUNT: account.id}))
        two = s.create(crm.from_json(Two, {THIRD: "c", OWNER: one.id, LIST: [{"address": "a@example.com"}]}))
        s.link(asked, one, two)
    with crm.session(SYSTEM) as s:
        assert (getattr(s.get(One, one.id), FIRST), getattr(s.get(One, one.id), SECOND)) == ("a", "b")
        assert s.query(Two).where(getattr(Two, OWNER) == one.ref).one().id == two.id
        assert s.linked(asked, one) == [two]
        with pytest.raises(Conflict) as raised:
            s.create(crm.from_json(One, {FIRST: "a", SECOND: "c"}))
        assert (raised.value.code, raised.value.params["field"]) == ("not_unique", FIRST)


def test_two_entities_that_would_share_a_table_are_a_load_error_that_names_both_sides() -> None:
    class Member(Entity):
        name: Field[str]

    team = Plugin("team", version="1")
    team.entities(Member)
    with pytest.raises(LoadError) as raised:
        CRM("sqlite://", plugins=[team])
    assert raised.value.code == "table_collision"
    assert (
        raised.value.message("en", Messages()) == "Two entities would share the table crm_team_member; the second is of team. Rename one."
    )


def test_plugins_whose_names_differ_by_a_dot_do_not_share_a_table() -> None:
    class Card(Entity):
        name: Field[str]

    class OtherCard(Entity):
        name: Field[str]

    first, second = Plugin("acme.other", version="1"), Plugin("acme", version="1")
    first.entities(Card)
    second.entities(OtherCard)
    with pytest.raises(LoadError) as raised:
        CRM("sqlite://", plugins=[first, second])
    assert (raised.value.code, raised.value.params["table"]) == ("table_collision", "crm_acme_other_card")


def test_a_column_whose_name_postgresql_would_cut_is_a_load_error() -> None:
    class Thing(Entity):
        pass

    class Remark(Extension):
        how_the_customer_came_to_know_of_us_in_words: Field[str] = field(default="")

    thing = Plugin("acme.surveys2", version="1")
    thing.entities(Thing)
    thing.extend(Account)(Remark)
    with pytest.raises(LoadError) as raised:
        CRM("sqlite://", plugins=[thing])
    assert raised.value.code == "column_too_long"
    assert "acme_surveys2_how_the_customer_came_to_know_of_us_in_words" in raised.value.message("en", Messages())


def test_an_index_of_some_rows_is_one_on_both_databases_where_a_host_makes_it(make_crm: MakeCRM) -> None:
    """Made by ``create_all``, on PostgreSQL a value was taken by records that are deleted."""
    metadata = make_crm().tables.metadata
    one, other = (unique_indexes(metadata, url) for url in ("sqlite://", "postgresql+psycopg://"))
    assert one == other
    assert any(s.endswith("WHERE deleted_at IS NULL") for s in one)


def unique_indexes(metadata: MetaData, url: str) -> set[str]:
    """Return the statements by which ``create_all`` makes unique indexes."""
    made: list[str] = []
    dialect = create_mock_engine(url, lambda *_: None).dialect

    def make(statement: ExecutableDDLElement, *_: object) -> None:
        made.append(str(statement.compile(dialect=dialect)).replace('"', ""))

    metadata.create_all(create_mock_engine(url, make), checkfirst=False)
    return {s for s in made if s.startswith("CREATE UNIQUE INDEX")}
