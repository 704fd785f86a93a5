"""Which plugins load, in which order, and what is said when they cannot."""

from __future__ import annotations

import sys
from itertools import combinations, permutations
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.entities.customer import Account, Contact
from crm_core.entities.entity import Entity, Extension
from crm_core.entities.fields import Field, field
from crm_core.entities.meta import spec
from crm_core.errors import Invalid
from crm_core.events.event import Created, Event
from crm_core.hooks.core_specs import CORE, before_write
from crm_core.hooks.measures import Fact
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.hooks.spec import Ctx, FilterHook
from crm_core.permissions.roles import Role
from crm_core.secrets import Secret
from tests.hooks.host import refused


def plugin(name: str, version: str = "1.0", **requires: str) -> Plugin:
    return Plugin(name, version=version, requires=requires)


def names(registry: Registry) -> list[str]:
    return [p.name for p in registry.plugins if p is not CORE]


def test_plugins_load_after_those_they_require_and_else_as_given() -> None:
    a, b, c, d = plugin("a", b=">=1"), plugin("b", c=""), plugin("c"), plugin("d")
    assert names(Registry([a, b, c, d])) == ["c", "b", "a", "d"]
    assert names(Registry([d, a, c, b])) == ["d", "c", "b", "a"]
    assert Registry([a, b, c]).plugins[0] is CORE


def test_permutations_of_the_list_give_the_same_plugins() -> None:
    made = [plugin("a"), plugin("b", a=""), plugin("c", b="")]
    assert {tuple(names(Registry(p))) for p in permutations(made)} == {("a", "b", "c")}


@given(st.data())
def test_every_closed_subset_of_plugins_boots_in_an_order_that_respects_the_requirements(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 7))
    order = data.draw(st.permutations(range(count)))
    edges = {(a, b) for a, b in combinations(range(count), 2) if data.draw(st.booleans())}
    made = [plugin(f"p{n}", **{f"p{b}": ">=1" for a, b in edges if a == n}) for n in range(count)]
    given_order = [made[n] for n in order]
    loaded = names(Registry(given_order))
    assert sorted(loaded) == sorted(p.name for p in made)
    assert all(loaded.index(f"p{b}") < loaded.index(f"p{a}") for a, b in edges)
    if not edges:
        assert loaded == [p.name for p in given_order]


def test_the_core_can_be_required_like_a_plugin() -> None:
    assert names(Registry([plugin("a", core=">=0.1")])) == ["a"]
    error = refused(lambda: Registry([plugin("a", core=">=99")]))
    assert error.code == "plugin_incompatible"


def test_a_missing_requirement_says_what_which_version_and_what_to_do() -> None:
    error = refused(lambda: Registry([plugin("acme.loyalty", sale=">=1,<2"), plugin("sales")]))
    assert error.code == "plugin_missing"
    assert str(error) == "acme.loyalty needs sale >=1,<2, which is not loaded. Add it to the CRM's plugins. Did you mean sales?"


def test_an_incompatible_requirement_says_which_version_is_there() -> None:
    error = refused(lambda: Registry([plugin("a", sales=">=2"), plugin("sales", "1.4.1")]))
    assert error.code == "plugin_incompatible"
    assert str(error).startswith("a needs sales >=2. 1.4.1 is there")


def test_requirements_in_a_circle_are_shown() -> None:
    error = refused(lambda: Registry([plugin("x"), plugin("a", b=""), plugin("b", c=""), plugin("c", a="")]))
    assert error.code == "plugin_circle"
    assert error.params["chain"] == "a → b → c → a"


@pytest.mark.parametrize("twin", [lambda a: a, lambda a: plugin("a", "2.0"), lambda a: a.configured()])
def test_two_plugins_of_one_name_do_not_load(twin: Any) -> None:
    a = plugin("a")
    error = refused(lambda: Registry([a, twin(a)]))
    assert error.code == "plugin_twice"
    assert "called a" in str(error)


@pytest.mark.parametrize("name", ["", "A", "a b", "a.", ".a", "1a", "a..b", "a-b", "ä", "a\n", "core ", None, 5])
def test_a_name_that_is_not_lower_case_words_with_dots_is_refused(name: Any) -> None:
    assert refused(lambda: Registry([Plugin(name, version="1")])).code == "plugin_bad_name"


@pytest.mark.parametrize("version", ["", "one", "1.", None, "1.0.0-beta"])
def test_a_version_that_is_none_is_refused(version: Any) -> None:
    assert refused(lambda: Registry([Plugin("a", version=version)])).code == "bad_version"


