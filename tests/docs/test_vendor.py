"""The vendor's tutorial and the page on the second version, done as they say: its commands, its changes, and what they print."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from crm_core.testing.databases import PostgresDatabases

ROOT = Path(__file__).resolve().parents[2]
PAGES = {page: (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("tutorial/vendor.md", "how-to/second-version.md")}
COMMANDS = {
    "crm": ["-m", "crm_core.cli.main"],
    "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider"],
    "python": [],
}


class Desk:
    """A vendor's folder, in which the blocks of the page are done one by one."""

    def __init__(self, folder: Path, postgres: str) -> None:
        self.folder = folder
        self.postgres = postgres
        self.failed = False
        self.shown = ""

    def do(self, kind: str, block: str) -> None:
        getattr(self, {"sh": "run", "text": "compare", "py": "write", "diff": "change"}[kind])(block)

    def run(self, block: str) -> None:
        """Run commands; what pip does is done already, by the path."""
        self.shown, self.failed = "", False
        for line in block.splitlines():
            command, *rest = shlex.split(line)
            if command == "cd":
                self.folder /= rest[0]
            elif command != "pip":
                self._run([sys.executable, *COMMANDS[command], *rest])

    def _run(self, command: list[str]) -> None:
        path = ":".join(map(str, [self.folder, ROOT, ROOT / "plugins" / "sales"]))
        env = {"PYTHONPATH": path, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "CRM_TEST_POSTGRES": self.postgres}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        self.shown += done.stdout + done.stderr
        self.failed = self.failed or done.returncode != 0

    def compare(self, block: str) -> None:
        """Find each line in what was printed; ``fails`` is that the command did."""
        lines = block.splitlines()
        assert self.failed is ("fails" in lines), self.shown
        assert [line for line in lines if line != "fails" and line not in self.shown] == [], self.shown

    def write(self, block: str) -> None:
        self._file(block).write_text(block.partition("\n")[2], encoding="utf-8")

    def change(self, block: str) -> None:
        path, lines = self._file(block), block.splitlines()[1:]
        old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
        new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path.name} has no {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def _file(self, block: str) -> Path:
        return self.folder / block.partition("\n")[0].removeprefix("# ")


@pytest.mark.parametrize("page", PAGES)
def test_a_vendors_hours_go_as_the_page_says(page: str, tmp_path: Path, postgres_databases: PostgresDatabases) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", PAGES[page], re.DOTALL)
    assert {kind for kind, _ in blocks} == {"sh", "text", "py", "diff"}
    server = postgres_databases.create()
    desk = Desk(tmp_path, server.url)
    for kind, block in blocks:
        desk.do(kind, block)
    postgres_databases.drop(server)
    subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache"], cwd=desk.folder, check=True)
    subprocess.run([sys.executable, "-m", "ruff", "format", "--check", "--no-cache"], cwd=desk.folder, check=True)
