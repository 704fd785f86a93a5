"""Every workload of the bench runs: on ten records, for no figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.subject import main
from bench.systems.ours import Ours
from bench.systems.raw import Raw
from bench.workloads import NAMES, Scale, workload

SCALE = Scale(records=10, rows=10, seconds=0.001, count=1)


@pytest.mark.parametrize("system", [Raw, Ours], ids=["the limit", "ours"])
def test_a_workload_measures_something_in_every_case(system: type[Raw] | type[Ours], tmp_path: Path) -> None:
    subject = system(tmp_path, "NORMAL")
    subject.fill(600, 600)  # so that the user of the bench owns some
    for name in NAMES:
        figures = list(workload(name)(subject, SCALE))
        assert figures, name
        assert all(f.wall > 0 and f.cpu >= 0 for f in figures), name
    subject.close()


@pytest.mark.parametrize("system", ["loop", "ours", "pluggy"])
def test_hooks_are_called(system: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(system, json.dumps({"count": 1}), "w8_hooks")
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [f["case"] for f in figures] == [f"{n} implementations" for n in (0, 1, 5, 20)]


@pytest.mark.parametrize("system", ["loop", "ours"])
def test_a_csv_file_is_imported(system: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(system, json.dumps({"rows": 20}), "w10_csv")
    (figure,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (figure["workload"], figure["case"], figure["wall"] > 0) == ("W10", "CSV import", True)


def test_the_user_who_sees_one_record_gets_a_page_of_one(tmp_path: Path) -> None:
    ours = Ours(tmp_path, "NORMAL")
    ours.fill(20, 400)
    pages = {case: [deal.name for deal in read()] for case, read in ours.pages().items()}
    assert pages["sees one"] == ["The only one"]
    assert 0 < len(pages["page 1"]) < len(pages["sees all"]) == 50
    ours.close()
