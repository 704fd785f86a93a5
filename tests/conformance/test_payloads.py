"""CK10 reads the payload that plugin.json keeps of each old version through all upcasts to the newest."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crm_core.contracts.collect import collect
from crm_core.contracts.document import read, text
from crm_core.contracts.payloads import keep
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.testing.conformance import RULES, check
from crm_core.testing.databases import SQLiteDatabases

FIRST = """
from crm_core import Account, Event, Plugin

plugin = Plugin("parcels", version="{version}", package="parcels")


class Sent(Event[Account], name="parcels.sent", version={n}):
    {field}: int


{upcasts}
plugin.events(Sent)


def send(account: Account) -> Sent:
    return Sent(record=account.ref, {field}=1)
"""
UPCASTS = """
@Sent.upcast(1)
def in_grams(old):
    return {{"grams": old["{looked_for}"] * 1000}}


@Sent.upcast(2)
def in_milligrams(old):
    return {{"milligrams": old["grams"] * 1000}}
"""
Release = Callable[..., Plugin]


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    """Write a version of the package and lock it as ``crm plugin lock`` does."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "parcels").mkdir()

    def released(n: int, field: str, upcasts: str = "") -> Plugin:
        sys.modules.pop("parcels", None)
        source = FIRST.format(version=f"{n}.0.0", n=n, field=field, upcasts=upcasts)
        code = tmp_path / "parcels" / "__init__.py"
        code.write_text(source, encoding="utf-8")
        os.utime(code, (n, n))  # Python tells what it compiled from new code by its length and its second
        importlib.invalidate_caches()
        plugin: Plugin = importlib.import_module("parcels").plugin
        registry = Registry([plugin])
        document = collect(registry, plugin)
        keep(registry, plugin, document, read("parcels"))
        (tmp_path / "parcels" / "plugin.json").write_text(text(document), encoding="utf-8")
        return plugin

    yield released
    sys.modules.pop("parcels", None)


def reasons(plugin: Plugin, databases: SQLiteDatabases) -> list[str]:
    (rule,) = (each for each in RULES if each.id == "CK10")
    return [reason for outcome in check(plugin, databases={"sqlite": databases}, rules=[rule]).failed for reason in outcome.reasons]


def test_a_payload_of_two_versions_ago_is_read_to_the_newest(release: Release, sqlite_databases: SQLiteDatabases) -> None:
    release(1, "kilos")
    release(2, "grams", UPCASTS.format(looked_for="kilos").partition("@Sent.upcast(2)")[0])
    plugin = release(3, "milligrams", UPCASTS.format(looked_for="kilos"))
    document = read("parcels")
    assert document
    kept = document["events"]["parcels.sent"]["payloads"]
    assert [[*payload] for payload in kept.values()] == [["kilos"], ["grams"], ["milligrams"]]
    assert reasons(plugin, sqlite_databases) == []


def test_an_upcast_that_looks_for_what_the_old_payload_never_had_is_told(release: Release, sqlite_databases: SQLiteDatabases) -> None:
    release(1, "kilos")
    release(2, "grams", UPCASTS.format(looked_for="kilos").partition("@Sent.upcast(2)")[0])
    plugin = release(3, "milligrams", UPCASTS.format(looked_for="weight"))
    assert reasons(plugin, sqlite_databases) == [
        "parcels.sent cannot read the payload of version 1 that plugin.json keeps: KeyError: 'weight'",
    ]


def test_a_step_that_makes_what_the_next_one_cannot_read_is_told(release: Release, sqlite_databases: SQLiteDatabases) -> None:
    release(1, "kilos")
    plugin = release(3, "milligrams", UPCASTS.format(looked_for="kilos").replace('{"grams": old', '{"gram": old'))
    assert reasons(plugin, sqlite_databases) == [
        "parcels.sent cannot read the payload of version 1 that plugin.json keeps: KeyError: 'grams'",
    ]
