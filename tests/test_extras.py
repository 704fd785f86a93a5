"""Every extra that exists: a feature used without it says which one to install; or, for ``contacts``, does with less."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import crm_service
from crm_core import CRM, Actor, MissingExtra
from crm_core.io.form import Form
from crm_core.ports import S3Files
from crm_service.api import BusinessCalendar

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
CONTACTS = """
import sys
sys.modules.update(dict.fromkeys(["email_validator", "phonenumbers"]))
from crm_core import CRM, Account, Actor, Email
from crm_core.entities.values import Phone
crm = CRM("sqlite://")
crm.migrate()
with crm.session(Actor.system("test", tenant="main")) as s:
    made = s.create(Account(name="Acme", emails=[Email("Ann@Example.COM")], phones=[Phone("0731 5022")]))
print(made.emails[0].address, made.phones[0].number)
"""
COMMAND = "import sys; sys.modules['click'] = None; sys.argv = ['crm', '--help']; from crm_core.cli.main import main; main()"


def _older_encoding(folder: Path) -> None:
    file = folder / "rows.csv"
    file.write_bytes("name\nMüller\n".encode("cp1252"))
    Form().found_out(file)


def _holidays(_: Path) -> None:
    crm = CRM("sqlite://", plugins=[crm_service.plugin])
    crm.migrate()
    try:
        with crm.session(Actor.system("test", tenant="main")) as s:
            s.create(BusinessCalendar(name="Berlin", hours={"mon": [["09:00", "17:00"]]}, country="DE"))
    finally:
        crm.close()


def _jobs(_: Path) -> None:
    crm = CRM("sqlite://", plugins=[crm_service.plugin])
    crm.migrate()
    try:
        assert crm.run_pending() == 0, "events are delivered all the same"
        crm.jobs.list()
    finally:
        crm.close()


def _adapter(name: str) -> Callable[[Path], object]:
    module = f"crm_core.ext.{name}"

    def use(_: Path) -> None:
        before = sys.modules.pop(module, None)
        try:
            importlib.import_module(module)
        finally:
            if before is not None:
                sys.modules[module] = before

    return use


USES: dict[str, tuple[tuple[str, ...], Callable[[Path], object]]] = {
    "postgres": (("psycopg",), lambda _: CRM("postgresql+psycopg://localhost/shop")),
    "async": (("greenlet", "asyncpg"), lambda _: CRM("postgresql+asyncpg://localhost/shop")),
    "io": (("charset_normalizer",), _older_encoding),
    "calendar": (("holidays",), _holidays),
    "s3": (("minio",), lambda _: S3Files(None, "crm")),  # type: ignore[arg-type]  # it fails before it looks
    "jobs": (("cronsim",), _jobs),
    "fastapi": (("fastapi",), _adapter("fastapi")),
    "flask": (("flask",), _adapter("flask")),
    "django": (("django",), _adapter("django")),
}


@pytest.mark.parametrize("extra", USES)
def test_a_feature_without_its_extra_names_it(extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules, use = USES[extra]
    for module in modules:
        # A part that another test imported would be found without its whole.
        for name in [module, *(known for known in sys.modules if known.startswith(f"{module}."))]:
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra) as raised:
        use(tmp_path)
    assert raised.value.params["extra"] == extra
    for locale in ("en", "zh"):
        assert f"pip install 'crm-core[{extra}]'" in raised.value.message(locale)


def test_the_command_without_its_extra_names_it() -> None:
    run = subprocess.run([sys.executable, "-c", COMMAND], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "pip install 'crm-core[cli]'" in run.stderr
    assert "Traceback" not in run.stderr


def test_contacts_do_with_less_without_their_extra() -> None:
    run = subprocess.run([sys.executable, "-c", CONTACTS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split(maxsplit=1) == ["ann@example.com", "0731 5022\n"]


def test_every_extra_that_exists_is_tested_here_and_every_one_that_waits_is_said_to() -> None:
    assert set(EXTRAS) - {"all", "test"} == {*USES, "cli", "contacts"}
    decision = (ROOT / "docs" / "decisions" / "0016-one-distribution.md").read_text(encoding="utf-8")
    now, later = decision.split("These come later")
    assert [extra for extra in EXTRAS if extra not in ("all", "test") and f"`{extra}`" not in now] == []
    assert [extra for extra in EXTRAS if f"- `{extra}`" in later] == []
