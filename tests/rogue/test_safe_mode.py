"""[R12] Safe mode: the core's records are readable without the plugins, nothing is written, and rights fail closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Contact, CRMError, Entity, Extension, Field, Plugin, ReadOnly, Role, field, owner
from crm_core.rules import F
from crm_core.testing.state import state_hash

SYSTEM = Actor.system("test", tenant="main")
vendor = Plugin("acme", version="1")


class Claim(Entity):
    name: Field[str]


@vendor.extend(Account)
class Points(Extension):
    points: Field[int] = field(default=0)


vendor.entities(Claim)
vendor.role(Role("acme.discreet").restrict(Account, "read", where=F("industry") != "secret"))
ROLES = [
    Role("rep").allow(Account, "read", "update").allow(Claim, "read"),
    Role("rich").allow(Account, "read", where=F("acme_points") > 5).allow(Contact, "read"),
    Role("careful").allow(Account, "read").restrict(Account, "read", where=F("acme_points") < 5),
    Role("narrow").allow(Account, "read", where=owner, fields={"acme_points": "none", "website": "none"}),
    Role("heir", extends=["acme.discreet"]).allow(Account, "read"),
    Role("grandchild", extends=["heir"]).allow(Account, "read"),
]


@pytest.fixture
def safe(make_crm: Any) -> Any:
    crm = make_crm(plugins=[vendor], roles=ROLES)
    with crm.session(SYSTEM) as s:
        s.create(Account(name="Open", owner="1"))
        s.create(Account(name="Hidden", industry="secret", owner="2"))
        s.create(Claim(name="c"))
        s.create(Contact(name="Ann"))
    before = state_hash(crm)
    safe = CRM(crm.url, plugins=[vendor], roles=ROLES, safe_mode=True)
    yield safe
    safe.close()
    assert state_hash(crm) == before


SEEN = {
    "rep": {"Open", "Hidden"},
    "rep, travel_agent": {"Open", "Hidden"},  # a role of the host's that is none of ours
    "rich": set[str](),
    "careful": set[str](),
    "narrow": {"Open"},
    "heir": set[str](),
    "grandchild": set[str](),
    "grandchild, rep": set[str](),
    "acme.discreet": set[str](),
    "acme.discreet, rep": set[str](),
}


def test_the_core_s_records_are_readable_and_rights_fail_closed(safe: Any) -> None:
    with safe.session(SYSTEM) as s:
        assert {a.name for a in s.query(Account).all()} == {"Open", "Hidden"}
        assert [dict(s.view360(a).record._items())["name"] for a in s.query(Account).order_by(Account.name).all()] == ["Hidden", "Open"]
        with pytest.raises(CRMError) as caught:
            s.query(Claim).all()
        assert caught.value.code == "entity_not_loaded"
    for roles, seen in SEEN.items():
        with safe.session(Actor("1", roles={r.strip() for r in roles.split(",")})) as s:
            assert {a.name for a in s.query(Account).all()} == seen, roles


def test_nothing_is_written_and_nothing_delivered(safe: Any) -> None:
    with safe.session(SYSTEM) as s:
        account = s.query(Account).first()
        assert account is not None
        writes: list[Callable[[], Any]] = [
            lambda: s.create(Account(name="x")),
            lambda: s.delete(account),
            lambda: s.share(account, "user:1"),
        ]
        for write in writes:
            with pytest.raises(ReadOnly) as caught:
                write()
            assert caught.value.code == "safe_mode"
    with safe.bound.begin() as connection, safe.session(SYSTEM, on=connection) as s, pytest.raises(ReadOnly):
        s.create(Account(name="x"))
    with pytest.raises(ReadOnly), safe.session(SYSTEM, idempotency_key="k") as s:
        s.create(Account(name="x"))
    assert safe.run_pending() == 0


@pytest.mark.parametrize(("value", "is_safe"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_environment_asks_for_it_and_the_host_decides(monkeypatch: pytest.MonkeyPatch, value: str, is_safe: bool) -> None:
    monkeypatch.setenv("CRM_SAFE_MODE", value)
    for asked, got in ((None, is_safe), (False, False), (True, True)):
        crm = CRM("sqlite://", plugins=[vendor], safe_mode=asked)
        assert (crm.safe_mode, len(crm.registry.plugins)) == (got, 1 if got else 2)
        crm.close()
