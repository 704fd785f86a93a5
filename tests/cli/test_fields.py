"""[C76] ``crm fields``: a tenant's custom fields from the command line."""

from __future__ import annotations

from tests.cli.conftest import Run


def test_a_field_is_added_listed_retired_restored_and_deleted(crm: Run) -> None:
    assert crm("migrate").exit_code == 0
    assert crm("fields", "add", "account", "region", "--label", "Region", "--unique").output == "The field account.region is there.\n"
    assert crm("fields", "add", "accounts", "tier", "--kind", "choice", "--option", "gold", "--option", "tin").exit_code == 0
    money = ("--kind", "money", "--currency", "EUR", "--tenant", "third")
    assert crm("fields", "add", "account", "budget", *money).exit_code == 0
    assert crm("fields", "list").output == "account\tregion\ttext\tRegion\tunique\naccount\ttier\tchoice\n"
    assert crm("fields", "retire", "account", "tier").exit_code == 0
    assert crm("fields", "list", "account").output == "account\tregion\ttext\tRegion\tunique\n"
    assert "tier\tchoice\t\tretired" in crm("fields", "list", "--retired").output
    assert crm("fields", "restore", "account", "tier").exit_code == 0
    assert crm("fields", "delete", "account", "tier").output.startswith("The field account.tier is deleted")
    assert crm("fields", "list", "--tenant", "other").output == ""


def test_what_is_wrong_is_said_in_words(crm: Run) -> None:
    crm("migrate")
    wrong = crm("fields", "add", "account", "Region")
    assert (wrong.exit_code, "name: A name has small letters" in wrong.output) == (1, True)
