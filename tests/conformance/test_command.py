"""The kit from outside: pytest by the package's name, ``crm plugin check``, and the page with all rules."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from crm_core.cli.app import app
from crm_core.errors import LoadError
from crm_core.testing import Maker, example
from crm_core.testing.conformance import RULES, check
from crm_core.testing.conformance.given import examples_at, plugin_named
from tests.conformance.faulty import sound
from tests.conformance.faulty.sound import Count
from tools.reference.conformance import PAGE, with_rules

ROOT = Path(__file__).resolve().parents[2]
PYTEST = [sys.executable, "-m", "pytest", "-p", "crm_core.ext.pytest", "--pyargs", "crm_core.testing.conformance"]


def test_its_options_do_not_bring_the_core_into_every_run_of_pytest() -> None:
    plugins = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["pytest11"]
    look = f"import sys, {', '.join(plugins.values())}; print(sorted(m for m in sys.modules if m.startswith('crm_')))"
    run = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['crm_core', 'crm_core.ext', 'crm_core.ext.pytest']"


def test_pytest_runs_the_rules_on_a_plugin_and_writes_the_report(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # the outer run's options
    command = [*PYTEST, "--plugin=tests.conformance.faulty.careless:plugin", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    options = [f"--quality={tmp_path / 'quality.json'}", "-k", "CK01 or CK08 or CK14"]
    run = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "CK14 personal-data: A field that is called or typed like something about a person says how it is classified." in run.stdout
    assert "- Person.email looks like personal data" in run.stdout
    told = json.loads((tmp_path / "quality.json").read_text(encoding="utf-8"))
    assert [(r["rule"][:4], r["outcome"]) for r in told["rules"]] == [("CK01", "passed"), ("CK08", "passed"), ("CK14", "failed")]
    assert told["score"] == 66


def test_crm_plugin_check_says_what_is_wrong_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_databases: object
) -> None:
    monkeypatch.setenv("CRM_TEST_POSTGRES", str(postgres_databases._server.render_as_string(hide_password=False)))  # type: ignore[attr-defined]
    quality = str(tmp_path / "quality.json")
    examples = tmp_path / "none.py"
    examples.touch()
    named = ["tests.conformance.faulty.silent:plugin", "--quality", quality, "--examples", str(examples)]
    run = CliRunner().invoke(app, ["plugin", "check", *named])
    assert run.exit_code == 1, run.output
    assert "failed  CK18 documented" in run.output
    assert "- the action acme.silent.close (silent.py:" in run.output
    assert json.loads(Path(quality).read_text(encoding="utf-8"))["score"] == 94
    run = CliRunner().invoke(app, ["plugin", "check", "--rules", "any"])
    assert run.output.splitlines() == [f"{rule}: {rule.sentence}" for rule in RULES]


def test_examples_are_those_of_a_file_or_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert examples_at(None) == {}
    (tmp_path / "tests").mkdir()
    text = "from crm_core.testing import example\n\n@example(str)\ndef word(a):\n    return 'word'\n"
    (tmp_path / "tests" / "conformance.py").write_text(text, encoding="utf-8")
    assert list(examples_at(None)) == [str]
    assert list(examples_at(__name__)) == [Count]


@example(Count)
def _count(a: Maker) -> Count:
    from tests.conformance.faulty.sound import Entry

    return Count(entry=a.make(Entry).ref)


def test_the_page_names_every_rule_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_rules(text) == text, "run: python -m tools.reference"
    assert len({rule.id for rule in RULES}) == len({rule.name for rule in RULES}) == len(RULES)


def test_a_plugin_that_is_not_installed_may_be_given_by_its_module() -> None:
    with pytest.raises(LoadError, match=r"acme\.nowhere\. Install it with pip, or give package\.module:name\."):
        plugin_named("acme.nowhere")


def test_the_source_of_a_plugin_in_an_archive_cannot_be_read_and_its_rules_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "zipped.whl", "w") as archive:
        archive.write(str(sound.__file__), "acme_zipped/__init__.py")
    monkeypatch.syspath_prepend(tmp_path / "zipped.whl")
    outcomes = {o.rule.id: o for o in check(importlib.import_module("acme_zipped").plugin).outcomes}
    assert {id: o.reasons for id, o in outcomes.items() if o.outcome == "failed"} == {}
    unread = {id for id, o in outcomes.items() if o.reasons == ("its source cannot be read",)}
    assert unread == {"CK06", "CK08", "CK09", "CK13", "CK15", "CK17", "CK18", "CK19"}
    del sys.modules["acme_zipped"]