def test_a_bad_range_is_refused() -> None:
    assert refused(lambda: Registry([plugin("a", b="about 1"), plugin("b")])).code == "bad_version_range"


def test_what_is_not_a_plugin_is_refused_with_what_to_pass() -> None:
    error = refused(lambda: Registry([sys]))  # type: ignore[list-item]  # the mistake under test
    assert error.code == "not_a_plugin"
    assert "crm_sales.plugin" in str(error)


def test_a_definition_is_shared_by_registries_and_none_changes_it() -> None:
    a, b = plugin("a"), plugin("b", a="")
    hook: FilterHook[Ctx, list[int]] = FilterHook("a.hook")
    a.hooks(hook)

    @b.hook(hook)
    def add(ctx: Ctx, value: list[int]) -> list[int]:
        return value

    alone, both = Registry([a]), Registry([a, b])
    assert (len(alone.plan(hook)), len(both.plan(hook))) == (0, 1)
    assert alone.manager is not both.manager


def test_a_plugin_equals_only_itself() -> None:
    a = plugin("a")
    assert a == a
    assert a != plugin("a")
    assert len({a, plugin("a")}) == 2
    assert repr(a) == "Plugin('a', version='1.0')"


@attrs.define
class Settings:
    rate: int = 1
    tiers: list[str] = attrs.Factory(list)


@attrs.define
class Guarded(Settings):
    rate: int = attrs.field(default=1, validator=attrs.validators.ge(0))
    token: Secret | None = None


def test_configured_gives_a_new_definition_with_other_defaults() -> None:
    a = Plugin("a", version="1", settings=Settings)
    b = a.configured(rate=3).configured(tiers=["gold"])
    assert Registry([b]).settings[Settings] == Settings(3, ["gold"])
    assert Registry([a]).settings[Settings] == Settings()


def test_an_unknown_setting_suggests_the_right_name() -> None:
    error = refused(lambda: Registry([Plugin("a", version="1", settings=Settings).configured(tier=1)]))
    assert (error.code, error.params["path"], error.params["suggestion"]) == ("setting_unknown", "a.tier", "tiers")
    assert refused(lambda: Registry([plugin("a").configured(tier=1)])).code == "setting_unknown"


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ({"token": "sesame-sesame"}, "token", "secret_by_reference"),
        ({"rate": "sesame-sesame"}, "rate", "wrong_type"),
        ({"rate": -123456}, "rate", "bad_value"),
        ({"tiers": None}, "tiers", "wrong_type"),
    ],
)
def test_what_a_host_configures_is_checked_as_a_tenants_settings_are_and_never_quoted(given: dict[str, Any], field: str, code: str) -> None:
    error = refused(lambda: Registry([Plugin("a", version="1", settings=Guarded).configured(**given)]))
    assert (error.code, [(d.entity, d.field, d.code) for d in error.details]) == ("settings_refused", [("a", field, code)])
    assert not any(str(value) in f"{error} {error.details}" for value in given.values() if isinstance(value, str))


def test_a_secret_is_configured_by_its_reference_as_an_object_or_as_plain_json() -> None:
    for token in (Secret("env:TOKEN"), {"secret": "env:TOKEN"}):
        made = Registry([Plugin("a", version="1", settings=Guarded).configured(token=token)])
        assert made.settings[Guarded] == Guarded(token=Secret("env:TOKEN"))


def test_settings_that_cannot_be_made_without_a_tenant_are_refused() -> None:
    @attrs.define
    class Needs:
        key: str

    assert refused(lambda: Registry([Plugin("a", version="1", settings=Needs)])).code == "settings_refused"
    assert refused(lambda: Registry([Plugin("a", version="1", settings=dict)])).code == "settings_not_attrs"


class Coupon(Entity):
    code: Field[str]


class CouponUsed(Event[Coupon], name="shop.coupon_used"):
    times: int = 1


class Loyalty(Extension):
    tier: Field[str] = field(default="basic")


class Shop:
    def __init__(self, session: Any) -> None:
        self.session = session


def full() -> Plugin:
    """A plugin with one of everything."""
    shop = Plugin("shop", version="1.0", settings=Settings)
    shop.entities(Coupon)
    shop.extend(Account)(Loyalty)
    shop.link(Account, Coupon)
    shop.events(CouponUsed)
    shop.hooks(FilterHook("shop.price"))
    shop.on(CouponUsed)(on_used)
    shop.on(Created[Account])(on_account)
    shop.job(every="0 3 * * *", per_tenant=True)(nightly)
    shop.panel(Account, label="Shop")(panel)
    coupons = shop.measure("coupons", Coupon, label="Coupons", formula="number of coupons", unit="coupons")
    shop.source(label="Visits", unit="visits")(visits)
    shop.dimension("code", Coupon, "code", label="Code")
    shop.metric(coupons, label="Twice", unit="coupons")(metric)
    shop.role(Role("shop.keeper"))
    shop.service(Shop)
    shop.grants("account:read", "account:update")
    shop.catalogue("de", {"shop.no": "Nein"})
    shop.hook(before_write, on=Account)(tidy)
    return shop


