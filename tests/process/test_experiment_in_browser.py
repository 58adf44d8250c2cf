"""The page of a comparison in a real browser: it draws, asks for nothing, and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator

import chromium
import pytest
from chromium import Page
from experiments import Truth, experiment

from seatrial import paging, weighing

pytestmark = pytest.mark.browser

TRUTHS = {"base": Truth(), "slow": Truth(took_ms=26), "flaky": Truth(fails=3, took_ms=15)}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Open the page of a made-up comparison, wide and light."""
    folder = experiment(tmp_path_factory.mktemp("results"), TRUTHS, spoiled=[("slow", 4)])
    file = paging.write_experiment(weighing.weigh(folder), folder)
    program = chromium.found()
    assert program, "conftest skips without one"
    with chromium.page(program, tmp_path_factory.mktemp("profile")) as page:
        page.look(width=1280, dark=False)
        page.open(file)
        yield page


def test_nothing_fails_and_nothing_is_asked_for(opened: Page) -> None:
    """No error in the console, and no address but the file's own."""
    assert [line for line in opened.said if not line.startswith("log:")] == []
    assert [one for one in opened.asked if not one.startswith(("file:", "data:"))] == []


def test_all_variants_share_one_time(opened: Page) -> None:
    """Who zooms in on one variant sees the same time of the others, under the same line."""
    told = opened.value(
        """(() => {
          const timed = Bokeh.documents[0].roots().filter((one) => one.x_range.name === "time");
          const lines = timed.flatMap((one) => one.toolbar.tools).filter((one) => one.type === "CrosshairTool");
          return [timed.length, new Set(timed.map((one) => one.x_range.id)).size,
                  new Set(lines.map((one) => one.overlay.id)).size];
        })()"""
    )

    assert told[0] >= 3 * len(TRUTHS)
    assert told[1:] == [1, 1]


def test_each_anchor_is_there_once(opened: Page) -> None:
    """Three variants have three charts of latency, each with a name of its own."""
    ids = opened.value("[...document.querySelectorAll('[id]')].map((one) => one.id)")

    assert len(ids) == len(set(ids))
    assert {"chart-latency-0", "chart-latency-1", "chart-latency-2", "chart-effects", "verdicts"} <= set(ids)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_screen(opened: Page, width: int) -> None:
    """Tables scroll within themselves; the page does not."""
    opened.look(width=width, dark=False)

    assert opened.value("document.documentElement.scrollWidth") <= width
