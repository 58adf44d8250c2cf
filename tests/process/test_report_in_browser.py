"""The page in a real browser: it draws, asks for nothing, and what is at one moment is under one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import chromium
import factories
import pytest
from chromium import Page
from comparisons import capacities

from seatrial.analysis.run import load_run
from seatrial.report import html

pytestmark = pytest.mark.browser

FIGURES = 9
_DEEP = """((from, wanted) => {
  const all = (node) => [node, ...[...node.querySelectorAll('*')].flatMap((one) =>
    one.shadowRoot ? all(one.shadowRoot) : [])];
  return all(from).flatMap((root) => [...root.querySelectorAll(wanted)]);
})"""
"""Finds elements within shadow roots, too: Bokeh draws into these."""

_INK = f"""[...document.querySelectorAll('figure')].map((one) => {{
  const canvas = {_DEEP}(one, 'canvas')[0];
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return data.reduce((sum, value, index) => sum + (index % 4 === 3 && value > 0 ? 1 : 0), 0);
}})"""
"""How many pixels of each figure's canvas are drawn."""

_ON_TIME = """[...document.querySelectorAll("figure")]
  .map((one) => /latency|rate|memory|cores|generator/.test(one.id))"""
_ENDS = """((time) => [time.start, time.end])(
  [...Bokeh.documents[0]._all_models.values()].find((one) => one.name === 'time'))"""
_MIDDLE = (
    "(b => [b.x + b.width / 2, b.y + b.height / 2])"
    "(document.querySelector('#chart-latency .chart').getBoundingClientRect())"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of a run and of a search for capacity, with every chart that there is."""
    folder = factories.sealed_run(tmp_path_factory.mktemp("results"))
    path = folder.experiment / "report.html"
    path.write_text(
        html.render_run(html.shown_run(load_run(folder)), Path("made-up"), capacities()), encoding="utf-8"
    )
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Start one browser for all of these tests."""
    program = chromium.found()
    assert program, "conftest skips without one"
    with chromium.page(program, tmp_path_factory.mktemp("profile")) as fresh:
        yield fresh


@pytest.fixture
def opened(browser: Page, report: Path) -> Page:
    """Open the page anew, wide and light."""
    browser.said.clear()
    browser.asked.clear()
    browser.look(width=1280, dark=False)
    browser.open(report)
    return browser


def test_every_chart_is_drawn(opened: Page) -> None:
    """Each figure has a canvas of its own with more on it than axes."""
    ink = opened.value(_INK)

    assert len(ink) == FIGURES
    assert min(ink) > 10_000


def test_the_console_is_quiet_and_nothing_is_asked_for(opened: Page, report: Path) -> None:
    """No error, no warning, and no request but the one for the file itself."""
    assert [line for line in opened.said if "setting log level" not in line] == []
    assert opened.asked == [report.as_uri()]


def test_charts_share_one_time(opened: Page) -> None:
    """Their range is one model: who zooms in on one sees the same time in all."""
    found = opened.value(
        """(() => {
          const figures = Bokeh.documents[0].roots().filter(one => one.x_range.name === 'time');
          return [figures.length, new Set(figures.map(one => one.x_range.id)).size];
        })()"""
    )

    assert found == [sum(opened.value(_ON_TIME)), 1]


def test_the_crosshair_of_all_charts_follows_the_pointer(opened: Page) -> None:
    """Pointing at the first chart draws a line through every chart that shares its axis, and through no other."""
    lines = """[...Bokeh.documents[0]._all_models.values()].filter((one) => one.name === 'crosshair')
      .map((one) => one.location)"""
    opened.value("document.getElementById('chart-latency').scrollIntoView()")
    x, y = opened.value(_MIDDLE)
    before = opened.value(_INK)
    opened.point(x, y)
    first = opened.value(lines)
    opened.point(x + 200, y)
    second = opened.value(lines)
    more = [now - then > 0 for now, then in zip(opened.value(_INK), before, strict=True)]

    assert len(first) == len(second) == 1
    assert second[0] > first[0]
    assert more == opened.value(_ON_TIME)


def test_a_pointed_moment_is_told_in_words(opened: Page) -> None:
    """The tooltip has the figures of the tables' own form."""
    opened.value("document.getElementById('chart-latency').scrollIntoView()")
    x, y = opened.value(_MIDDLE)
    opened.point(x, y)
    opened.point(x + 3, y)
    said = opened.value(f"{_DEEP}(document, '.bk-tooltip-content').map((one) => one.textContent).join(' ')")

    assert "p50" in said
    assert " ms" in said


def test_buttons_move_the_time(opened: Page) -> None:
    """Zooming needs no mouse: the window, and back to the whole run."""
    whole = opened.value(_ENDS)
    opened.value("document.querySelector('[data-time=window]').click()")
    window = opened.value(_ENDS)
    opened.value("document.querySelector('[data-time=whole]').click()")

    assert window == [0, 30]
    assert opened.value(_ENDS) == whole
    assert whole[0] < window[0]
    assert whole[1] > window[1]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_fits_its_window(browser: Page, report: Path, tmp_path: Path, width: int, dark: bool) -> None:  # noqa: FBT001
    """Only tables are wider than a phone, and scroll in their own box; a chart's text can be read in the dark."""
    browser.look(width=width, dark=dark)
    browser.open(report)
    picture = tmp_path / "page.png"
    browser.picture(picture)
    label = browser.value("Bokeh.documents[0].roots()[0].below[0].major_label_text_color")

    assert browser.value("document.documentElement.scrollWidth") == width
    assert (
        browser.value("Math.max(...[...document.querySelectorAll('.chart')].map(one => one.offsetWidth))") <= width
    )
    assert int.from_bytes(picture.read_bytes()[16:20], "big") == width
    assert _contrast(label if isinstance(label, str) else label["value"], dark=dark) >= 4.5


def test_a_table_can_be_reached_by_key(opened: Page) -> None:
    """Tab goes to the skip link first, and each table that may scroll can be focused."""
    opened.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)

    assert opened.value("document.activeElement.className") == "skip"
    assert opened.value("[...document.querySelectorAll('table')].every(one => one.parentElement.tabIndex === 0)")


def test_a_printed_page_is_light(opened: Page) -> None:
    """Ink is for words: a reader in the dark still prints black on white."""
    opened.look(width=800, dark=True, media="print")

    assert opened.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.value("getComputedStyle(document.querySelector('nav')).display") == "none"


def _contrast(colour: str, *, dark: bool) -> float:
    """Return the contrast with the page behind it (WCAG 2.2, 1.4.3)."""
    light, shade = sorted((_luminance(colour), _luminance("#15181c" if dark else "#ffffff")), reverse=True)
    return (light + 0.05) / (shade + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
