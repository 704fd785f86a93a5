"""``python -m crm_core.storage.revisions.freeze 2026.11 core sales service``: write what plugins declare today as their next revision.

Additions are found here; a change of what an earlier revision made (a type, a rename, a removal) is refused: write its steps by hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from ...errors import LoadError
from ...hooks.plugin import Plugin
from ...hooks.registry import Registry, discover
from ..tables import Tables
from .history import coming, frozen, order
from .history import names as names_of
from .steps import AddColumn, CreateTable, Step, declared, to_plain


def missing(before: Iterable[Step], now: Iterable[Step]) -> list[Step]:
    """Return the steps from a frozen schema to a declared one.

    Raises:
        LoadError: ``schema_changed``: something frozen is declared otherwise now, or not at all.
    """
    known = {part: step for step in before for part, step in _parts(step)}
    wanted = {part: step for step in now for part, step in _parts(step)}
    changed = sorted(".".join(filter(None, part)) for part, step in known.items() if wanted.get(part) != step)
    if changed:
        raise LoadError("schema_changed", changed=changed)
    steps: list[Step] = []
    for step in now:
        if isinstance(step, CreateTable) and (step.table, "") in known:
            steps += [s for part, s in _parts(step) if part not in known]
        elif any(part not in known for part, _ in _parts(step)):
            steps.append(step)
    return steps


def _parts(step: Step) -> Iterable[tuple[tuple[str, str], Step]]:
    """Take a table apart, since a later revision adds columns to it one by one."""
    match step:
        case CreateTable(table, columns, autoincrement):
            yield (table, ""), CreateTable(table, (), autoincrement)
            yield from (((table, c.name), AddColumn(table, c)) for c in columns)
        case AddColumn(table, column):
            yield (table, column.name), step
        case _:
            yield (step.table, f"index {step.name}"), step


def freeze(registry: Registry, id: str, names: Sequence[str]) -> list[Path]:
    """Write the revision *id* of the plugins called *names*, where they declare something new; return the files.

    Raises:
        LoadError: one is not loaded or names no package; ``schema_changed``; ``revision_name``; ``revision_exists``: that or a later one.
    """
    order(id)
    written = []
    for plugin, steps in unfrozen(registry, names).items():
        if steps:
            folder = Path(str(files(plugin.package))) / "revisions"
            folder.mkdir(exist_ok=True)
            newest = max(names_of(plugin.package), key=order, default="")
            if newest and order(id) <= order(newest):
                following = coming(plugin.package, newest)
                raise LoadError("revision_exists", plugin=plugin.name, revision=id, newest=newest, following=following)
            path = folder / f"{id}.json"
            path.write_text(_lines(steps), encoding="utf-8")
            written.append(path)
    return written


def unfrozen(registry: Registry, names: Sequence[str]) -> dict[Plugin, list[Step]]:
    """Return what plugins declare and no revision of theirs has: hosts would not get it.

    Raises:
        LoadError: one is not loaded or names no package; ``schema_changed``.
    """
    tables = Tables(registry.entities, {e: registry.extensions(e) for e in registry.entities}, registry.links)
    found: dict[Plugin, list[Step]] = {}
    for plugin in map(registry.plugin, names):
        if not plugin.package:
            raise LoadError("package_missing", plugin=plugin.name)
        known = [step for revision in frozen(plugin.package) for step in revision.steps]
        found[plugin] = missing(known, declared(tables, plugin.name))
    return found


def _lines(steps: Sequence[Step]) -> str:
    """Write one step, and one column, a line."""
    texts = []
    for plain in map(to_plain, steps):
        columns = plain.pop("columns") if plain["step"] == "CreateTable" else None
        head = json.dumps(plain)
        rows = ",\n".join("    " + json.dumps(c) for c in columns or ())
        texts.append(head if columns is None else f'{head[:-1]}, "columns": [\n{rows}\n  ]}}')
    return "[\n  " + ",\n  ".join(texts) + "\n]\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Freeze the installed plugins named; ``core`` is the core itself."""
    parser = argparse.ArgumentParser(prog="python -m crm_core.storage.revisions.freeze", description=__doc__)
    parser.add_argument("id", help="year and month, like 2026.11")
    parser.add_argument("plugins", nargs="+", help="core, and names of installed plugins")
    given = parser.parse_args(arguments)
    registry = Registry(discover(name for name in given.plugins if name != "core"))
    for path in freeze(registry, given.id, given.plugins):
        print(path)  # noqa: T201  # a command's answer


if __name__ == "__main__":
    main()
