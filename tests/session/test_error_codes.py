"""[C12] Each refusal has a code of its own, by which a program knows why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import LargeBinary, Numeric, bindparam, cast, collate, func, select, type_coerce

from crm_core import (
    CRM,
    Account,
    Actor,
    CRMError,
    Entity,
    Event,
    ExchangeRate,
    Extension,
    Field,
    Money,
    MoneyField,
    OptionalMoneyField,
    Plugin,
    Ref,
    Session,
    field,
)
from crm_core.entities.meta import bind_extension
from crm_core.events.event import event_name
from crm_core.inbound import Request
from crm_core.io import Form
from crm_core.permissions.diff import diff
from crm_core.ports.files import DirectoryFiles
from crm_core.ports.mail import SMTPMailer
from crm_core.privacy import export
from crm_core.privacy.certificate import Certificate
from crm_core.secrets import Secret
from crm_core.storage.revisions.steps import word_of

BOSS = Actor.system("tests", tenant="main")
shop = Plugin("shop", version="1.0")


class Basket(Entity):
    """What is bought together."""

    name: Field[str]
    worth: MoneyField
    tip: OptionalMoneyField = field(default=None)
    buyer: Field[Ref[Account] | None] = field(default=None)
    notes: Field[dict[str, Any]] = field(factory=dict)


class Waiting:
    """A directory that awaits."""

    async def users(self, tenant: str, ids: object = None) -> list[Any]:
        return []

    async def actor(self, tenant: str, user_id: str) -> None:
        return None


WAITING: Any = Waiting()


class Elsewhere(Entity):
    """Of a plugin that is not loaded."""

    name: Field[str]


class Perk(Extension):
    """What a company gets."""

    level: Field[str | None] = field(default=None)


class Told(Event[Account], name="other.told", version=1):
    """Of another plugin."""


class Sold(Event[Account], name="shop.sold", version=1):
    """Of the shop, and so not the host's to tell."""


@attrs.frozen
class NoSettings:
    """Of no plugin."""

    days: int = 3


other = Plugin("other", version="1.0")
other.entities(Elsewhere)
other.events(Told)
other.extend(Account)(Perk)
shop.entities(Basket)
shop.events(Sold)
spouse = shop.link(Account, Basket, many=False)
unloaded = other.link(Account, Elsewhere)


@pytest.fixture(scope="module")
def crm() -> Iterator[CRM]:
    crm = CRM("sqlite://", plugins=[shop])
    crm.migrate()
    yield crm
    crm.close()


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(CRMError) as caught:
        work()
    return caught.value.code


def stored(s: Session) -> Account:
    return s.create(Account(name="Acme"))


def twice_linked(s: Session) -> None:
    acme = stored(s)
    for name in ("one", "two"):
        s.link(spouse, acme, s.create(Basket(name=name, worth=EUR)))


