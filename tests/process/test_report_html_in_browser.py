"""The pages of a run and of an experiment in a browser: charts, console, requests, widths, keyboard, printing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import chromium
import factories
import pytest
from chromium import Page
from comparisons import capacities
from experiments import Truth, experiment

from seatrial.analysis.experiment import analyse
from seatrial.analysis.run import load_run
from seatrial.compare.verdicts import Word
from seatrial.report import html

pytestmark = pytest.mark.browser

LONG = "gunicorn-gevent-4-workers-keepalive"
TRUTHS = {"base": Truth(), LONG: Truth(took_ms=26), "flaky": Truth(fails=3, took_ms=15)}

FIGURES = 9
_DEEP = """((from, wanted) => {
  const all = (node) => [node, ...[...node.querySelectorAll('*')].flatMap((one) =>
    one.shadowRoot ? all(one.shadowRoot) : [])];
  return all(from).flatMap((root) => [...root.querySelectorAll(wanted)]);
})"""
"""Finds elements within shadow roots, which Bokeh draws into."""

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
_BEYOND = """[...document.querySelectorAll("tbody th, tbody td")]
  .filter((cell) => cell.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((cell) => cell.textContent)"""
"""Texts of cells that lie beyond the right edge."""


@pytest.fixture(scope="module")
def run_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of a run and of a search for capacity, with every chart that there is."""
    folder = factories.sealed_run(tmp_path_factory.mktemp("results"))
    path = folder.experiment / "report.html"
    page = html.render_run(html.shown_run(load_run(folder)), Path("made-up"), capacities())
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def experiment_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of an experiment of three variants."""
    folder = experiment(tmp_path_factory.mktemp("results"), TRUTHS, spoiled=[(LONG, 4)])
    return html.write_experiment(analyse(folder), folder)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Start one browser for all of these tests."""
    program = chromium.found()
    assert program, "conftest skips without one"
    with chromium.page(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


def _open(browser: Page, path: Path) -> Page:
    browser.said.clear()
    browser.asked.clear()
    browser.look(width=1280, dark=False)
    browser.open(path)
    return browser


@pytest.fixture
def run(browser: Page, run_page: Path) -> Page:
    """Open the page of the run, wide and light."""
    return _open(browser, run_page)


@pytest.fixture
def compared(browser: Page, experiment_page: Path) -> Page:
    """Open the page of the experiment, wide and light."""
    return _open(browser, experiment_page)


def test_every_chart_is_drawn(run: Page) -> None:
    """Each figure has a canvas of its own with more on it than axes."""
    ink = run.value(_INK)

    assert len(ink) == FIGURES
    assert min(ink) > 10_000


def test_the_page_of_a_run_has_no_errors_and_loads_nothing(run: Page, run_page: Path) -> None:
    """No error, no warning, and no request but the one for the file itself."""
    assert [line for line in run.said if "setting log level" not in line] == []
    assert run.asked == [run_page.as_uri()]


def test_charts_share_one_time(run: Page) -> None:
    """Their range is one model: zooming in on one shows the same time in all."""
    figures = run.value(
        """(() => {
          const figures = Bokeh.documents[0].roots().filter(one => one.x_range.name === 'time');
          return [figures.length, new Set(figures.map(one => one.x_range.id)).size];
        })()"""
    )

    assert figures == [sum(run.value(_ON_TIME)), 1]


def test_the_crosshair_of_all_charts_follows_the_pointer(run: Page) -> None:
    """Pointing at the first chart draws a line through every chart that shares its axis, and through no other."""
    lines = """[...Bokeh.documents[0]._all_models.values()].filter((one) => one.name === 'crosshair')
      .map((one) => one.location)"""
    run.value("document.getElementById('chart-latency').scrollIntoView()")
    x, y = run.value(_MIDDLE)
    before = run.value(_INK)
    run.point(x, y)
    first = run.value(lines)
    run.point(x + 200, y)
    second = run.value(lines)
    more = [now - then > 0 for now, then in zip(run.value(_INK), before, strict=True)]

    assert len(first) == len(second) == 1
    assert second[0] > first[0]
    assert more == run.value(_ON_TIME)


def test_a_tooltip_has_the_values_of_a_moment(run: Page) -> None:
    """Formatted as in the tables."""
    run.value("document.getElementById('chart-latency').scrollIntoView()")
    x, y = run.value(_MIDDLE)
    run.point(x, y)
    run.point(x + 3, y)
    text = run.value(f"{_DEEP}(document, '.bk-tooltip-content').map((one) => one.textContent).join(' ')")

    assert "p50" in text
    assert " ms" in text


def test_buttons_move_the_time(run: Page) -> None:
    """Zooming needs no mouse: the window, and back to the whole run."""
    whole = run.value(_ENDS)
    run.value("document.querySelector('[data-time=window]').click()")
    window = run.value(_ENDS)
    run.value("document.querySelector('[data-time=whole]').click()")

    assert window == [0, 30]
    assert run.value(_ENDS) == whole
    assert whole[0] < window[0]
    assert whole[1] > window[1]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_of_a_run_fits_its_window(
    browser: Page,
    run_page: Path,
    tmp_path: Path,
    width: int,
    dark: bool,  # noqa: FBT001  (a parameter)
) -> None:
    """Only tables are wider than a phone, and scroll in their own box; a chart's text can be read in the dark."""
    browser.look(width=width, dark=dark)
    browser.open(run_page)
    picture = tmp_path / "page.png"
    browser.picture(picture)
    label = browser.value("Bokeh.documents[0].roots()[0].below[0].major_label_text_color")

    assert browser.value("document.documentElement.scrollWidth") == width
    assert (
        browser.value("Math.max(...[...document.querySelectorAll('.chart')].map(one => one.offsetWidth))") <= width
    )
    assert int.from_bytes(picture.read_bytes()[16:20], "big") == width
    assert _contrast(label if isinstance(label, str) else label["value"], dark=dark) >= 4.5


def test_a_table_can_be_reached_by_key(run: Page) -> None:
    """Tab goes to the skip link first, and each table that may scroll can be focused."""
    run.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)

    assert run.value("document.activeElement.className") == "skip"
    assert run.value("[...document.querySelectorAll('table')].every(one => one.parentElement.tabIndex === 0)")


def test_a_printed_page_is_light(run: Page) -> None:
    """Also if the screen is dark."""
    run.look(width=800, dark=True, media="print")

    assert run.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert run.value("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_the_page_of_an_experiment_has_no_errors_and_loads_nothing(compared: Page) -> None:
    """No error in the console, and no address but the file's own."""
    assert [line for line in compared.said if not line.startswith("log:")] == []
    assert [url for url in compared.asked if not url.startswith(("file:", "data:"))] == []


def test_all_variants_share_one_time(compared: Page) -> None:
    """Zooming in on one variant shows the same time of the others, under the same line."""
    values = compared.value(
        """(() => {
          const timed = Bokeh.documents[0].roots().filter((one) => one.x_range.name === "time");
          const lines = timed.flatMap((one) => one.toolbar.tools).filter((one) => one.type === "CrosshairTool");
          return [timed.length, new Set(timed.map((one) => one.x_range.id)).size,
                  new Set(lines.map((one) => one.overlay.id)).size];
        })()"""
    )

    assert values[0] >= 3 * len(TRUTHS)
    assert values[1:] == [1, 1]


def test_each_anchor_is_there_once(compared: Page) -> None:
    """Three variants have three charts of latency, each with a name of its own."""
    ids = compared.value("[...document.querySelectorAll('[id]')].map((one) => one.id)")

    assert len(ids) == len(set(ids))
    assert {"chart-latency-0", "chart-latency-1", "chart-latency-2", "chart-effects", "verdicts"} <= set(ids)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_an_experiment_fits_its_window(compared: Page, width: int) -> None:
    """Neither the page nor a cell of a table lies beyond the edge."""
    compared.look(width=width, dark=False)

    assert compared.value("document.documentElement.scrollWidth") <= width
    assert compared.value(_BEYOND) == []


def test_on_a_phone_each_number_stands_beside_its_head(compared: Page) -> None:
    """The row of heads is hidden there; a row begins with its verdict."""
    compared.look(width=390, dark=False)
    values = compared.value(
        """(() => {
          const row = document.querySelector("#verdicts").closest("section").querySelector("tbody tr");
          const cells = [...row.children];
          return [cells[0].className, cells[0].textContent, getComputedStyle(cells[3], "::before").content];
        })()"""
    )

    assert values[0].split()[:2] == ["word", "verdict"]
    assert values[1] in set(Word)
    assert "effect" in values[2]


def test_verdicts_come_before_all_other_tables(compared: Page) -> None:
    """In the first screen of a wide window, after three sentences at most."""
    compared.look(width=1280, dark=False)
    first, top = compared.value(
        "((one) => [one.id, one.getBoundingClientRect().top + scrollY])(document.querySelector('main h2'))"
    )

    assert first == "verdicts"
    assert top < 600


def test_buttons_move_the_time_of_all_variants(compared: Page) -> None:
    """They need no mouse."""
    compared.look(width=1280, dark=False)
    whole = compared.value(_ENDS)
    compared.value("document.querySelector('button[data-time=window]').click()")
    window = compared.value(_ENDS)
    compared.value("document.querySelector('button[data-time=whole]').click()")

    assert window == [0, 4]
    assert whole[0] < 0
    assert compared.value(_ENDS) == whole


def _contrast(colour: str, *, dark: bool) -> float:
    """Return the contrast with the page behind it (WCAG 2.2, 1.4.3)."""
    light, shade = sorted((_luminance(colour), _luminance("#15181c" if dark else "#ffffff")), reverse=True)
    return (light + 0.05) / (shade + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
