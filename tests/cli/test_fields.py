"""[C76] ``crm fields``: a tenant's custom fields from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_a_field_is_added_listed_retired_restored_and_deleted(crm: Run) -> None:
    assert crm("migrate").exit_code == 0
    assert crm("fields", "add", "account", "region", "--label", "Region", "--unique").output == "The field account.region is there.\n"
    assert crm("fields", "add", "accounts", "tier", "--kind", "choice", "--option", "gold", "--option", "tin").exit_code == 0
    money = ("--kind", "money", "--currency", "EUR", "--tenant", "third")
    assert crm("fields", "add", "account", "budget", *money).exit_code == 0
    listed = [line.split() for line in crm("fields", "list").output.splitlines()]
    assert listed[1:] == [["account", "region", "text", "Region", "unique"], ["account", "tier", "choice"]]
    assert crm("fields", "retire", "account", "tier").exit_code == 0
    assert "tier" not in crm("fields", "list", "account").output
    assert crm("fields", "list", "--retired").output.splitlines()[2].split() == ["account", "tier", "choice", "retired"]
    assert crm("fields", "restore", "account", "tier").exit_code == 0
    assert crm("fields", "delete", "account", "tier").output.startswith("The field account.tier is deleted")
    assert crm("fields", "add", "account", "broker", "--kind", "reference", "--target", "contact", "--required").exit_code == 0
    assert crm("fields", "delete", "account", "broker", "--with-data").exit_code == 0
    assert crm("fields", "list", "--tenant", "other").output.split() == ["entity", "field", "kind", "label", "rules"]


def test_what_is_wrong_is_said_in_words(crm: Run) -> None:
    crm("migrate")
    wrong = crm("fields", "add", "account", "Region")
    assert (wrong.exit_code, "name: A name has small letters" in wrong.output) == (1, True)


def test_what_was_exported_is_proposed_and_imported_with_the_fields_of_the_tenant(crm: Run, folder: Path) -> None:
    assert crm("migrate").exit_code == 0
    for name, *said in (
        ("budget", "--kind", "money", "--currency", "CHF"),
        ("region",),
        ("broker", "--kind", "reference", "--target", "contact"),
    ):
        assert crm("fields", "add", "account", name, *said).exit_code == 0
    (folder / "in.csv").write_text("id,name,custom.budget,custom.region\n1,Acme,12.50,EU\n2,Bolt,,\n", "utf-8")
    proposed = crm("import", "in.csv", "--as", "accounts", "--propose").stdout
    (folder / "map.toml").write_text(proposed, "utf-8")
    assert crm("import", "in.csv", "--map", "map.toml").stdout.startswith("in.csv: 2 rows of account: 2 created")
    assert crm("export", "accounts", "out.csv").exit_code == 0
    assert "custom.budget,custom.budget_currency" in (folder / "out.csv").read_text("utf-8")
    again = crm("import", "out.csv", "--as", "accounts", "--propose").stdout
    assert '"custom.budget" = { column = "custom.budget", currency_column = "custom.budget_currency" }' in again
    assert '"custom.budget" =' not in crm("import", "in.csv", "--as", "accounts", "--propose", "--tenant", "other").stdout
