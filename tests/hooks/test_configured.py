"""A plugin that a host configures: its settings, checked when it is loaded."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.secrets import Secret
from tests.hooks.host import Settings, plugin, refused


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
