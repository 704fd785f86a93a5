"""What can be sealed, and what people are told of keys [C72]."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from crm_core import CRM, Account, Entity, Extension, Field, FileKeys, LoadError, MoneyField, Plugin, Ref, Role, field
from crm_core.cli.app import app
from crm_core.rules import F


def load(keys: FileKeys, *entities: type[Any], roles: Any = (), extension: type[Any] | None = None) -> CRM:
    plugin = Plugin("odd", version="1.0", label="Odd")
    plugin.entities(*entities)
    if extension is not None:
        plugin.extend(Account)(extension)
    return CRM("sqlite://", plugins=[plugin], keys=keys, roles=roles)


def money(keys: FileKeys) -> None:
    class A1(Entity):
        pay: MoneyField = field(sealed=True)

    load(keys, A1)


def reference(keys: FileKeys) -> None:
    class A2(Entity):
        account: Field[Ref[Account]] = field(sealed=True)

    load(keys, A2)


def indexed(keys: FileKeys) -> None:
    class A3(Entity):
        iban: Field[str] = field(sealed=True, index=True)

    load(keys, A3)


def indexed_together(keys: FileKeys) -> None:
    class A4(Entity):
        __indexes__: ClassVar[Any] = [("iban",)]
        iban: Field[str] = field(sealed=True)

    load(keys, A4)


def yes_or_no(keys: FileKeys) -> None:
    class A5(Entity):
        smokes: Field[bool] = field(sealed=True, searchable=True)

    load(keys, A5)


def decimal(keys: FileKeys) -> None:
    class A11(Entity):
        debt: Field[Decimal] = field(sealed=True, searchable=True)

    load(keys, A11)


def unique_only(keys: FileKeys) -> None:
    class A6(Entity):
        iban: Field[str] = field(sealed=True, unique=True)

    load(keys, A6)


def nobody(keys: FileKeys) -> None:
    class A7(Entity):
        __subject__ = "iban"
        iban: Field[str] = field(sealed=True)

    load(keys, A7)


def added(keys: FileKeys) -> None:
    class A8(Extension):
        iban: Field[str] = field(default="", sealed=True)

    load(keys, extension=A8)


def ruled(keys: FileKeys) -> None:
    class A9(Entity):
        iban: Field[str | None] = field(default=None, sealed=True, searchable=True)

    load(keys, A9, roles=[Role("r").allow(A9, "read", where=F("iban") == "x")])


def counted(keys: FileKeys) -> None:
    class A10(Entity):
        iban: Field[str | None] = field(default=None, sealed=True)

    plugin = Plugin("odd", version="1.0", label="Odd")
    plugin.entities(A10)
    plugin.rollup("by_iban", A10, by=["iban"])
    CRM("sqlite://", plugins=[plugin], keys=keys)


@pytest.mark.parametrize(
    ("declare", "code"),
    [
        (money, "sealed_kind"),
        (reference, "sealed_kind"),
        (indexed, "sealed_index"),
        (indexed_together, "sealed_index"),
        (yes_or_no, "sealed_search_kind"),
        (decimal, "sealed_search_kind"),
        (unique_only, "sealed_unique"),
        (nobody, "bad_subject"),
        (added, "sealed_default"),
        (ruled, "rule_operator"),
        (counted, "rollup_field"),
    ],
)
def test_what_cannot_be_sealed_is_a_load_error(keys: FileKeys, declare: Callable[[FileKeys], None], code: str) -> None:
    with pytest.raises(LoadError) as e:
        declare(keys)
    assert e.value.code == code


def test_rules_may_ask_whether_a_sealed_field_is_empty(keys: FileKeys) -> None:
    class B1(Entity):
        iban: Field[str | None] = field(default=None, sealed=True)

    crm = load(keys, B1, roles=[Role("r").allow(B1, "read", where=F("iban").is_null())])
    assert crm.registry.owner(B1) == "odd"
    crm.close()


APP = """
from crm_core import CRM, Actor, Entity, Field, FileKeys, Plugin, field

class Patient(Entity):
    iban: Field[str] = field(sealed=True, searchable=True)

plugin = Plugin("clinic", version="1.0", label="Clinic")
plugin.entities(Patient)
crm = CRM("sqlite:///clinic.db", plugins=[plugin], keys=FileKeys("crm.keys"))
crm.migrate()
with crm.session(Actor.system("tests", tenant="main")) as s:
    s.create(Patient(iban="DE89"))
"""


def test_the_command_makes_shows_and_replaces_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sealed_clinic.py").write_text(APP)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(*args: str) -> str:
        result = CliRunner().invoke(app, args)
        assert result.exit_code == 0, result.output
        return result.output

    assert "Keep it apart" in run("keys", "create", "crm.keys")
    taken = CliRunner().invoke(app, ["keys", "create", "crm.keys"])
    assert (taken.exit_code, "is there already" in taken.output) == (1, True)
    before = run("keys", "status", "--app", "sealed_clinic:crm")
    assert "Root keys: file" in before
    assert "1 current" in before
    assert "main: 1 rows sealed anew" in run("keys", "rotate", "--root", "--tenant", "main", "--app", "sealed_clinic:crm")
    after = run("keys", "status", "--app", "sealed_clinic:crm")
    assert after.split()[4] != before.split()[4]
    assert len((tmp_path / "crm.keys").read_text().split()) == 2
    importlib.import_module("sealed_clinic").crm.close()
