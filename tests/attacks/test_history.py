"""Attacks by way of what a record once was: fields, people and rights of then are not today's [A02, A04, A17] [C73]."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Contact, CRMError, CustomField, CustomKind, Email, FileKeys, NotFound, Ref, Role, owner
from crm_core.privacy import erase
from tests.attacks.raid import CANARY
from tests.keys.clinic import CLERK, CLINIC, DOCTOR, Patient

SYSTEM = Actor.system("test", tenant="main")
NOBODY = "00000000-0000-7000-8000-000000000000"
READER = Role("reader").allow(Account, "read", fields={"industry": "none"}).allow(Contact, "read")
TIERLESS = Role("tierless").allow(Account, "read", fields={"custom.tier": "none"})
OWNER = Role("owner").allow(Account, "read", "update", "assign", where=owner)
BLIND = Role("blind").allow(Account, "read", where=owner, fields={"name": "none", "industry": "masked"})


@pytest.fixture
def crm(make_crm: Callable[..., Any], tmp_path: Path) -> CRM:
    roles = [DOCTOR, CLERK, READER, TIERLESS, OWNER, BLIND]
    made: CRM = make_crm(plugins=[CLINIC], roles=roles, keys=FileKeys.create(tmp_path / "crm.keys"))
    return made


def told(crm: CRM, by: Actor, record: Any, **page: Any) -> str:
    """Return all that somebody is told of a history, as bytes would say it: what is refused in its own words."""
    try:
        with crm.session(by, write=False) as s:
            return json.dumps(crm.to_json(s.history(record, **page)))
    except CRMError as e:
        return json.dumps([e.problem(), str(e)]).replace(record.id, "ID")


def test_a02_hidden_fields_are_in_no_entry_no_page_and_no_count(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        loud, quiet = (s.create(Account(name="A", industry=CANARY)) for _ in range(2))
        for n in range(7):
            s.update(Account, loud.id, {"industry": f"{CANARY} {n}"})
        for each in (loud, quiet):
            s.update(Account, each.id, {"name": "B"})
    reader = Actor("1", roles={"reader"})
    for account in (loud, quiet):
        with crm.session(reader, write=False) as s:
            pages: list[Any] = []
            after: str | None = None
            while not pages or after is not None:
                page = s.history(account, size=1, after=after)
                pages.append([(e.verb, e.actor, sorted(e.changes)) for e in page])
                after = page.next
        assert [[(verb, "name" in changes) for verb, _, changes in page] for page in pages] == [[("updated", True)], [("created", True)]]
        assert CANARY not in told(crm, reader, account)
        assert "industry" not in told(crm, reader, account)
    # Whose cursor points among the hidden ones is told no more than who comes from the top.
    assert {told(crm, reader, loud, after=str(n)) for n in range(2, 9)} == {told(crm, reader, loud, after="2")}


def test_a02_custom_fields_that_are_hidden_were_never_there(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        s.create(CustomField(entity="account", name="tier", kind=CustomKind.TEXT, label={"en": "Tier"}))
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="A", owner="1"))
        s.update(Account, account.id, {"custom.tier": CANARY})
    seeing, blind = Actor("1", roles={"owner"}), Actor("1", roles={"tierless"})
    assert CANARY in told(crm, seeing, account)
    assert '"name"' in told(crm, blind, account)
    assert [word for word in (CANARY, "tier", "updated") if word in told(crm, blind, account)] == []


def test_a02_sealed_values_do_not_come_back_for_anybody(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        patient = s.create(Patient(name="Ada", iban=CANARY, card=CANARY, story=CANARY, owner="1"))
        s.update(Patient, patient.id, {"iban": f"{CANARY}2", "card": f"{CANARY}2"})
    for by in (SYSTEM, Actor("1", roles={"doctor"}), Actor("2", roles={"clerk"})):
        assert CANARY not in told(crm, by, patient)
    assert '"iban": {"old": "***", "new": "***"}' in told(crm, SYSTEM, patient)
    assert "card" not in told(crm, Actor("2", roles={"clerk"}), patient)


@pytest.mark.parametrize("keys", [True, False], ids=["keys", "no keys"])
def test_what_was_erased_does_not_come_back(make_crm: Callable[..., Any], tmp_path: Path, keys: bool) -> None:
    crm = make_crm(plugins=[], roles=[READER], keys=FileKeys.create(tmp_path / "crm.keys") if keys else None)
    with crm.session(SYSTEM) as s:
        person = s.create(Contact(name=CANARY, emails=[Email(f"{CANARY}@example.com")]))
        s.update(Contact, person.id, {"name": f"{CANARY}2"})
    assert CANARY in told(crm, Actor("1", roles={"reader"}), person)
    with crm.session(SYSTEM) as s:
        erase(s, person, reason="asked")
    for by in (SYSTEM, Actor("1", roles={"reader"})):
        assert CANARY not in told(crm, by, person)


def test_a04_todays_rights_count_for_what_was_then(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name=CANARY, industry=CANARY, owner="1"))
        s.update(Account, account.id, {"name": "B", "owner": "1"})
    before, less = Actor("1", roles={"owner"}), Actor("1", roles={"blind"})
    assert CANARY in told(crm, before, account)
    assert CANARY not in told(crm, less, account)  # the same user, with another role from today on
    with crm.session(SYSTEM) as s:
        s.update(Account, account.id, {"owner": "2"})
    missing = Ref(Account, NOBODY)
    for after in (None, "2", "9"):
        assert told(crm, before, account.ref, after=after) == told(crm, before, missing, after=after)
    assert CANARY in told(crm, Actor("2", roles={"owner"}), account)  # who has the record now has its history
    with crm.session(SYSTEM) as s:
        s.delete(s.get(Account, account.id))
    for by in (SYSTEM, Actor("2", roles={"owner"})):
        assert told(crm, by, account.ref) == told(crm, by, missing)


def test_a25_another_tenant_has_no_history_of_it(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name=CANARY))
    abroad = Actor.system("test", tenant="other")
    assert told(crm, abroad, account.ref) == told(crm, abroad, Ref(Account, NOBODY))
    with crm.session(abroad) as s, pytest.raises(NotFound):
        s.history(account)