EUR = Money(1, "EUR")
IN_A_SESSION: dict[str, Callable[[Session], object]] = {
    "already_stored": lambda s: s.create(stored(s)),
    "bad_filter": lambda s: s.query(Basket).matching({"notes": "x"}, allow=["notes"]),
    "bad_share_action": lambda s: s.share(stored(s), "user:7", "create"),
    "bad_subject_of_request": lambda s: export(s, "somebody"),
    "compare_with_money": lambda s: s.query(Basket).where(Basket.worth > 5),  # type: ignore[operator]
    "event_undeclared": lambda s: s.emit(Told(record=stored(s).ref)),
    "foreign_event": lambda s: s.emit(Sold(record=stored(s).ref)),
    "forbidden_cast": lambda s: s.execute(select(cast(Account.created_at, Numeric))),
    "forbidden_collation": lambda s: s.execute(select(collate(Account.name, "RTRIM"))),
    "forbidden_function": lambda s: s.execute(select(func.pg_sleep(1), Account.name)),
    "forbidden_operator": lambda s: s.execute(select(Account.name.op("~~~")("x"))),
    "forbidden_type": lambda s: s.execute(select(type_coerce(Account.name, LargeBinary))),
    "forbidden_name": lambda s: s.execute(select(Account.name).where(Account.name == bindparam("a b", "x"))),
    "link_not_loaded": lambda s: s.linked(unloaded, stored(s)),
    "link_taken": twice_linked,
    "money_does_not_sort": lambda s: s.execute(select(Basket.name).order_by(Basket.worth)),
    "money_window": lambda s: s.execute(select(Basket.worth.sum().over(), Basket.worth.currency).group_by(Basket.worth.currency)),
    "no_such_person": lambda s: export(s, "nobody@example.org"),
    "not_a_unique_value": lambda s: s.upsert(Account(name="x"), on="name"),
    "forbidden_option": lambda s: s.execute(select(Account.name).prefix_with("DISTINCT")),
    "decimal_arithmetic": lambda s: s.execute(select(ExchangeRate.rate / ExchangeRate.rate)),
    "page_needs_fields": lambda s: s.query(Account).order_by(func.lower(Account.name)).page(5),
    "reserved_parameter": lambda s: s.execute(select(Account.name).where(Account.name == bindparam("crm_x", "x"))),
    "settings_not_loaded": lambda s: s.settings(NoSettings),
    "unknown_parameter": lambda s: s.execute(select(Account.name).params(tenant="x")),
    "unknown_sort": lambda s: s.query(Account).matching({"sort": "secret"}, allow=["name"]),
}


@pytest.mark.parametrize("code", IN_A_SESSION)
def test_a_session_says_why_it_refuses(crm: CRM, code: str) -> None:
    with crm.session(BOSS) as s:
        assert code_of(lambda: IN_A_SESSION[code](s)) == code


AT_HAND: dict[str, Callable[[], object]] = {
    "bad_body": Request("POST", "/", {}, b"{").json,
    "bad_certificate": lambda: Certificate.from_json({}),
    "bad_mail_server": lambda: SMTPMailer("http://mail.example.org", sender="a@example.org"),
    "deprecation_end": lambda: shop.deprecated(replacement="x", end="soon"),
    "field_default_twice": lambda: field(default="a", factory=list),
    "import_one_character": lambda: Form(delimiter=";;"),
    "entity_taken": lambda: Plugin("late", version="1.0").entities(Basket),
    "not_an_event": lambda: event_name(Account),
    "not_extended": lambda: Basket(name="b", worth=EUR)[Perk],
    "not_stored": lambda: Account(name="x").id,
    "type_without_word": lambda: word_of(LargeBinary()),
    "directory_async": lambda: CRM("sqlite://", directory=WAITING),
    "secret_missing": lambda: Secret("env:NOBODY_SET_THIS").read(),
    "extension_taken": lambda: bind_extension(Perk, Account, "late"),
}


@pytest.mark.parametrize("code", AT_HAND)
def test_what_is_wrong_before_any_database_says_why(code: str) -> None:
    assert code_of(AT_HAND[code]) == code


def test_what_a_crm_lacks_it_says(crm: CRM, tmp_path: Path) -> None:
    files = DirectoryFiles(tmp_path)
    assert code_of(lambda: files.get("a/b")) == "no_file"
    assert code_of(lambda: files.get("../b")) == "bad_file_key"
    assert code_of(lambda: diff(crm, [], [])) == "policy_no_directory"
    assert code_of(lambda: crm.jobs.run("shop.nothing")) == "job_unknown"
    assert code_of(lambda: crm.jobs.cancel("nothing")) == "job_run_unknown"
    assert code_of(lambda: crm.adoption.id(Account, 7)) == "adopted_not"


def test_an_entity_is_read_through_a_session_alone(crm: CRM) -> None:
    with crm.bound.begin(write=False) as connection:
        assert code_of(lambda: connection.execute(select(Account.name))) == "outside_session"


def test_elevated_rights_need_a_session_that_writes(crm: CRM) -> None:
    with crm.session(Actor.service("shop", tenant="main"), write=False) as s:
        assert code_of(lambda: s._elevate("shop", "because").__enter__()) == "elevated_needs_write"
