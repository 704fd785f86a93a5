"""Processes that play the demonstration and die with its power: nothing is flushed, rolled back or closed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

import crm_demo.command
from crm_demo.company import Company
from crm_demo.play import Step, begin, play
from crm_demo.story import STORY
from crm_demo.year import year
from crm_erp_bridge.api import FolderDrop

CUT = 9
"""The exit code of what was cut off."""


def die(*_: Any) -> NoReturn:
    """End as a power cut would have it."""
    os._exit(CUT)


def die_at(where: str) -> None:
    """Have this process die in the ``ERP``, or where the ``report`` is written."""
    places: dict[str, tuple[object, str]] = {"ERP": (FolderDrop, "apply"), "report": (crm_demo.command, "report")}
    setattr(*places[where], die)


def play_until_the_cut(tell: Any, url: str, days: int, when: str, root: Path) -> None:
    """Go on with the demonstration, and die in its next step: ``before its mark``, ``at the ERP``, or else after it."""
    came = begin(url, 7, days)
    company = Company(url, 7, root, lives=came.lives, now=came.clock)
    company.crm.migrate()
    steps = [*STORY, *year(days)]
    step = steps[came.steps]

    def cut(company: Company) -> None:
        step.run(company)
        die()

    if when == "before its mark":
        steps[came.steps] = Step(step.name, cut, step.joined)
    if when == "at the ERP":
        die_at("ERP")
    play(company, steps, die)


def run_until_the_cut(tell: Any, where: str, db: Path) -> None:
    """Run the command, and die at the ``ERP`` or at the ``report``."""
    die_at(where)
    crm_demo.command.demo(["--days", "1", "--db", str(db)])
