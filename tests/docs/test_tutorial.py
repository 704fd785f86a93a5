"""What the tutorial shows and a paste into one program cannot run: the host's own Alembic."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial" / "embedder.md").read_text(encoding="utf-8")
# Migrate up, propose what is missing, say what is there, go down, say it again.
PROGRAM = """
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect
from shop import crm, engine, metadata

def ours():
    return [name for name in inspect(engine).get_table_names() if name.startswith("crm_")]

config = Config()
config.set_main_option("script_location", ".")
command.upgrade(config, "head")
crm.migrations.check()
options = {"include_name": crm.migrations.include_name}
with engine.connect() as connection:
    found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    blind = compare_metadata(MigrationContext.configure(connection), metadata)
print(len(ours()) > 10, found, any(change[0] == "remove_table" for change in blind))
command.downgrade(config, "0001")
print(ours())
"""


def test_the_hosts_own_alembic_carries_our_tables_up_and_down_and_its_autogenerate_leaves_them_alone(tmp_path: Path) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", TUTORIAL.split("A table of yours may point at ours")[0], re.S)
    program = [code for kind, code in blocks if kind == "python"]
    (tmp_path / "shop.py").write_text("".join(program[:-1]), encoding="utf-8")  # the last one migrates by itself
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_users.py").write_text(
        'revision, down_revision = "0001", None\n\n\ndef upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n', encoding="utf-8"
    )
    for kind, code in blocks:
        if kind == "py":
            (tmp_path / code.splitlines()[0].removeprefix("# ")).write_text(code, encoding="utf-8")
    path = ":".join(map(str, [tmp_path, ROOT, ROOT / "plugins" / "sales"]))
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert run.stdout.splitlines() == ["True [] True", "[]"], run.stderr
