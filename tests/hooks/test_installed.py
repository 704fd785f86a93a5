"""Installed plugins: only those that were picked are imported, and what is wrong with one is said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.errors import LoadError
from crm_core.hooks.core_specs import CORE
from crm_core.hooks.registry import Registry, discover


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two installed distributions: one with a good plugin and a broken one, one with something else."""
    for name, body in {
        "crm_good_x": "from crm_core.hooks.plugin import Plugin\nplugin = Plugin('good', version='1')\n",
        "crm_broken_x": "raise RuntimeError('no licence')\n",
        "crm_other_x": "plugin = 'not one'\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(body)
    info = tmp_path / "x-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: x\nVersion: 1\n")
    lines = [f"{n} = crm_{n}_x:plugin" for n in ("good", "broken", "other")]
    (info / "entry_points.txt").write_text("[crm.plugins]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("good", "broken", "other"):
        sys.modules.pop(f"crm_{name}_x", None)


@pytest.mark.usefixtures("installed")
def test_only_the_plugins_that_were_picked_are_imported() -> None:
    (good,) = discover(["good"])
    assert list(Registry([good]).plugins) == [CORE, good]
    assert "crm_good_x" in sys.modules
    assert "crm_broken_x" not in sys.modules


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("goot", "plugin_not_installed", "Did you mean good"),
        ("broken", "plugin_import_failed", "no licence"),
        ("other", "not_a_plugin", "crm_other_x"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_says_why(name: str, code: str, said: str) -> None:
    with pytest.raises(LoadError, match=said) as caught:
        discover([name])
    assert caught.value.code == code
