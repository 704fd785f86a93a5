"""Tables of the command line: no cell loses a letter, wherever it is printed."""

from __future__ import annotations

import re
import sys

import pytest

from crm_core.cli.table import echo_table
from tests.cli.conftest import Run

NAME = "marketing.refresh_segments_of_all_tenants"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")


def test_a_row_is_one_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table(("job", "count", "error"), [(NAME, "7", "first\nsecond"), ("客户", "12", "[red]kept[/red]")], right=("count",))
    assert capsys.readouterr().out.splitlines() == [
        f"{'job':{len(NAME)}}  count  error",
        f"{NAME}      7  first second",
        f"客户{' ' * (len(NAME) - 4)}     12  [red]kept[/red]",
    ]


def test_a_terminal_that_is_too_narrow_folds_and_cuts_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    echo_table(("job", "tenant"), [(NAME, "[b]main[/b]")])
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, shown)) <= 30
    assert "".join(line[:19].strip() for line in shown[1:]) == NAME
    assert "[b]main[/b]" in "".join(line[19:] for line in shown)


def test_no_heading_is_printed_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table(("", ""), [("ok", "database")])
    echo_table(("", ""), [])
    assert capsys.readouterr().out == "ok  database\n"


def test_names_are_whole_in_every_list_of_a_narrow_pipe(crm: Run) -> None:
    crm("migrate")
    crm("tenant", "create", "a-tenant-with-a-long-name-of-its-own")
    crm("fields", "add", "account", "a_field_with_a_long_name_of_its_own")
    for command, name in (
        ("jobs", "service.check_slas"),
        ("events", "sales.opportunity_won.v1"),
        ("hooks", "before_write"),
        ("plugins order before_write", "crm_sales"),
        ("plugins", "service"),
        ("doctor", "database"),
        ("tenant list", "a-tenant-with-a-long-name-of-its-own"),
        ("fields list", "a_field_with_a_long_name_of_its_own"),
    ):
        assert any(name in line for line in crm(*command.split()).output.splitlines()), command
