"""What a plugin contributes: looked up by name, owned by one, and refused where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core.entities.customer import Account, Contact
from crm_core.entities.entity import Entity, Extension
from crm_core.entities.fields import Field, field
from crm_core.entities.meta import spec
from crm_core.errors import Invalid
from crm_core.events.event import Created, Event
from crm_core.hooks.core_specs import before_write
from crm_core.hooks.measures import Fact
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.hooks.spec import FilterHook
from crm_core.permissions.roles import Role
from tests.hooks.host import Settings, names, plugin, refused


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