def on_used(s: Any, event: CouponUsed) -> None: ...
def on_account(s: Any, event: Created[Account]) -> None: ...
def namesake() -> Any:
    def on_account(s: Any, event: Created[Contact]) -> None: ...

    return on_account


def nightly(s: Any) -> None: ...
def panel(s: Any, account: Account) -> dict[str, Any]:
    return {}


def metric(coupons: Any) -> int:
    """Twice the coupons."""
    return int(2 * coupons)


def visits(s: Any, since: Any, until: Any) -> list[Fact]:
    """Number of visits."""
    return []


def tidy(ctx: Any, changes: Any) -> Any:
    return changes


def test_everything_a_plugin_contributes_can_be_looked_up() -> None:
    shop = full()
    r = Registry([shop])
    assert r.plugin("shop") is shop
    assert r.entities[-1] is Coupon
    assert r.entities[0] is Account
    assert spec(Coupon).name == "shop.coupon"
    assert r.extensions(Account) == (Loyalty,)
    assert r.extensions(Contact) == ()
    assert [(link.name, link.a, link.b) for link in r.links] == [("shop.account_coupon", Account, Coupon)]
    assert r.events == {"shop.coupon_used": CouponUsed}
    assert [s.name for s in r.subscriptions] == ["shop.on_used", "shop.on_account"]
    assert [(j.name, j.every, j.per_tenant) for j in r.jobs] == [("shop.nightly", "0 3 * * *", True)]
    assert [p.label for p in r.panels(Account) if p.plugin == "shop"] == ["Shop"]
    assert [p.plugin for p in r.panels(Contact)] == ["core"]
    assert [(name, figure.formula) for name, figure in r.figures.items()] == [
        ("shop.coupons", "number of coupons"),
        ("shop.visits", "Number of visits."),
        ("shop.metric", "Twice the coupons."),
    ]
    assert [(d.name, d.entity) for d in r.dimensions] == [("shop.code", Coupon)]
    assert [role.name for role in r.roles] == ["shop.keeper"]
    assert r.services == (Shop,)
    assert r.grants("shop") == {"account:read", "account:update"}
    assert r.catalogues[-1].templates == {"shop.no": "Nein"}
    assert set(r.hooks) == {"before_write", "check_write", "after_write", "shop.price"}


def test_every_thing_has_an_owner() -> None:
    r = Registry([full()])
    assert {r.owner(t) for t in (Coupon, CouponUsed, Loyalty, Shop, Settings, r.hooks["shop.price"], r.roles[0])} == {"shop"}
    assert r.owner(Account) == r.owner(before_write) == "core"
    assert r.owner(object) is None
    assert r.owner([]) is None
    assert r.service_owner(Shop) == "shop"


def test_what_is_not_loaded_is_asked_for_in_vain_with_a_suggestion() -> None:
    class Shops: ...

    r = Registry([full()])
    with pytest.raises(Invalid, match="Did you mean Shop") as caught:
        r.service_owner(Shops)
    assert caught.value.code == "service_unknown"
    assert refused(lambda: r.plugin("shops")).params["suggestion"] == "shop"
    assert refused(lambda: r.plan(FilterHook("shop.prices"))).params["suggestion"] == "shop.price"


@pytest.mark.parametrize(
    ("declare", "kind"),
    [
        (lambda p: p.hooks(FilterHook("price")), "hook"),
        (lambda p: p.role(Role("keeper")), "role"),
        (lambda p: p.catalogue("en", {"invalid": "Everything is fine."}), "message"),
        (lambda p: p.events(CouponUsed), "event"),
    ],
)
def test_names_start_with_the_plugin_s_name(declare: Any, kind: str) -> None:
    p = plugin("acme.shop")
    declare(p)
    error = refused(lambda: Registry([p]))
    assert (error.code, error.params["kind"], error.params["plugin"]) == ("name_unprefixed", kind, "acme.shop")


