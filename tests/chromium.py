"""A headless Chromium, driven over two pipes in the DevTools protocol: no socket, no port, no other library.

https://chromedevtools.github.io/devtools-protocol; with --remote-debugging-pipe messages are JSON that ends with a
zero byte, read by the browser from descriptor 3 and written to descriptor 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-pipe "
    "--disable-background-networking --disable-component-update --hide-scrollbars"
).split()
_LIMIT_S = 60.0
_HEIGHT_PX = 900


def found() -> str | None:
    """Return the program, or None if this machine has none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@dataclass
class Page:
    """One page; `said` are the messages of its console, `asked` the addresses that it requested."""

    to_browser: int
    from_browser: int
    session: str = ""
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    loaded: bool = False
    _sent: int = 0
    _rest: bytes = b""

    def call(self, method: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401  (JSON values)
        """Send a command and return its result; RuntimeError if the browser refuses it."""
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def value(self, expression: str) -> Any:  # noqa: ANN401  (any JSON value)
        """Return what a JavaScript expression is worth; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def open(self, file: Path) -> None:
        """Open a file and wait until it is loaded and its charts are drawn."""
        self.loaded = False
        self.call("Page.navigate", url=file.absolute().as_uri())
        while not self.loaded:
            self._next()
        self.value(_DRAWN)

    def go(self, url: str) -> None:
        """Go to an address, and wait for nothing."""
        self.call("Page.navigate", url=url)

    def until(self, expression: str) -> Any:  # noqa: ANN401  (as above)
        """Evaluate until the value is true in JavaScript's sense, and return it."""
        until_s = time.monotonic() + _LIMIT_S
        while not (found := self.value(expression)):
            if time.monotonic() > until_s:
                raise TimeoutError(f"never true: {expression}\n{self.value('document.body.innerText')}")
            time.sleep(0.1)
        return found

    def look(self, *, width: int, dark: bool, media: str = "") -> None:
        """Be so many pixels wide, dark or light, a screen or a printer."""
        self._resize(width, _HEIGHT_PX)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.value(_SETTLED)

    def picture(self, file: Path) -> None:
        """Write a picture of the whole page: the window is made as high as that, and stays so."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        self._resize(round(size["width"]), round(size["height"]))
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self.value(_SETTLED)

    def point(self, x: float, y: float) -> None:
        """Move the pointer."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.value(_SETTLED)

    def _next(self) -> dict[str, Any]:
        until_s = time.monotonic() + _LIMIT_S
        while b"\0" not in self._rest:
            if not select.select([self.from_browser], [], [], max(0.0, until_s - time.monotonic()))[0]:
                raise TimeoutError("the browser says nothing")
            piece = os.read(self.from_browser, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method", ""), message.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.said.append(f"{params['type']}: {[one.get('value') for one in params['args']]}")
        elif method == "Runtime.exceptionThrown":
            self.said.append(f"exception: {params['exceptionDetails']}")
        elif method == "Log.entryAdded":
            self.said.append(f"{params['entry']['level']}: {params['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True


_SETTLED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 150))))"
"""Two frames, and the 150 ms within which Bokeh lays out anew after a change of size."""

_DRAWN = """new Promise((done, fail) => {
  const until = Date.now() + 30000;
  const look = () => {
    if (document.documentElement.dataset.charts === "drawn" || !document.querySelector(".chart")) done(true);
    else if (Date.now() > until) fail(new Error("the charts were not drawn"));
    else setTimeout(look, 20);
  };
  look();
})"""


@contextmanager
def page(program: str, profile: Path) -> Iterator[Page]:
    """Start a browser with an empty profile, and give one page of it; ended at the end."""
    child_reads, we_write = os.pipe()
    we_read, child_writes = os.pipe()
    redirected = f'exec "$@" 3<&{child_reads} 4>&{child_writes}'
    arguments = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(
        ["bash", "-c", redirected, "bash", *arguments],
        pass_fds=(child_reads, child_writes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(child_reads)
    os.close(child_writes)
    try:
        yield _attached(Page(we_write, we_read))
    finally:
        os.close(we_write)  # the browser ends when its pipe does
        os.close(we_read)
        try:
            browser.wait(10)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()


def _attached(fresh: Page) -> Page:
    targets = fresh.call("Target.getTargets")["targetInfos"]
    target = next(one["targetId"] for one in targets if one["type"] == "page")
    fresh.session = fresh.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        fresh.call(f"{domain}.enable")
    return fresh
