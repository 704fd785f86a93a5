"""A folder that is no plugin's, and a plugin.json that is none, are told by their codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_core import Invalid
from crm_core.contracts.document import read
from crm_core.contracts.project import targets


@pytest.mark.parametrize("text", ["", '[project]\nname = "shop"\n'])
def test_a_folder_without_a_plugin_is_none(tmp_path: Path, text: str) -> None:
    if text:
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    with pytest.raises(Invalid) as refused:
        targets(tmp_path)
    assert (refused.value.code, refused.value.params) == ("cli_plugin_no_project", {"path": str(tmp_path / "pyproject.toml")})


@pytest.mark.parametrize("text", ["{", "[]", '{"plugin": "shop"}'])
def test_a_plugin_json_that_says_too_little_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    package = tmp_path / "crm_shop_unreadable"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.json").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Invalid) as refused:
        read("crm_shop_unreadable")
    assert refused.value.code == "cli_contract_unreadable"
