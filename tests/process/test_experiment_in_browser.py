"""The page of a comparison in a real browser: it draws, asks for nothing, and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator

import chromium
import pytest
from chromium import Page
from experiments import Truth, experiment

from seatrial.analysis.experiment import analyse
from seatrial.compare.verdicts import Word
from seatrial.report import html

pytestmark = pytest.mark.browser

LONG = "gunicorn-gevent-4-workers-keepalive"
TRUTHS = {"base": Truth(), LONG: Truth(took_ms=26), "flaky": Truth(fails=3, took_ms=15)}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Open the page of a made-up comparison, wide and light."""
    folder = experiment(tmp_path_factory.mktemp("results"), TRUTHS, spoiled=[(LONG, 4)])
    file = html.write_experiment(analyse(folder), folder)
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


_BEYOND = """[...document.querySelectorAll("tbody th, tbody td")]
  .filter((cell) => cell.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((cell) => cell.textContent)"""


@pytest.mark.parametrize("width", [390, 1280])
def test_no_cell_lies_beyond_the_edge(opened: Page, width: int) -> None:
    """Who holds a telephone reads the verdict without pushing a table aside."""
    opened.look(width=width, dark=False)

    assert opened.value(_BEYOND) == []


def test_a_telephone_has_each_number_beside_its_word(opened: Page) -> None:
    """The heads are out of sight there; a row begins with its verdict."""
    opened.look(width=390, dark=False)
    told = opened.value(
        """(() => {
          const row = document.querySelector("#verdicts").closest("section").querySelector("tbody tr");
          const cells = [...row.children];
          return [cells[0].className, cells[0].textContent, getComputedStyle(cells[3], "::before").content];
        })()"""
    )

    assert told[0].split()[:2] == ["word", "verdict"]
    assert told[1] in set(Word)
    assert "effect" in told[2]


def test_verdicts_come_before_all_other_tables(opened: Page) -> None:
    """In the first screen of a wide window, after three sentences at most."""
    opened.look(width=1280, dark=False)
    first, top = opened.value(
        "((one) => [one.id, one.getBoundingClientRect().top + scrollY])(document.querySelector('main h2'))"
    )

    assert first == "verdicts"
    assert top < 600


def test_the_window_can_be_chosen_by_keyboard(opened: Page) -> None:
    """The buttons of the time axis serve all variants."""
    opened.look(width=1280, dark=False)
    ends = """((time) => [time.start, time.end])(
      [...Bokeh.documents[0]._all_models.values()].find((one) => one.name === "time"))"""
    whole = opened.value(ends)
    opened.value("document.querySelector('button[data-time=window]').click()")
    window = opened.value(ends)
    opened.value("document.querySelector('button[data-time=whole]').click()")

    assert window == [0, 4]
    assert whole[0] < 0
    assert opened.value(ends) == whole
