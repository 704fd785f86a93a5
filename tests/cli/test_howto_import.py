"""The how-to page of the import does what it says, command by command."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cli.conftest import Run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "import.md").read_text("utf-8")
FILES = re.compile(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", re.S)
STEPS = re.compile(r"^\$ crm (.*)\n((?:(?!\$ ).*\n)*)", re.M)


def test_the_page_can_be_typed_along(folder: Path, crm: Run) -> None:
    for name, content in FILES.findall(PAGE):
        (folder / name).write_text(content, "utf-8")
    before, after = PAGE.split("## Put it right")
    done = _follow(before, crm)
    correction = re.findall(r"```toml\n(.*?)```", after, re.S)[0]
    mapping = (folder / "shop.toml").read_text("utf-8")
    (folder / "shop.toml").write_text(re.sub(r"^account = .*\n", correction, mapping, flags=re.M), "utf-8")
    assert done + _follow(after, crm) == 5
    assert (folder / "failed-deals.csv").read_text("utf-8").splitlines()[1].startswith("3,account: Nothing is called Kafeehaus Wien")


def _follow(text: str, crm: Run) -> int:
    steps = [step for block in re.findall(r"```console\n(.*?)```", text, re.S) for step in STEPS.findall(block)]
    for command, expected in steps:
        assert (command, crm(*shlex.split(command)).stdout) == (command, expected)
    return len(steps)


MORE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "import-more.md").read_text("utf-8")


def test_the_page_on_importing_more_can_be_typed_along(folder: Path, crm: Run) -> None:
    for name, content in FILES.findall(MORE):
        (folder / name).write_text(content, "utf-8")
    assert _follow(MORE, crm) == 4
