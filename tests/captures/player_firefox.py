"""Drives headless Firefox over Marionette, with an empty profile for each session.

Marionette is plain JSON over TCP, each message preceded by its length and a colon:
https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html. The port is chosen by the browser and
written to MarionetteActivePort in its profile.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import player_page
from cases import Step
from golden_session import ClipFacts, Done
from trials import wait_until

_LIMIT_S = 60.0
_PREFERENCES = {
    "marionette.port": 0,
    "media.autoplay.default": 0,
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}


def found() -> str | None:
    """Return the program, or None if this machine has none."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


def version() -> str:
    """Return what `firefox --version` says."""
    done = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip().removeprefix("Mozilla Firefox ")


def session(url: str, clip: ClipFacts, steps: Sequence[Step]) -> tuple[str, list[Done], list[Done], float]:
    """Play; return the driver, actions, events (both with times of time.monotonic) and the time of the stop."""
    del clip
    origin, _, path = url.removeprefix("http://").partition("/")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, _browser(Path(profile)) as browser:
        browser.call("WebDriver:NewSession", {})
        browser.call("WebDriver:Navigate", {"url": f"http://{origin}{player_page.PATH}"})
        return "headless, <video> of one page", *player_page.follow(browser.value, f"/{path}", steps)


def _program() -> str:
    program = found()
    if program is None:
        raise FileNotFoundError("firefox-esr")
    return program


class _Marionette:
    """The connection to one browser."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_LIMIT_S)
        self._rest, self._sent = b"", 0
        self._next()  # the greeting

    def call(self, command: str, parameters: dict[str, Any]) -> Any:  # noqa: ANN401  (JSON values)
        """Send a command and return its result; RuntimeError if the browser refuses it."""
        self._sent += 1
        message = json.dumps([0, self._sent, command, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(message), message))
        _, number, error, result = self._next()
        if error is not None or number != self._sent:
            raise RuntimeError(f"{command}: {error}")
        return result

    def value(self, expression: str) -> Any:  # noqa: ANN401  (any JSON value)
        """Return what a JavaScript expression, the last of its statements, is worth on the page."""
        script = "return window.eval(arguments[0])"
        return self.call("WebDriver:ExecuteScript", {"script": script, "args": [expression], "sandbox": None})[
            "value"
        ]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _next(self) -> Any:  # noqa: ANN401  (JSON values)
        while b":" not in self._rest:
            self._more()
        size, _, self._rest = self._rest.partition(b":")
        while len(self._rest) < int(size):
            self._more()
        text, self._rest = self._rest[: int(size)], self._rest[int(size) :]
        return json.loads(text)

    def _more(self) -> None:
        piece = self._socket.recv(1 << 16)
        if not piece:
            raise RuntimeError("the browser has ended")
        self._rest += piece


@contextmanager
def _browser(profile: Path) -> Iterator[_Marionette]:
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in _PREFERENCES.items())
    (profile / "user.js").write_text("".join(lines), encoding="utf-8")
    words = [_program(), "--headless", "--no-remote", "--marionette", "--profile", str(profile), "about:blank"]
    environment = {**os.environ, "HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        port = profile / "MarionetteActivePort"
        wait_until(lambda: port.exists() and bool(port.read_text()), _LIMIT_S)
        marionette = _Marionette(int(port.read_text()))
        try:
            yield marionette
        finally:
            marionette.close()
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        time.sleep(0.2)  # its children write to the profile until they notice
