"""Locust's own web UI with this package's client: started by its form in a real browser, read, and stopped."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from chromium import Page
from process.fake_registry import PASSWORD, USER, Registry, serving
from process.plain_locust import ROOT, plain_locust
from trials import is_listening, wait_until

from seatrial.load.child import free_port

GIVE_UP_S = 20.0
USERS = 3
NAMES = ("token", "manifest by tag", "config", "layer")
# React keeps a copy of a field's value; only an input event after the native setter changes it.
TYPE = """(name, text) => {
  const field = document.querySelector(`input[name=${name}]`);
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, text);
  field.dispatchEvent(new Event("input", {bubbles: true}));
  return true;
}"""
PRESS = """(name) => {
  const same = one => one.innerText.trim().toLowerCase() === name;
  const found = [...document.querySelectorAll("button")].find(same);
  if (found) found.click();
  return Boolean(found);
}"""
STARTED = '!document.querySelector("input[name=userCount]")'
# Again until the form is gone: a page that is not complete may ignore the first time.
FILL_IN = f"""() => {{
  ({TYPE})("userCount", "{USERS}");
  ({TYPE})("spawnRate", "{USERS}");
  ({PRESS})("start");
  return false;
}}"""
CELLS = '[...document.querySelectorAll("tbody tr")].map(row => [...row.cells].map(cell => cell.innerText.trim()))'
DRAWN = (
    '[...document.querySelectorAll("canvas, svg")].filter(one => one.getBoundingClientRect().height > 100).length'
)


pytestmark = pytest.mark.browser


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """Open a browser."""
    program = chromium.found()
    assert program, "conftest skips without one"
    with chromium.page(program, tmp_path / "profile") as opened:
        yield opened


def _counted(page: Page) -> Counter[str]:
    """Return how many requests the page's table shows, by name; it has a row for each method."""
    counts: Counter[str] = Counter()
    for row in page.value(CELLS):
        counts[row[1]] += int(row[2].replace(",", ""))
    return counts


def test_a_pull_is_started_seen_and_stopped_in_the_browser(page: Page, tmp_path: Path) -> None:
    """The table has our endpoints and counts the requests that the server saw; charts are drawn; stop stops."""
    registry = Registry()
    registry.add_image("latest", [b"a" * 3_000, b"b" * 100])
    port, log = free_port(), tmp_path / "log"
    words = ["--web-host", "127.0.0.1", "--web-port", str(port), "--exit-code-on-error", "0"]
    words += ["--registry-user", USER, "--registry-repository", "app", "--registry-wait", "0.1"]
    file = ROOT / "locustfiles" / "registry_pull.py"
    secret = {"REGISTRY_PASSWORD": PASSWORD}
    with (
        serving(registry),
        plain_locust(tmp_path, file, *words, "--host", registry.url, variables=secret) as locust,
    ):
        wait_until(lambda: is_listening(port), GIVE_UP_S, log=log)
        page.look(width=1400, dark=False)  # where it is narrow, the page leaves out the state of the test
        page.go(f"http://127.0.0.1:{port}/")
        page.until('document.querySelector("button[type=submit]") !== null')
        page.until(f"{STARTED} || ({FILL_IN})()")
        rows = " && ".join(f'{CELLS}.some(row => row[1] === "{name}")' for name in NAMES)
        page.until(rows)
        page.until('document.body.innerText.includes("RUNNING")')
        page.until(f"/Users\\s+{USERS}\\s/.test(document.body.innerText)")

        page.until(f'({PRESS})("charts")')
        assert page.until(DRAWN) >= 1
        page.until(f'({PRESS})("stop")')
        page.until('document.body.innerText.includes("STOPPED")')
        page.until(f'({PRESS})("statistics")')
        served = len(registry.log)
        page.until(f'{CELLS}.some(row => row[1] === "Aggregated" && Number(row[2]) >= {served - 3 * USERS})')
        counted = _counted(page)
        assert set(NAMES) <= set(counted)
        assert counted.total() == 2 * counted["Aggregated"]
        assert served - 3 * USERS <= counted["Aggregated"] <= served == len(registry.log)
        locust.send_signal(signal.SIGINT)
        assert locust.wait(GIVE_UP_S) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
