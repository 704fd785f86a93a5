"""Write docs/reference from the code: ``python -m tools.reference``."""

from __future__ import annotations

from pathlib import Path

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import CRM, Plugin
from crm_core.hooks.core_specs import CORE

from . import commands, conformance, errors, names, plugins

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
_NOTE = "<!-- Written by `python -m tools.reference`: change the code's docstrings instead. -->"
BY_HAND = frozenset({"glossary.md", "glossary.zh.md"})
_INDEX = ["# Reference", "", "What there is, written from the code, and [the glossary](glossary.md), which says what the words mean.", ""]


def modules() -> dict[Plugin, str]:
    """Return our plugins with the package that each is written in."""
    return {
        CORE: "crm_core.hooks",
        crm_analytics.plugin: "crm_analytics",
        crm_erp_bridge.plugin: "crm_erp_bridge",
        crm_marketing.plugin: "crm_marketing",
        crm_sales.plugin: "crm_sales",
        crm_service.plugin: "crm_service",
    }


def pages() -> dict[str, str]:
    """Return the text of every page by its file's name."""
    crm = CRM("sqlite://", plugins=[plugin for plugin in modules() if plugin is not CORE])
    made = {"names.md": names.page()}
    made |= {f"{plugin.name}.md": plugins.page(crm, plugin, package) for plugin, package in modules().items()}
    made |= {"errors.md": errors.page(), "commands.md": commands.page()}
    crm.close()
    index = [*_INDEX, *(f"- [{lines[0].removeprefix('# ')}]({name})" for name, lines in made.items())]
    return {name: "\n".join([_NOTE, "", *lines, ""]) for name, lines in {"index.md": index, **made}.items()}


def main() -> None:
    """Write all pages."""
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    conformance.PAGE.write_text(conformance.with_rules(conformance.PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
