"""Run each module's tests alone, beside all other modules, and beside all of them but one: ``python -m tools.matrix [MODULE...]``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

MODULES = ("analytics", "erp_bridge", "marketing", "sales", "service")


def choices(module: str) -> Iterator[tuple[str, ...]]:
    """Yield what a module's tests have beside them: nothing, all, and all but each one."""
    others = tuple(name for name in MODULES if name != module)
    yield from ((), others)
    yield from (tuple(name for name in others if name != without) for without in others)


def run(module: str, beside: Sequence[str], *options: str) -> int:
    """Run a module's tests beside others; return pytest's exit status."""
    command = [sys.executable, "-m", "pytest", f"tests/{module}", "-q", *options]
    return subprocess.run(command, env={**os.environ, "CRM_TEST_BESIDE": ",".join(beside)}, check=False).returncode


def main(modules: Sequence[str]) -> int:
    """Run the matrix of some modules, or of all, and say what failed."""
    failed = []
    for module in modules or MODULES:
        for beside in choices(module):
            print(f"== {module} beside {', '.join(beside) or 'nothing'}", flush=True)  # noqa: T201  # a program for people
            if run(module, beside, "-n", "auto"):
                failed.append(f"{module} beside {', '.join(beside) or 'nothing'}")
    print(*(f"failed: {each}" for each in failed), sep="\n")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
