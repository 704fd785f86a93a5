"""The report in a real browser: it fits, it needs no network, and axe finds nothing serious. ``tox -e browser`` brings what it takes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crm_demo.command import demo

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not here: run tox -e browser")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not here: run tox -e browser")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SIZES = {"phone": (390, 844), "desk": (1280, 900)}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: install Debian's package chromium")


@pytest.fixture(scope="module", params=["en", "zh"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    done = CliRunner().invoke(demo, ["--days", "120", "--lang", request.param, "--db", str(folder / "demo.db")])
    assert done.exit_code == 0, done.output
    return folder / "demo.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_fits_and_axe_finds_nothing_serious(browser: Any, report: Path, size: str, scheme: str, request: Any) -> None:
    width, height = SIZES[size]
    with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
        page, asked = context.new_page(), []
        page.on("request", lambda r: asked.append(r.url))
        page.goto(report.as_uri())
        for summary in page.locator("summary").all():
            summary.click()
        found = axe.Axe().run(page).response["violations"]
        serious = [(v["id"], v["impact"], [n["target"] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")]
        assert serious == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert asked == [report.as_uri()]
        assert page.locator("main svg").count() >= 4
        assert all(page.locator("main svg").nth(n).get_attribute("aria-label") for n in range(page.locator("main svg").count()))
        page.screenshot(path=report.with_name(f"{size}-{scheme}.png"), full_page=True)