@pytest.mark.parametrize(
    ("declare", "kind"),
    [
        (lambda p: p.hooks(FilterHook("a.price"), FilterHook("a.price")), "hook"),
        (lambda p: (p.role(Role("a.keeper")), p.role(Role("a.keeper"))), "role"),
        (lambda p: (p.job(every="0 3 * * *")(nightly), p.job(every="0 4 * * *")(nightly)), "job"),
        (lambda p: (p.on(Created[Account])(on_account), p.on(Created[Contact])(namesake())), "subscription"),
        (lambda p: (p.metric(label="x", unit="%")(metric), p.source(label="y", unit="%")(metric)), "metric"),
        (lambda p: [p.dimension("d", Account, "kind", label="x") for _ in "ab"], "dimension"),
    ],
)
def test_two_things_of_one_kind_do_not_share_a_name(declare: Any, kind: str) -> None:
    p = plugin("a")
    declare(p)
    error = refused(lambda: Registry([p]))
    assert (error.code, error.params["kind"]) == ("name_taken", kind)


def test_one_function_may_listen_to_several_events() -> None:
    p = plugin("a")
    contacts: Any = p.on(Created[Contact])
    p.on(Created[Account])(contacts(on_account))
    assert [s.name for s in Registry([p]).subscriptions] == ["a.on_account"] * 2


def test_a_thing_belongs_to_one_plugin_alone() -> None:
    a, b = plugin("a"), plugin("b")
    a.service(Shop)
    b.service(Shop)
    error = refused(lambda: Registry([a, b]))
    assert (error.code, error.params["name"], error.params["one"], error.params["two"]) == ("name_taken", "Shop", "a", "b")


class Unclaimed(Entity):
    name: Field[str]


class Unheard(Event[Account], name="nobody.unheard"):
    pass


@pytest.mark.parametrize(
    ("declare", "thing"),
    [
        (lambda p: p.link(Account, Unclaimed), "Unclaimed"),
        (lambda p: p.panel(Unclaimed, label="x")(panel), "Unclaimed"),
        (lambda p: p.on(Unheard)(on_used), "Unheard"),
        (lambda p: p.dimension("d", Unclaimed, "name", label="x"), "Unclaimed"),
        (lambda p: p.on(Created[Unclaimed])(on_used), "Unclaimed"),
        (lambda p: p.hook(before_write, on=Unclaimed)(tidy), "Unclaimed"),
    ],
)
def test_what_no_loaded_plugin_declares_cannot_be_used(declare: Any, thing: str) -> None:
    p = plugin("a")
    declare(p)
    error = refused(lambda: Registry([p]))
    assert (error.code, error.params["thing"]) == ("not_declared", thing)


def test_what_another_plugin_declares_is_used_only_by_those_who_require_it() -> None:
    shy = plugin("a")
    shy.on(CouponUsed)(on_used)
    error = refused(lambda: Registry([full(), shy]))
    assert (error.code, error.params["other"]) == ("requirement_undeclared", "shop")
    honest = plugin("a", shop=">=1")
    honest.hook(before_write, on=Coupon)(tidy)
    assert names(Registry([full(), honest])) == ["shop", "a"]


@pytest.mark.parametrize(
    ("declare", "takes"),
    [
        (lambda p: p.on(Created[Account])(lambda event: None), "session, event"),
        (lambda p: p.job(every="0 3 * * *")(lambda: None), "session"),
        (lambda p: p.panel(Account, label="x")(lambda s: {}), "session, record"),
    ],
)
def test_functions_that_cannot_be_called_as_they_will_be_are_refused_with_where_they_are(declare: Any, takes: str) -> None:
    p = plugin("a")
    declare(p)
    error = refused(lambda: Registry([p]))
    assert (error.code, error.params["takes"]) == ("wrong_parameters", takes)
    assert __file__ in error.params["where"]


def test_functions_whose_body_would_never_run_are_refused() -> None:
    async def later(s: Any) -> None: ...

    def bit_by_bit(s: Any) -> Any:
        yield 1

    ways: list[Any] = [lambda p: p.panel(Account, label="x")(later), lambda p: p.job(every="0 3 * * *")(bit_by_bit)]
    for declare in ways:
        p = plugin("a")
        declare(p)
        assert refused(lambda p=p: Registry([p])).code == "not_a_plain_function"  # type: ignore[misc]  # bound in the loop


def test_every_load_error_is_worded_in_both_languages() -> None:
    errors = [refused(lambda: Registry([plugin("a", b="")])), refused(lambda: Registry([plugin("a"), plugin("a")]))]
    for error in errors:
        assert error.message("zh") != error.message("en")
        assert error.code not in error.message("zh")
