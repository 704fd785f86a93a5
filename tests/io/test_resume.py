"""An import that breaks off goes on where it was: no row twice, none lost, and only with the file it began with [C67]."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from crm_core import Account, Actor, Conflict, ImportRun, Invalid, NotFound
from crm_core.io import Importer, Report, mapping_of, undo
from crm_core.io.report import KEPT

ROOT = Path(__file__).resolve().parents[2]
IMPORT = Actor.system("import", tenant="main")
# Nothing by which a record is known again: a row that came in twice would be there twice.
MAPPING: dict[str, Any] = {
    "entity": "account",
    "fields": {"name": "name", "industry": "branch", "parent": {"column": "parent", "lookup": "name"}},
}
PROGRAM = """
import json, os, signal, sys
from crm_core import CRM, Account, Actor, Plugin, check_write
from crm_core.io import Importer, mapping_of

url, path, errors, mapping, how, after = sys.argv[1:]
left = int(after)
plugin = Plugin("killer", version="1.0.0")

@plugin.hook(check_write, on=Account)
def in_a_transaction(ctx, changes):
    global left
    if how == "write":
        left -= len(changes)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def after_a_commit(done, report):
    if how == "commit" and report.rows >= int(after):
        os.kill(os.getpid(), signal.SIGKILL)

crm = CRM(url, plugins=[plugin])
importer = Importer(crm, Actor.system("import", tenant="main"), mapping_of(json.loads(mapping)))
report = importer.run(path, errors=errors, batch=7, progress=after_a_commit)
print(json.dumps([report.kept(), report.resumed]))
"""


UNDO = """
import os, signal, sys
from crm_core import CRM, Account, Actor, Plugin, check_write
from crm_core.io import undo

left = 700
plugin = Plugin("killer", version="1.0.0")

@plugin.hook(check_write, on=Account)
def in_a_transaction(ctx, changes):
    global left
    left -= len(changes)
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

