"""The names that hosts and plugins import: which there are, and that people and type checkers find them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import crm_core
import crm_core.rules

ROOT = Path(__file__).resolve().parent.parent
NAMES = """
    Account AccountKind Actor Address Affiliation AsyncCRMSession AutomationRule AutomationRun BulkResult CRM
    CRMDeprecationWarning CRMError Cell Change Channel CollectHook CommitOutcomeUnknown Conflict Contact CoreSettings Created Ctx
    CustomField CustomKind Deleted Denied Dimension Direction Directory DryRun Email Entity EnvironmentKeys Event ExchangeRate
    Extension Fact Field FileKeys FilterHook FirstHook FixedClock Form History ImportRun ImportState Interaction Invalid JobCancelled
    JobRun JobStatus KeyProvider Link ListField ListView LoadError Measure Metric MissingExtra MixedCurrency Money MoneyField
    NeedsAwait NotFound NotReadable Note OptionalMoneyField Page PanelView Participant Past Phone Plugin PluginFailed Query
    ReadOnly Ref Refused Request Response Restored Role Rollup RuleTrigger RunOutcome Running Runtime SchemaBehind Secret Session
    Source Tag Tagging Tenant TenantSuspended Timeline Unavailable Unreadable Updated User VetoHook View360 WriteCtx after_write
    alias before_write check_write custom days_between field owner ratio signed spreadsheet_safe subordinates team valid_currency
    valid_zone
"""
RULES = "F Rule actor check criterion everything from_json matches nothing owner related sees_all subordinates team to_json"


def test_the_public_names_are_these_and_a_change_of_them_is_meant() -> None:
    assert crm_core.__all__ == NAMES.split()
    assert crm_core.rules.__all__ == RULES.split()


def test_every_public_name_is_found_at_its_first_use_and_in_dir() -> None:
    program = "import crm_core\nfor name in crm_core.__all__: getattr(crm_core, name)\nprint(sorted(crm_core.__all__) == crm_core.__all__)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.stderr, run.stdout) == ("", "True\n")
    assert {*crm_core.__all__, "__version__"} <= {*dir(crm_core)}


def test_an_unknown_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="'crm_core' has no attribute 'Opportunity'"):
        crm_core.Opportunity  # type: ignore[attr-defined]  # noqa: B018  # the mistake under test


@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]], ids=["mypy", "pyright"])
def test_type_checkers_know_every_public_name(tmp_path: Path, checker: list[str]) -> None:
    program = tmp_path / "uses_all.py"
    uses = [f"from crm_core import {name} as {name}\nreveal_type({name})" for name in crm_core.__all__]
    program.write_text("\n".join(uses) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", *checker, str(program)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    output = run.stdout
    assert run.returncode == 0, output
    assert output.count("Revealed type") + output.count('Type of "') == len(crm_core.__all__)
    assert 'is "Any"' not in output
    assert '"Unknown"' not in output


@pytest.mark.parametrize(
    "name", [n for n in crm_core.__all__ if inspect.isclass(getattr(crm_core, n)) or inspect.isfunction(getattr(crm_core, n))]
)
def test_every_public_class_and_function_says_what_it_is(name: str) -> None:
    found = getattr(crm_core, name)
    assert found.__doc__, "its own, not its base's"


@pytest.mark.parametrize("cls", [crm_core.CRM, crm_core.Session, crm_core.AsyncCRMSession, crm_core.Query, crm_core.Plugin, crm_core.Role])
def test_help_tells_of_every_method_of_the_classes_that_people_use(cls: type) -> None:
    public = {name: member for name, member in inspect.getmembers(cls) if not name.startswith("_")}
    assert [name for name, member in public.items() if inspect.isroutine(member) and not inspect.getdoc(member)] == []
