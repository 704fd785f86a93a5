"""What the command line refuses, and with which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crm_core.messages import Messages
from tests.cli.conftest import Run

BARE = """
from crm_core import CRM, Plugin
crm = CRM("sqlite:///bare.db", plugins=[Plugin("bare", version="1.0")])
"""
REFUSED = {
    "cli_bad_against": ["doctor", "--against", "sales"],
    "cli_bad_roles": ["policy", "diff", "nothing.json"],
    "cli_bad_setting": ["settings", "set", "core", "timezone"],
    "cli_needs_yes": ["tenant", "drop", "acme"],
    "cli_no_setting": ["settings", "get", "core", "zone"],
    "cli_no_settings": ["--app", "bare:crm", "settings", "get", "bare"],
    "cli_plugin_new_entity": ["plugin", "new", "acme.cards", "--no-input", "--entity", "two words"],
    "cli_plugin_new_entity_taken": ["plugin", "new", "acme.cards", "--no-input", "--entity", "Account"],
    "cli_plugin_new_extend": ["plugin", "new", "acme.cards", "--no-input", "--extend", "Order"],
    "cli_plugin_new_python_name": ["plugin", "new", "json", "--no-input"],
    "cli_plugin_new_taken": ["plugin", "new", "sales", "--no-input"],
}


@pytest.fixture(scope="module")
def messages() -> Messages:
    return Messages()


def test_each_refusal_has_its_words(crm: Run, folder: Path, messages: Messages) -> None:
    (folder / "bare.py").write_text(BARE)
    crm("migrate")
    crm("--app", "bare:crm", "migrate")
    for code, arguments in REFUSED.items():
        done = crm(*arguments)
        fixed = max(re.split(r"[\[\]]|\{\w+\}", messages.template(code) or ""), key=len)
        assert (done.exit_code, fixed in done.output) == (1, True), (code, done.output)