undo(CRM(sys.argv[1], plugins=[plugin]), Actor.system("import", tenant="main"), "last")
"""


def content() -> str:
    """Sixty rows: most are good, some name one behind them, some fail in each way."""
    lines = ["name,branch,parent"]
    for n in range(60):
        if n % 11 == 5:
            lines.append(f"Ragged {n}")
        elif n % 13 == 7:
            lines.append(f"Company {n},{'x' * 101},")
        elif n % 5 == 2:
            lines.append(f"Company {n},food,Company {n + 8 if n < 50 else 'nowhere'}")
        else:
            lines.append(f"Company {n},food,")
    return "\n".join(lines) + "\n"


def there(crm: Any) -> list[tuple[str, str | None, str | None]]:
    with crm.session(IMPORT, write=False) as s:
        found = s.query(Account).preload(Account.parent).all()
        parents = {a.id: s.related(a, Account.parent) for a in found}
    return sorted((a.name, a.industry, parents[a.id].name if parents[a.id] else None) for a in found)


def test_an_import_killed_again_and_again_ends_as_if_it_never_was(make_crm: Any, tmp_path: Path) -> None:
    path, whole, broken = tmp_path / "rows.csv", tmp_path / "whole.csv", tmp_path / "broken.csv"
    path.write_text(content(), "utf-8")
    undisturbed = make_crm()
    expected = Importer(undisturbed, IMPORT, mapping_of(MAPPING)).run(path, errors=whole, batch=7)
    assert (expected.created, expected.failed) == (47, 13)

    crm = make_crm()
    for how, after in [("write", 10), ("commit", 20), ("write", 9), ("commit", 45), ("write", 3)]:
        assert run(crm, path, broken, how, after).returncode == -signal.SIGKILL
    last = run(crm, path, broken, "", 0)
    assert last.returncode == 0, last.stderr
    assert there(crm) == there(undisturbed)
    assert sorted(broken.read_text("utf-8").splitlines()) == sorted(whole.read_text("utf-8").splitlines())
    with crm.session(IMPORT, write=False) as s:
        done = s.query(ImportRun).one()
    assert (done.report, done.attempts, done.waiting) == (expected.kept(), 6, [])


def run(crm: Any, path: Path, errors: Path, how: str, after: int) -> subprocess.CompletedProcess[str]:

    arguments = [crm.url, str(path), str(errors), json.dumps(MAPPING), how, str(after)]
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_undo_that_is_killed_is_finished_by_doing_it_again(make_crm: Any, tmp_path: Path) -> None:
    crm, path = make_crm(), tmp_path / "rows.csv"
    path.write_text("name,branch,parent\n" + "".join(f"Company {n},food,\n" for n in range(1_200)), "utf-8")
    report = Importer(crm, IMPORT, mapping_of(MAPPING)).run(path)
    killed = subprocess.run([sys.executable, "-c", UNDO, crm.url], cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    still = len(there(crm))
    assert 0 < still < 1_200
    found = undo(crm, IMPORT, report.run)
    assert (found.deleted, found.left, there(crm)) == (still, 0, [])


class _Break(Exception):
    """The import breaks off here."""


@pytest.fixture
def crm(make_crm: Any) -> Any:
    return make_crm()


@pytest.fixture
def broken(crm: Any, tmp_path: Path) -> Callable[[], str]:
    """Break an import off after its first batches, and return its run."""

    def broken() -> str:
        path = tmp_path / "rows.csv"
        path.write_text(content(), "utf-8")

        def stop(done: float, report: Report) -> None:
            if report.rows > 20:
                raise _Break(report.run)

        with pytest.raises(_Break) as raised:
            Importer(crm, IMPORT, mapping_of(MAPPING)).run(path, batch=7, progress=stop)
        return str(raised.value)

    return broken


def test_only_the_same_file_with_the_same_mapping_goes_on(crm: Any, broken: Callable[[], str], tmp_path: Path) -> None:
    run_id, path = broken(), tmp_path / "rows.csv"
    importer = Importer(crm, IMPORT, mapping_of(MAPPING))
    other = tmp_path / "other.csv"
    other.write_text(content().replace("food", "tea"), "utf-8")
    with pytest.raises(Invalid) as raised:
        importer.run(other, resume=run_id)
    assert raised.value.code == "import_other_file"
    with pytest.raises(Invalid) as raised:
        Importer(crm, IMPORT, attrs.evolve(mapping_of(MAPPING), ignore=["more"])).run(path, resume=run_id)
    assert raised.value.code == "import_other_mapping"
    for stranger, asked in [(Actor("7"), run_id), (IMPORT, "nonsense"), (Actor("7"), "last")]:
        with pytest.raises(NotFound):
            Importer(crm, stranger, mapping_of(MAPPING)).run(path, resume=asked)
    report = importer.run(path, resume=run_id)
    assert (report.run, report.resumed > 0, report.rows, report.created) == (run_id, True, 60, 47)
    with pytest.raises(Invalid) as raised:
        importer.run(path, resume=run_id)
    assert raised.value.code == "import_not_broken_off"


def test_of_two_that_go_on_with_one_import_only_the_last_one_writes(crm: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(content(), "utf-8")
    importer = Importer(crm, IMPORT, mapping_of(MAPPING))
    second: list[Report] = []

    def meanwhile(done: float, report: Report) -> None:
        if not second:
            second.append(importer.run(path, batch=7))

    with pytest.raises(Conflict) as raised:
        importer.run(path, batch=7, progress=meanwhile)
    assert raised.value.code == "import_taken_over"
    assert (second[0].rows, second[0].created, second[0].resumed > 0) == (60, 47, True)
    assert len(there(crm)) == 47


def test_the_error_file_of_another_import_is_not_cut(crm: Any, broken: Callable[[], str], tmp_path: Path) -> None:
    run_id, errors = broken(), tmp_path / "errors.csv"
    with crm.session(IMPORT, write=False) as s:
        assert s.get(ImportRun, run_id).errors == 0  # it was asked for none
    errors.write_text("line,reason,name\n2,old,old\n")
    report = Importer(crm, IMPORT, mapping_of(MAPPING)).run(tmp_path / "rows.csv", errors=errors, resume="last")
    lines = errors.read_text().splitlines()
    assert lines[0] == "line,reason,name,branch,parent"
    assert 1 < len(lines) <= report.failed + 1 <= KEPT
