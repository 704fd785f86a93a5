"""Tenants: declared, suspended, resumed, dropped; which modules each has; and their secrets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from crm_core import (
    CRM,
    Account,
    Actor,
    AutomationRule,
    Conflict,
    CoreSettings,
    Created,
    Denied,
    Entity,
    Field,
    FixedClock,
    Invalid,
    NotFound,
    Plugin,
    Ref,
    Refused,
    Role,
    RuleTrigger,
    Runtime,
    Secret,
    Session,
    TenantSuspended,
    Unavailable,
    WriteCtx,
    check_write,
)
from tests.conftest import MakeCRM

START = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


@attrs.frozen
class Door:
    """A place to send to.

    Attributes:
        url: where.
        token: what opens it.
    """

    url: str = ""
    token: Secret | None = None


@attrs.frozen
class Settings:
    """Settings of the module.

    Attributes:
        token: of the service.
        doors: other services.
    """

    token: Secret | None = None
    doors: list[Door] = attrs.Factory(list)


class Place(Entity):
    name: Field[str]


@attrs.frozen
class World:
    """A CRM with a plugin that listens, vetoes and works by the clock, and what it did."""

    crm: CRM
    clock: FixedClock
    heard: list[str]

    def account(self, tenant: str, name: str = "A") -> Account:
        """Create an account."""
        with self.crm.session(system(tenant)) as s:
            return s.create(Account(name=name))

    def later(self, **delta: float) -> None:
        """Let time pass, and run what is due."""
        self.clock.advance(timedelta(**delta))
        self.crm.run_pending()


def system(tenant: str) -> Actor:
    """Return an actor with all rights."""
    return Actor.system("test", tenant=tenant)


def maps(heard: list[str]) -> Plugin:
    """Return a plugin with one of each kind of part."""
    plugin = Plugin("maps", version="1.0", settings=Settings)
    plugin.entities(Place)
    plugin.grants("account:read")

    @plugin.on(Created[Account])
    def hear(s: Session, event: Created[Account]) -> None:
        heard.append(f"{s.actor.tenant} {event.new['name']}")

    @plugin.hook(check_write, on=Account)
    def refuse(ctx: WriteCtx, changes: list[Any]) -> None:
        for change in changes:
            if change.record.name == "Atlantis":
                ctx.refuse(change, "invalid")

    @plugin.job(every="0 * * * *", per_tenant=True)
    def hourly(s: Session) -> None:
        heard.append(f"{s.actor.tenant} {s.job.slot:%H}h")

    @plugin.action(on=Account, permission="maps.find", label="Find")
    def find(s: Session, command: Find) -> None:
        heard.append("found")

    plugin.service(Atlas)

    @plugin.panel(Account, label="Map")
    def panel(s: Session, account: Account) -> dict[str, Any]:
        return {"place": account.name}

    return plugin


class Atlas:
    """A service."""

    def __init__(self, session: Session) -> None:
        self.session = session


@attrs.frozen
class Find:
    """Find an account on the map."""

    account: Ref[Account]


Open = Callable[..., World]


@pytest.fixture
def open_world(make_crm: MakeCRM) -> Open:
    """Open a CRM with the plugin, and others beside it."""

    def world(*, beside: list[Plugin] | None = None, **options: Any) -> World:
        clock, heard = FixedClock(START), list[str]()
        crm = make_crm(plugins=[maps(heard), *(beside or [])], runtime=Runtime.seeded(1, clock=clock), **options)
        crm.run_pending()
        return World(crm, clock, heard)

    return world


@pytest.fixture
def w(open_world: Open) -> World:
    return open_world()


def test_a_tenant_is_there_with_its_first_row_and_main_always(w: World) -> None:
    w.account("acme")
    w.crm.run_pending()
    assert [t.name for t in w.crm.tenants.list()] == ["acme", "main"]


def test_a_declared_tenant_has_a_label_and_settings_at_once(w: World) -> None:
    made = w.crm.tenants.create("acme", label="Acme GmbH", settings={CoreSettings: {"timezone": "Asia/Tokyo"}})
    assert (made.label, made.state, made.modules, made.created_at) == ("Acme GmbH", "active", None, START)
    with w.crm.session(system("acme")) as s:
        assert s.settings(CoreSettings).timezone == "Asia/Tokyo"
    with pytest.raises(Conflict) as taken:
        w.crm.tenants.create("acme")
    assert taken.value.code == "tenant_exists"
    with pytest.raises(Invalid):
        w.crm.tenants.create("other", settings={CoreSettings: {"timezone": "Atlantis"}})
    assert [t.name for t in w.crm.tenants.list()] == ["acme", "main"]


def test_where_tenants_must_be_declared_all_others_are_refused(open_world: Open) -> None:
    w = open_world(tenants="declared")
    w.account("main")
    for _ in range(2):
        with pytest.raises(NotFound) as unknown:
            w.account("acme")
        assert (unknown.value.code, unknown.value.status) == ("tenant_undeclared", 404)
    w.crm.tenants.create("acme")
    w.account("acme")


def test_sessions_of_a_suspended_tenant_are_refused_in_every_process(w: World) -> None:
    w.account("acme")
    other = CRM(w.crm.url, plugins=[maps([])], runtime=w.crm.runtime)
    with other.session(system("acme")) as s:
        assert s.query(Account).count() == 1
    w.crm.tenants.suspend("acme", reason="unpaid")
    w.clock.advance(timedelta(seconds=11))
    for crm in (w.crm, other):
        for actor in (system("acme"), Actor("7", tenant="acme", roles={"rep"})):
            with pytest.raises(TenantSuspended) as refused, crm.session(actor, write=False) as s:
                s.query(Account).count()
            assert refused.value.status == 423
        with crm.session(system("main")) as s:
            s.query(Account).count()
    with w.crm.session(Actor.system("tenants", tenant="acme"), write=False) as s:
        assert s.query(Account).count() == 1
    other.close()


def test_a_suspended_tenant_cannot_be_entered_on_the_hosts_own_connection(w: World) -> None:
    w.crm.tenants.suspend("acme")
    with w.crm.bound.begin() as connection, pytest.raises(TenantSuspended), w.crm.session(system("acme"), on=connection) as s:
        s.query(Account).count()


def test_subscribers_jobs_and_rules_rest_in_a_suspended_tenant_and_go_on_afterwards(w: World) -> None:
    rule = AutomationRule(name="note", entity="account", runs_on=RuleTrigger.CREATED, actions=[{"set": {"name": "seen"}}])
    with w.crm.session(system("acme")) as s:
        s.create(rule)
    w.account("acme", "one")
    w.account("main", "two")
    w.crm.tenants.suspend("acme")
    w.crm.run_pending()
    assert w.heard == ["main two"]
    w.account("main", "three")
    w.later(hours=1)
    assert sorted(w.heard) == ["main 11h", "main three", "main two"]
    w.crm.tenants.resume("acme")
    w.later(minutes=1)
    assert sorted(w.heard) == ["acme 11h", "acme one", "main 11h", "main three", "main two"]
    assert w.crm.delivery.parked() == []
    with w.crm.session(system("acme")) as s:
        assert [a.name for a in s.query(Account).all()] == ["seen"]


def test_a_job_cannot_be_run_by_hand_in_a_suspended_tenant(w: World) -> None:
    w.crm.tenants.suspend("acme")
    with pytest.raises(TenantSuspended):
        w.crm.jobs.run("maps.hourly", tenant="acme")


def test_a_dropped_tenant_is_gone_and_may_begin_anew(w: World) -> None:
    w.crm.tenants.create("acme")
    w.account("acme")
    w.later(hours=1)
    assert w.crm.tenants.drop("acme")["account"] == 1
    w.later(hours=1)
    assert [t.name for t in w.crm.tenants.list()] == ["main"]
    assert "acme 12h" not in w.heard
    w.crm.tenants.create("acme")
    w.account("acme", "again")
    with pytest.raises(NotFound):
        w.crm.tenants.drop("nobody")


def test_what_happens_to_tenants_stands_in_their_journal(w: World) -> None:
    w.crm.tenants.create("acme", label="Acme")
    w.crm.tenants.suspend("acme", reason="unpaid")
    w.crm.tenants.resume("acme")
    w.crm.tenants.switch("acme", [])
    journal = w.crm.tables.system.journal
    with w.crm.bound.begin(write=False) as connection:
        rows = connection.execute(journal.select().where(journal.c.tenant == "acme").order_by(journal.c.id)).all()
    assert [(r.kind.split(".")[1], r.actor, r.reason) for r in rows] == [
        ("tenant_created", "system:tenants", None),
        ("tenant_suspended", "system:tenants", "unpaid"),
        ("tenant_resumed", "system:tenants", None),
        ("modules_switched", "system:tenants", None),
    ]


# -- modules ----------------------------------------------------------------------------------------------------------------------


def test_a_module_that_is_off_does_not_exist_in_its_tenant(open_world: Open) -> None:
    rep = Role("rep").allow(Account, "read", "create", "maps.find").allow(Place, "read", "create")
    w = open_world(roles=[rep])
    for tenant in ("acme", "main"):
        with w.crm.session(system(tenant)) as s:
            s.create(Place(name="Berlin"))
    w.crm.tenants.create("acme", modules=[])
    for actor in (system("acme"), Actor("7", tenant="acme", roles={"rep"})):
        with w.crm.session(actor) as s:
            account = s.create(Account(name="Atlantis"))  # its veto is not asked
            assert not s.can("read", Place)
            assert s.query(Place).count() == 0
            with pytest.raises(Denied):
                s.create(Place(name="x"))
            assert [a.name for a in s.actions(account)] == []
            with pytest.raises(Denied):
                s.use(Atlas)
            with pytest.raises(Denied):
                s.perform(Find(account.ref))
            assert [p.name for p in s.view360(account).panels if p.plugin == "maps"] == []
    with w.crm.session(Actor("7", tenant="main", roles={"rep"})) as s:
        with pytest.raises(Refused):
            s.create(Account(name="Atlantis"))
        account = s.create(Account(name="B"))
        assert (s.query(Place).count(), [a.allowed for a in s.actions(account)]) == (1, [True])
        assert [p.plugin for p in s.view360(account).panels if p.plugin == "maps"] == ["maps"]


def test_a_module_that_is_on_again_has_what_it_kept_and_hears_what_it_missed(w: World) -> None:
    with w.crm.session(system("acme")) as s:
        s.create(Place(name="Berlin"))
    w.crm.tenants.switch("acme", [])
    w.account("acme", "missed")
    w.later(hours=1)
    assert [h for h in w.heard if h.startswith("acme")] == []
    with pytest.raises(Denied) as off:
        w.crm.jobs.run("maps.hourly", tenant="acme")
    assert off.value.code == "module_off"
    w.crm.tenants.switch("acme", None)
    w.later(minutes=1)
    assert sorted(h for h in w.heard if h.startswith("acme")) == ["acme 11h", "acme missed"]
    with w.crm.session(system("acme")) as s:
        assert s.query(Place).count() == 1


def test_a_module_that_another_needs_cannot_be_left_out(open_world: Open) -> None:
    routes = Plugin("routes", version="1.0", requires={"maps": ">=1"})
    w = open_world(beside=[routes])
    with pytest.raises(Invalid) as needs:
        w.crm.tenants.create("acme", modules=["routes"])
    assert (needs.value.code, needs.value.params["needs"]) == ("module_needs", ["maps"])
    with pytest.raises(Invalid) as unknown:
        w.crm.tenants.create("acme", modules=["mapps"])
    assert unknown.value.params["suggestion"] == "maps"
    assert w.crm.tenants.create("acme", modules=["maps", "routes"]).modules == ("maps", "routes")


def test_modules_are_switched_one_by_one_and_the_others_stay(open_world: Open) -> None:
    tenants = open_world(beside=[Plugin("routes", version="1.0", requires={"maps": ">=1"})]).crm.tenants
    tenants.create("acme", modules=["maps"])
    tenants.enable("acme", "routes")
    assert tenants.get("acme").modules == ("maps", "routes")
    with pytest.raises(Invalid) as needs:
        tenants.disable("acme", "maps")
    assert needs.value.code == "module_needs"
    tenants.disable("acme", "routes", "maps")
    assert tenants.get("acme").modules == ()
    tenants.enable("main", "maps")
    assert tenants.get("main").modules is None
    tenants.disable("main", "routes")
    assert tenants.get("main").modules == ("maps",)


# -- secrets ----------------------------------------------------------------------------------------------------------------------


def test_a_secret_is_read_where_its_reference_says(open_world: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TOKEN", "from the environment")
    (tmp_path / "token").write_text("from a file\n")
    w = open_world(secrets=lambda reference, tenant: f"{reference} of {tenant}" if "nothing" not in reference else None)
    wanted = {
        "env:ACME_TOKEN": "from the environment", f"file:{tmp_path / 'token'}": "from a file", "vault:a/b": "vault:a/b of acme",
    }  # fmt: skip
    with w.crm.session(system("acme")) as s:
        for reference, value in wanted.items():
            found = s.change_settings(Settings, {"token": {"secret": reference}}).token
            assert found is not None
            assert s.secret(found) == value
        for missing in ("env:NOBODY", "file:/nowhere", "vault:nothing"):
            with pytest.raises(Unavailable, match=missing):
                s.secret(Secret(missing))


def test_a_secret_given_as_it_is_is_refused_and_said_nowhere(w: World) -> None:
    with w.crm.session(system("acme")) as s, pytest.raises(Invalid) as plain:
        s.change_settings(Settings, {"doors": [{"url": "https://x", "token": "hunter2"}]})
    assert [(d.field, d.code) for d in plain.value.details] == [("doors[0].token", "secret_by_reference")]
    assert "hunter2" not in f"{plain.value} {plain.value.problem()}"
    for wrong in ("hunter2", "Hunter:2", "env:", ":x", "a" * 300, 7):
        with pytest.raises(Invalid) as refused:
            Secret(wrong)  # type: ignore[arg-type]  # it may come from outside
        assert "hunter2" not in str(refused.value)


def test_the_value_of_a_secret_is_in_no_row_of_the_database(open_world: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TOKEN", "hunter2-canary")
    w = open_world()
    with w.crm.session(system("acme")) as s:
        token = s.change_settings(Settings, {"token": {"secret": "env:ACME_TOKEN"}}).token
        assert token is not None
        assert s.secret(token) == "hunter2-canary"
        assert "hunter2" not in repr(s.settings(Settings))
    everything = ""
    with w.crm.bound.begin(write=False) as connection:
        for table in (w.crm.tables.system.journal, w.crm.tables.system.setting):
            everything += repr(connection.execute(table.select()).all())
    assert "env:ACME_TOKEN" in everything
    assert "hunter2" not in everything


def test_only_the_host_points_at_its_own_variables_and_files(open_world: Open) -> None:
    keeper = Role("keeper").permit("maps.settings")
    w = open_world(roles=[keeper], secrets=lambda reference, tenant: "known")
    with w.crm.session(Actor("7", tenant="acme", roles={"keeper"})) as s:
        for reference in ("env:PATH", "file:/etc/passwd"):
            with pytest.raises(Denied) as refused:
                s.change_settings(Settings, {"doors": [{"url": "https://mine", "token": {"secret": reference}}]})
            assert refused.value.code == "secret_of_the_host"
        s.change_settings(Settings, {"token": {"secret": "vault:mine"}})


def test_settings_of_a_tenant_are_reset_to_the_defaults(w: World) -> None:
    with w.crm.session(system("acme")) as s:
        s.change_settings(CoreSettings, {"timezone": "Asia/Tokyo"})
        assert s.reset_settings(CoreSettings, "timezone").timezone == "UTC"
        assert s.settings(CoreSettings).timezone == "UTC"
        with pytest.raises(Invalid):
            s.reset_settings(CoreSettings, "timezones")
