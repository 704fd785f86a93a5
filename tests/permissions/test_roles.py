"""Roles are checked where they are written; policies are checked against the loaded entities."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core import CRM, Plugin
from crm_core.errors import Invalid, LoadError
from crm_core.permissions.actor import Actor
from crm_core.permissions.policies import Policies
from crm_core.permissions.predicates import Shared
from crm_core.permissions.roles import Role
from crm_core.rules import F, everything, nothing, owner, subordinates, team

from .world import Company, Deal, Remark


class Loaded:
    """What plugins declare, for these tests."""

    entities = (Company, Deal, Remark)

    def __init__(self, *roles: Role, grants: dict[str, set[str]] | None = None) -> None:
        self.roles = roles
        self._grants = grants or {}

    def extensions(self, entity: type[Any]) -> tuple[type[Any], ...]:
        return ()

    def grants(self, plugin: str) -> set[str]:
        return self._grants.get(plugin, set())


def policies(*roles: Role) -> Policies:
    return Policies(Loaded(), roles)


def having(*names: str, tenant: str = "main") -> Actor:
    return Actor("7", tenant=tenant, roles=names)


REP = Role("rep", label="Sales rep").allow(Deal, "read", "update", where=owner).allow(Company, "read", where=team)


def test_an_actor_without_roles_may_do_nothing() -> None:
    policy = policies(REP).resolve(having())
    assert policy.rule("read", Deal) == nothing
    assert policy.is_nothing(policy.rule("read", Deal))
    assert not policy.permits("acme.loyalty.redeem")


def test_an_unknown_role_gives_no_rights_and_no_error() -> None:
    all_of_them = policies(REP)
    assert all_of_them.resolve(having("ghost")).rule("read", Deal) == nothing
    assert all_of_them.resolve(having("rep", "ghost")) is all_of_them.resolve(having("rep"))


def test_actions_not_allowed_are_denied() -> None:
    policy = policies(REP).resolve(having("rep"))
    assert policy.rule("read", Deal) == owner | Shared("read", "deal")
    for action, entity in (("delete", Deal), ("create", Deal), ("update", Company), ("read", Remark), ("export", Deal)):
        assert policy.rule(action, entity) == nothing


def test_rights_add_up_and_restrictions_hold_on_top() -> None:
    legal = Role("legal").restrict(Deal, "read", "update", where=~(F("stage") == "lost"))
    boss = Role("boss").allow(Deal, "read", where=subordinates)
    policy = policies(REP, legal, boss).resolve(having("rep", "legal", "boss"))
    assert policy.rule("read", Deal) == (subordinates | owner | Shared("read", "deal")) & ~(F("stage") == "lost")
    assert policies(legal).resolve(having("legal")).rule("read", Deal) == nothing


def test_a_share_widens_only_what_some_role_allows_and_no_creation() -> None:
    maker = Role("maker").allow(Deal, "create", where=owner)
    policy = policies(REP, maker).resolve(having("rep", "maker"))
    assert policy.rule("create", Deal) == owner
    assert policy.rule("delete", Deal) == nothing


def test_a_role_can_allow_just_what_is_shared() -> None:
    guest = Role("guest").allow(Deal, "read", "create", where=nothing)
    policy = policies(guest).resolve(having("guest"))
    assert policy.rule("read", Deal) == Shared("read", "deal")
    assert policy.rule("create", Deal) == nothing


def test_who_sees_everything_needs_no_share() -> None:
    policy = policies(Role("all").allow(Deal, "read"), REP).resolve(having("all", "rep"))
    assert policy.rule("read", Deal) == everything
    assert policy.is_everything(policy.rule("read", Deal))


def test_a_role_includes_the_roles_it_extends() -> None:
    lead = Role("lead", extends=["rep"]).allow(Deal, "delete", where=owner)
    chief = Role("chief", extends=["lead"])
    policy = policies(chief, lead, REP).resolve(having("chief"))
    assert policy.rule("delete", Deal) == owner | Shared("delete", "deal")
    assert policy.rule("read", Company) == team | Shared("read", "company")


@pytest.mark.parametrize(
    ("roles", "code"),
    [
        ([REP, Role("rep")], "role_taken"),
        ([Role("a", extends=["b"])], "role_unknown"),
        ([Role("a", extends=["a"])], "role_circle"),
        ([Role("a", extends=["b"]), Role("b", extends=["c"]), Role("c", extends=["b"])], "role_circle"),
        ([Role("a").allow("delas", "read")], "role_entity"),
        ([Role("a").allow(Deal, "read", where=F("x") == 1)], "rule_unknown_field"),
        ([Role("a").allow(Remark, "read", where=owner)], "rule_needs_owner"),
        ([Role("a").restrict(Remark, "read", where=owner)], "rule_needs_owner"),
        ([Role("a").allow(Deal, "read", fields={"x": "none"})], "role_field"),
        ([Role("a").allow(Deal, "read", fields={"id": "none"})], "role_field"),
        ([Role("a").allow(Deal, "read", fields={"amount": "masked"})], "role_masked"),
    ],
    ids=lambda v: v if isinstance(v, str) else ",".join(r.name for r in v),
)
def test_a_role_that_does_not_fit_is_a_load_error(roles: list[Role], code: str) -> None:
    with pytest.raises(LoadError) as e:
        policies(*roles)
    assert e.value.code == code
    assert "(" not in str(e.value).split(":")[0]  # a sentence, not a bare code


def test_a_role_of_a_plugin_and_one_of_the_host_cannot_share_a_name() -> None:
    with pytest.raises(LoadError) as e:
        Policies(Loaded(REP), [Role("rep")])
    assert e.value.code == "role_taken"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Role(""), "role_name"),
        (lambda: Role("a\n"), "role_name"),
        (lambda: Role("a", extends="rep"), "role_extends"),
        (lambda: Role("a").allow(Deal), "role_action"),
        (lambda: Role("a").allow(Deal, "raed"), "role_action"),
        (lambda: Role("a").restrict(Deal, where=owner), "role_action"),
        (lambda: Role("a").permit("redeem"), "role_action"),
        (lambda: Role("a").allow(Deal, "read", fields={"memo": "hidden"}), "role_level"),  # type: ignore[dict-item]  # on purpose
    ],
)
def test_a_role_is_checked_where_it_is_written(make: Any, code: str) -> None:
    with pytest.raises(LoadError) as e:
        make()
    assert e.value.code == code


def test_a_misspelt_action_comes_with_a_suggestion() -> None:
    with pytest.raises(LoadError, match="Did you mean read"):
        Role("a").allow(Deal, "raed")


def test_roles_are_definitions_that_are_never_equal() -> None:
    assert Role("a") != Role("a")
    assert repr(Role("a")) == "Role('a')"


def test_permissions_of_plugins_are_given_alone_or_per_record() -> None:
    clerk = Role("clerk").allow(Deal, "acme.loyalty.redeem", where=owner).permit("sales.run_forecast")
    policy = policies(clerk).resolve(having("clerk"))
    assert policy.permits("acme.loyalty.redeem")
    assert policy.permits("sales.run_forecast")
    assert not policy.permits("sales.other")
    assert policy.rule("acme.loyalty.redeem", Deal) == owner


# -- fields ----------------------------------------------------------------------------------------------------------------------


def levels(*roles: Role) -> dict[str, str]:
    return dict(policies(*roles).resolve(having(*(r.name for r in roles))).fields(Deal))


def test_fields_that_no_role_lists_are_writable() -> None:
    assert levels(REP) == {}


def test_of_several_roles_the_widest_level_counts() -> None:
    hidden = Role("hidden").allow(Deal, "read", fields={"amount": "none", "memo": "none", "title": "masked"})
    some = Role("some").allow(Deal, "read", fields={"amount": "read", "memo": "masked", "title": "none"})
    assert levels(hidden, some) == {"amount": "read", "memo": "masked", "title": "masked"}
    assert levels(hidden, Role("open").allow(Deal, "read")) == {}


def test_a_role_that_does_not_allow_reading_opens_no_field() -> None:
    hidden = Role("hidden").allow(Deal, "read", fields={"amount": "none"})
    writer = Role("writer").allow(Deal, "update")
    assert levels(hidden, writer) == {"amount": "none"}
    assert levels(hidden, Role("elsewhere").allow(Company, "read")) == {"amount": "none"}


def test_a_role_that_does_not_allow_writing_makes_no_field_writable() -> None:
    reader = Role("reader").allow(Deal, "read")
    writer = Role("writer").allow(Deal, "update", fields={"amount": "read", "memo": "none"})
    assert levels(reader, writer) == {"amount": "read", "memo": "read"}


def test_the_fields_of_a_role_hold_whichever_grant_lists_them_and_the_narrower_wins() -> None:
    role = (
        Role("a")
        .allow(Deal, "read", fields={"amount": "read"})
        .allow(Deal, "update", where=owner, fields={"amount": "none", "memo": "read"})
    )
    assert levels(role) == {"amount": "none", "memo": "read"}


# -- who else acts ---------------------------------------------------------------------------------------------------------------


def test_a_system_actor_may_do_everything() -> None:
    policy = policies(REP).resolve(Actor.system("nightly", tenant="main"))
    assert policy.sees_all
    assert policy.rule("delete", Deal) == everything
    assert policy.fields(Deal) == {}
    assert policy.permits("anything.at.all")


def test_roles_that_a_system_or_service_actor_claims_mean_nothing() -> None:
    every = policies(REP)
    assert every.resolve(Actor.service("sales", tenant="main")).rule("read", Deal) == nothing


def test_a_service_actor_has_its_plugins_entities_and_declared_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    from crm_core.entities.meta import spec

    monkeypatch.setattr(spec(Remark), "plugin", "acme.notes")
    loaded = Loaded(
        grants={
            "acme.notes": {"deal:read, update", "company:read", "sales.run_forecast"},
            "broken": {"deals:read"},
            "wrong": {"deal:raed"},
            "formless": {"deal"},
        }
    )
    every = Policies(loaded)
    policy = every.resolve(Actor.service("acme.notes", tenant="main"))
    assert policy is every.resolve(Actor.service("acme.notes", tenant="other"))
    allowed = {
        (a, e) for a in ("read", "update", "delete", "acme.notes.pin") for e in (Company, Deal, Remark) if policy.rule(a, e) == everything
    }
    assert allowed == {
        ("read", Deal),
        ("update", Deal),
        ("read", Company),
        *((a, Remark) for a in ("read", "update", "delete", "acme.notes.pin")),
    }
    assert policy.permits("acme.notes.pin")
    assert policy.permits("sales.run_forecast")
    assert not policy.permits("acme.notesx.pin")
    for name, code, suggestion in (
        ("broken", "grant_unknown", "deal"),
        ("wrong", "grant_unknown", "read"),
        ("formless", "bad_grant", None),
    ):
        for call in (lambda name=name: every.check_grants([name]), lambda name=name: every.resolve(Actor.service(name, tenant="main"))):
            with pytest.raises(LoadError) as e:
                call()
            assert (e.value.code, e.value.params["plugin"], e.value.params.get("suggestion")) == (code, name, suggestion)


@pytest.mark.parametrize(("grant", "meant"), [("acount:read", "account"), ("account:reed", "read")])
def test_a_grant_of_what_is_not_there_is_refused_when_a_crm_is_built(grant: str, meant: str) -> None:
    plugin = Plugin("acme.greedy", version="1.0")
    plugin.grants(grant)
    with pytest.raises(LoadError, match=rf"acme.greedy declares the grant {grant}.* Did you mean {meant}\?"):
        CRM("sqlite://", plugins=[plugin])


# -- roles as data ---------------------------------------------------------------------------------------------------------------


def test_a_tenants_own_roles_hold_in_that_tenant_alone() -> None:
    every = policies(REP)
    every.set_tenant_roles("acme", [Role("auditor", extends=["rep"]).allow(Deal, "export")])
    assert every.resolve(having("auditor", tenant="acme")).rule("export", Deal) == everything
    assert every.resolve(having("auditor", tenant="acme")).rule("update", Deal) == owner | Shared("update", "deal")
    assert every.resolve(having("auditor", tenant="other")).rule("export", Deal) == nothing
    assert every.resolve(having("rep", tenant="acme")) is every.resolve(having("rep", tenant="other"))


def test_changed_roles_of_a_tenant_count_at_once() -> None:
    every = policies(REP)
    for entity in (Deal, Company):
        every.set_tenant_roles("acme", [Role("auditor").allow(entity, "export")])
        assert every.resolve(having("auditor", tenant="acme")).rule("export", entity) == everything
    assert every.resolve(having("auditor", tenant="acme")).rule("export", Deal) == nothing


@pytest.mark.parametrize(
    ("role", "code"),
    [
        (Role("rep").allow(Deal, "delete"), "role_taken"),
        (Role("a", extends=["x"]), "role_unknown"),
        (Role("a").allow("x", "read"), "role_entity"),
    ],
    ids=["takes a name", "extends nothing", "no entity"],
)
def test_a_tenants_broken_role_is_refused_when_it_is_written(role: Role, code: str) -> None:
    every = policies(REP)
    with pytest.raises(Invalid) as e:
        every.check_tenant_roles([Role("auditor"), role])
    assert e.value.code == code


def test_a_stored_role_that_fits_no_more_fails_closed_and_harms_no_other() -> None:
    every = policies(REP)
    stale = (
        Role("stale", extends=["gone", "rep"]).allow(Deal, "export", where=F("gone") == 1).restrict(Deal, "update", where=F("gone") == 1)
    )
    taken = Role("rep").allow(Deal, "delete")
    problems = every.set_tenant_roles("acme", [stale, taken, Role("auditor").allow(Deal, "export")])
    assert [p.code for p in problems] == ["rule_unknown_field", "role_taken", "role_unknown"]
    both = every.resolve(having("stale", "rep", "auditor", tenant="acme"))
    assert both.rule("export", Deal) == everything
    assert both.rule("update", Deal) == nothing
    assert both.rule("delete", Deal) == nothing
    assert every.resolve(having("stale", tenant="acme")).rule("export", Deal) == nothing
    assert every.resolve(having("stale", tenant="acme")).rule("read", Deal) == owner | Shared("read", "deal")
    assert every.set_tenant_roles("acme", []) == []


def test_policies_are_kept_by_role_set_and_the_cache_is_bounded() -> None:
    every = policies(*(Role(f"r{n}").allow(Deal, "read") for n in range(60)))
    assert every.resolve(having("r1", "r2")) is every.resolve(Actor("8", roles=["r2", "r1"], teams=["x"]))
    for a in range(60):
        for b in range(a):
            every.resolve(having(f"r{a}", f"r{b}"))
    assert len(every._cache) <= 1000
