"""``crm adopt``: rows are taken up and flaws are told from a shell."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from click.testing import CliRunner

from crm_core.cli.app import app
from tests.adoption.shop import World


def test_the_command_takes_rows_up_and_tells_flaws(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = ModuleType("shop_with_customers")
    shop.crm = world.crm  # type: ignore[attr-defined]  # a module of the test's
    monkeypatch.setitem(sys.modules, "shop_with_customers", shop)

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["adopt", *arguments, "--app", "shop_with_customers"])
        return result.exit_code, result.output

    assert run("fill", "--limit", "1") == (0, "1 rows written down.\n")
    assert run("fill") == (0, "1 rows written down.\n")
    assert run("check") == (0, "Nothing is wrong.\n")
    number = world.add("")
    assert run("check") == (1, f"account {number}: name: required\n")
    assert run("check", "--lang", "zh", "--tenant", "other") == (0, "没有问题。\n")
