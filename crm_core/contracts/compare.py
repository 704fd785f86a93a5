"""Two documents of one plugin: what changed, whether others can live with it, and what to do."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ..messages import Messages
from ..versions import Version

Path = tuple[str, ...]
# What a host wants to know, and nobody may rely on.
_NO_PROMISE = frozenset({"format", "version", "label", "requires", "roles", "uses", "deprecated", "experimental"})
_ADVICE = frozenset({"events", "hooks", "actions", "api", "data_migrations", "entities", "extensions", "settings", "errors", "permissions"})


@attrs.frozen
class Difference:
    """One line that is not as it was.

    Attributes:
        path: where it stands: ``("events", "sales.deal_won", "fields", "amount")``.
        old, new: what it says; None where it was not, or is not any more.
        breaking: others may rely on what was.
    """

    path: Path
    old: str | None
    new: str | None
    breaking: bool

    def words(self, messages: Messages, locale: str = "en") -> str:
        """Say it, and what to do."""
        kind = "added" if self.old is None else "removed" if self.new is None else "changed"
        advice = f"cli_contract_do_{self.path[0]}" if self.breaking and self.path[0] in _ADVICE else ""
        if advice and _required(self.path, self.old, self.new):
            advice += "_required"
        params = {"what": " ".join(self.path), "old": self.old or "", "new": self.new or ""}
        lines = [messages.text(f"cli_contract_{kind}_breaking" if self.breaking else f"cli_contract_{kind}", params, locale)]
        return " ".join([*lines, messages.text(advice, {}, locale)] if advice else lines)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return what changed from one document to another, in the order of its place; what is new is named once, without its parts."""
    before, after = dict(_lines(old)), dict(_lines(new))
    young = [path.partition(" ")[::2] for path in old.get("experimental", ())]
    found = []
    for path in sorted({*before, *after}):
        one, other = before.get(path), after.get(path)
        if one != other:
            breaking = not _free(path, young) and _breaking(path, one, other, before, after)
            part = any(path[:n] in after and path[:n] not in before for n in range(1, len(path)))
            if breaking or not part:
                found.append(Difference(path, one, other, breaking))
    return found


def allowed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Say whether the plugin's version was raised so far that a breaking change is announced: 1.x to 2.0, or 0.1 to 0.2."""
    return _series(new["version"]) > _series(old["version"])


def _series(version: str) -> tuple[int, ...]:
    numbers = (*Version.parse(version).numbers, 0, 0)
    return numbers[:1] if numbers[0] else numbers[:2]


def _lines(document: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    if len(path) == 3 and path[2] == "payloads":
        return  # they follow from the fields
    if isinstance(document, Mapping):
        if path and path[0] in _ADVICE and len(path) > 1:
            yield path, ""
        for key, value in document.items():
            yield from _lines(value, (*path, str(key)))
    elif isinstance(document, list):
        yield from (((*path, str(item)), "") for item in document)
    else:
        yield path, document if isinstance(document, str) else json.dumps(document)


def _free(path: Path, young: list[tuple[str, str]]) -> bool:
    if path[0] in _NO_PROMISE:
        return True
    return any(path[0] == part and (not name or f"{'.'.join(path[1:])}.".startswith(f"{name}.")) for part, name in young)


def _breaking(path: Path, old: str | None, new: str | None, before: Mapping[Path, str], after: Mapping[Path, str]) -> bool:
    if new is None:
        return True
    if old is None:
        raised = path[0] == "events" and before.get((*path[:2], "version")) != after.get((*path[:2], "version"))
        return (path[0] == "settings" or path[:2] in before) and _asks(path) and not _optional(new) and not raised
    if path[0] == "events" and path[-1] == "version":
        return int(new) < int(old)
    if path[0] == "errors":
        return not set(old.split(", ")) <= {*new.split(", "), ""}
    if path[0] == "permissions":
        return False
    if old.startswith("("):
        return not _callable_as(old, new)
    return not _widened(old, new)


def _asks(path: Path) -> bool:
    """Say whether what is new there has to be given by those who did not know it."""
    return path[0] == "settings" or (path[0] in ("events", "actions", "entities") and "fields" in path)


def _required(path: Path, old: str | None, new: str | None) -> bool:
    """Say whether callers and hosts of before do not give what has to be given now."""
    asked = path[0] == "settings" or (path[0] == "entities" and "fields" in path)
    return asked and new is not None and not _optional(new) and (old is None or _optional(old))


def _optional(text: str) -> bool:
    return " = " in text or text == ""


def _widened(old: str, new: str) -> bool:
    """Say whether only the default is another, or a choice has more options."""
    was, had = old.partition(" = ")[::2]
    now, has = new.partition(" = ")[::2]
    if had and not has:
        return False
    if was == now:
        return True
    options = re.compile(r'"[^"]*"|None')
    return bool(options.match(was)) and set(options.findall(was)) < set(options.findall(now)) and options.sub("", now).strip(" |") == ""


def _callable_as(old: str, new: str) -> bool:
    """Say whether every call that fitted the old signature fits the new one, and gives the same."""
    try:
        one, other = (ast.parse(f"def f{text}: ...").body[0] for text in (old, new))
    except SyntaxError:
        return False
    assert isinstance(one, ast.FunctionDef)
    assert isinstance(other, ast.FunctionDef)
    if ast.dump(one.returns or ast.Constant(None)) != ast.dump(other.returns or ast.Constant(None)):
        return False
    was, now = _positional(one.args), _positional(other.args)
    if [p[0] for p in now[: len(was)]] != [p[0] for p in was] or any(had and not has for (_, had), (_, has) in zip(was, now, strict=False)):
        return False
    named, names = _named(one.args), _named(other.args) | {text: True for text, _ in now[len(was) :]}
    known = all(text in names and (names[text] or not had) for text, had in named.items())
    fresh = all(has for _, has in now[len(was) :]) and all(has for text, has in names.items() if text not in named)
    return known and fresh and _stars(one.args) == _stars(other.args)


def _positional(given: ast.arguments) -> list[tuple[str, bool]]:
    every = [*given.posonlyargs, *given.args]
    required = len(every) - len(given.defaults)
    return [(ast.unparse(each), n >= required) for n, each in enumerate(every)]


def _named(given: ast.arguments) -> dict[str, bool]:
    return {ast.unparse(each): default is not None for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)}


def _stars(given: ast.arguments) -> tuple[bool, bool]:
    return given.vararg is not None, given.kwarg is not None
