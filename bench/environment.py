"""The peers' environment: a virtual environment with pinned versions, made once."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

PEERS = (
    "blinker==1.9.0",
    "django==5.2.19",
    "django-auditlog==3.4.1",
    "pluggy==1.7.0",
    "sqlalchemy==2.1.9",
    "sqlalchemy-continuum==2.0.0",
)


def peers(folder: Path) -> str:
    """Return the interpreter of the environment in *folder*, which is made where it is not there; needs the package index."""
    python = folder / "bin" / "python"
    marker = folder / "peers.txt"
    if not marker.exists() or marker.read_text() != "\n".join(PEERS):
        print(f"making the peers' environment in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
        subprocess.run([python, "-m", "compileall", "-q", folder / "lib"], check=False)
        marker.write_text("\n".join(PEERS))
    return str(python)
