"""A headless Chromium, driven by the DevTools protocol over a pair of pipes: no port, and no WebSocket.

https://chromedevtools.github.io/devtools-protocol/; with --remote-debugging-pipe the browser reads JSON messages
from descriptor 3, and writes such to descriptor 4; each ends with a zero byte.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
WITHIN_S = 20.0
# Its sandbox starts neither as root nor where users may make no namespaces; it only sees our own page.
_OPTIONS = """
--no-sandbox --headless --remote-debugging-pipe --disable-gpu --disable-dev-shm-usage --disable-extensions
--no-first-run --disable-background-networking --disable-component-update --window-size=1400,1000
""".split()
# Through two numbers out of the way: those that the pipes got may be 3 and 4 themselves.
_AS_3_AND_4 = """
import os, sys
os.dup2(int(sys.argv[1]), 103), os.dup2(int(sys.argv[2]), 104)
os.dup2(103, 3), os.dup2(104, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One page; `evaluate` runs JavaScript in it."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._numbers = itertools.count(1)
        self._read = b""
        self._session: dict[str, str] = {}
        target = self._do("Target.createTarget", url="about:blank")["targetId"]
        attached = self._do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def open(self, url: str) -> None:
        """Go to a URL."""
        self._do("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:  # noqa: ANN401  (whatever the script's value is)
        """Return the JSON value of an expression; AssertionError if it throws."""
        done = self._do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def until(self, script: str) -> Any:  # noqa: ANN401  (as above)
        """Evaluate until the value is true in JavaScript's sense, and return it."""
        deadline = time.monotonic() + WITHIN_S
        while not (value := self.evaluate(script)):
            assert time.monotonic() < deadline, f"never true: {script}\n{self.evaluate('document.body.innerText')}"
            time.sleep(0.1)
        return value

    def _do(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + WITHIN_S
        while True:
            answer = self._message(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._back], [], [], max(deadline - time.monotonic(), 0))
            piece = os.read(self._back, 1 << 16) if ready else b""
            assert piece, "the browser says nothing"
            self._read += piece
        message, _, self._read = self._read.partition(b"\0")
        whole: dict[str, Any] = json.loads(message)
        return whole


@contextmanager
def page() -> Iterator[Page]:
    """Start a browser with a profile of its own, and end all of its processes with the block."""
    assert PROGRAM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        theirs_in, to = os.pipe()
        back, theirs_out = os.pipe()
        command = [PROGRAM, *_OPTIONS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [sys.executable, "-ISc", _AS_3_AND_4, str(theirs_in), str(theirs_out), *command],
            pass_fds=(theirs_in, theirs_out),
            env={**os.environ, "HOME": profile},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Page(to, back)
        finally:
            with suppress(OSError, subprocess.TimeoutExpired):  # so that it waits for its own children
                os.write(to, b'{"id": 0, "method": "Browser.close"}\0')
                process.wait(5)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(to)
            os.close(back)
