"""The package of a new plugin: what its names are made of, and its files from the templates beside this module."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template

import attrs

from .. import __all__ as public_names
from .. import __version__
from ..entities.meta import snake
from ..errors import Invalid

SUBJECTS: Mapping[str, tuple[str, str]] = {"Account": ("Account", "客户"), "Contact": ("Contact", "联系人")}
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", re.ASCII)
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]+", re.ASCII)
_IMPORT = re.compile(r"^(from \S+ import )(\w+(?:, \w+)*)$", re.MULTILINE)
_ENTRIES = re.compile(r"(?:^    \"\S+\": \(\".*\n)+", re.MULTILINE)
_LONGEST = 40
# What the generated files call other things.
_TAKEN = frozenset(
    (
        "base",
        "clerk",
        "close",
        "closed",
        "command",
        "crm",
        "ctx",
        "event",
        "first",
        "kit",
        "last",
        "other",
        "panel",
        "plugin",
        "settings",
        "shell",
        "system",
    )
)
_WIDTH = 140


def _camel(words: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[._]", words))


def _spaced(words: str) -> str:
    return words.replace("_", " ")


@attrs.frozen
class Names:
    """What a new plugin is called, and all that follows from it.

    Attributes:
        name: of the plugin: ``acme.loyalty``.
        entity: the class of what it keeps: ``Card``.
        extend: the core's entity that it extends and belongs to: ``Account`` or ``Contact``.
        author: for pyproject.toml.

    Raises:
        Invalid: a name is no name, or taken; the message says which and what to take.
    """

    name: str = attrs.field()
    entity: str = attrs.field()
    extend: str = attrs.field()
    author: str

    @name.validator
    def _check_name(self, _: attrs.Attribute[str], name: str) -> None:
        if not _NAME.fullmatch(name) or len(name) > _LONGEST:
            proposed = re.sub(r"\W+", ".", snake(name.replace(" ", ".").replace("-", "_")).lower(), flags=re.ASCII).strip("._")
            raise Invalid("cli_plugin_new_name", given=name[:80], suggestion=proposed if _NAME.fullmatch(proposed) else "acme.loyalty")
        if keyword.iskeyword(self.package) or self.package in sys.stdlib_module_names:
            raise Invalid("cli_plugin_new_python_name", given=name)
        installed = {point.name for point in entry_points(group="crm.plugins")}
        if name == "core" or name in installed or find_spec(self.package) is not None:
            raise Invalid("cli_plugin_new_taken", given=name, package=self.package)

    @entity.validator
    def _check_entity(self, _: attrs.Attribute[str], entity: str) -> None:
        if not _CLASS.fullmatch(entity) or len(entity) > _LONGEST:
            proposed = _camel(re.sub(r"\W+", "_", entity, flags=re.ASCII).strip("_"))
            raise Invalid("cli_plugin_new_entity", given=entity[:80], suggestion=proposed if _CLASS.fullmatch(proposed) else "Card")
        own = snake(entity)
        if entity in public_names or keyword.iskeyword(own) or own in _TAKEN:
            raise Invalid("cli_plugin_new_entity_taken", given=entity)

    @extend.validator
    def _check_extend(self, _: attrs.Attribute[str], extend: str) -> None:
        if extend not in SUBJECTS:
            raise Invalid("cli_plugin_new_extend", given=extend[:80], allowed=sorted(SUBJECTS))

    @property
    def package(self) -> str:
        """The import package."""
        return self.name.replace(".", "_")

    @property
    def distribution(self) -> str:
        """What ``pip install`` calls it, and its folder."""
        return re.sub(r"[._]+", "-", self.name).strip("-")

    def values(self) -> dict[str, str]:
        """Return what the templates' placeholders stand for."""
        own = self.name.rpartition(".")[2]
        thing = snake(self.entity)
        word = _camel(own)
        public = [f"Close{self.entity}", self.entity, f"{self.entity}Closed", f"{self.entity}Status", f"{self.extend}{word}"]
        major, minor = map(int, __version__.split(".")[:2])
        return {
            "name": self.name,
            "package": self.package,
            "distribution": self.distribution,
            "page": own,
            "label": _spaced(own).capitalize(),
            "author": self.author,
            "Word": word,
            "Entity": self.entity,
            "thing": thing,
            "words": _spaced(thing),
            "Words": _spaced(thing).capitalize(),
            "table": f"{self.package}_{thing}",
            "Subject": self.extend,
            "subject": snake(self.extend),
            "subject_name": snake(self.extend),
            "subject_label_en": SUBJECTS[self.extend][0],
            "subject_label_zh": SUBJECTS[self.extend][1],
            "core_range": f">={major}.{minor},<{f'0.{minor + 1}' if major == 0 else major + 1}",
            "api_names": "\n".join(f'    "{each}",' for each in _in_order([*public, "Settings", "may_close"], fold=False)),
        }


def write(names: Names, folder: Path) -> list[Path]:
    """Write all files of a new plugin's package; return them.

    Raises:
        Invalid: ``cli_plugin_new_exists``: the folder is there already and not empty. Nothing was written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Invalid("cli_plugin_new_exists", path=str(folder))
    values = names.values()
    written = []
    for place, template in _templates(files(__package__) / "templates" / "plugin", Path()):
        path = folder / _placed(place, values)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = _ENTRIES.sub(_by_id, _IMPORT.sub(_sorted, Template(template.read_text(encoding="utf-8")).substitute(values)))
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return written


def _templates(folder: Traversable, place: Path) -> Iterator[tuple[Path, Traversable]]:
    for found in sorted(folder.iterdir(), key=lambda each: each.name):
        if found.is_dir():
            yield from _templates(found, place / found.name)
        elif found.name.endswith(".tmpl"):
            yield place / found.name.removesuffix(".tmpl"), found


def _placed(place: Path, values: Mapping[str, str]) -> Path:
    shown = str(place).replace("_package_", values["package"]).replace("_page_", values["page"]).replace("_dot_", ".")
    return Path(shown)


def _by_id(entries: re.Match[str]) -> str:
    """Sort the lines of a catalogue by their ids."""
    return "".join(sorted(entries[0].splitlines(keepends=True), key=lambda line: line.split('"')[1]))


def _in_order(found: list[str], *, fold: bool) -> list[str]:
    """Sort names as import sorters do: constants, classes, the rest; in an import they *fold* capitals, in ``__all__`` not."""
    return sorted(found, key=lambda each: (not each.isupper(), not each[0].isupper(), each.lower() if fold else each))


def _sorted(line: re.Match[str]) -> str:
    found = _in_order(line[2].split(", "), fold=True)
    short = line[1] + ", ".join(found)
    return short if len(short) <= _WIDTH else "\n".join([f"{line[1]}(", *(f"    {each}," for each in found), ")"])
