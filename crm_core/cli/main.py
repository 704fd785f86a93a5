"""The entry point ``crm``: it only checks that the extra ``cli`` is there, so that its absence is a sentence and not a traceback."""

from __future__ import annotations

import sys

from ..errors import MissingExtra


def main() -> None:
    """Run the command line; the exit code is 0, 1 for an error, 2 for wrong usage, 3 where rows of an import failed."""
    try:
        from .app import app

        app(prog_name="crm")
    except ModuleNotFoundError as e:
        if (e.name or "").split(".")[0] not in ("click", "rich"):
            raise
        print(MissingExtra(extra="cli", module=e.name).message(), file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
