"""The command line as people run it: installed plugins, an empty folder."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

Run = Callable[..., click.testing.Result]


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have our plugins' entry points, also where the project is only on the path."""
    folder = tmp_path / "site" / "some_vendor-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: some-vendor\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[crm.plugins]\nsales = crm_sales:plugin\nservice = crm_service:plugin\n")
    monkeypatch.syspath_prepend(folder.parent)
    importlib.invalidate_caches()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in."""
    for name in ("CRM_DB", "CRM_APP", "CRM_LANG"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def crm(folder: Path) -> Run:
    """Run ``crm`` with arguments."""
    from crm_core.cli.app import app

    def run(*arguments: str) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(app, list(arguments), prog_name="crm")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
