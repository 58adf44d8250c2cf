"""The lines that come from the harness, waited for no longer than until the next tick."""

from __future__ import annotations

import os
import select

_CHUNK = 65536


class Inbox:
    """A descriptor read by lines; `ended` once the other side has closed it, or the sampler was told to stop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._kept: list[bytes] = []
        self.ended = False

    def first_line(self, timeout_s: float) -> bytes | None:
        """Wait for one line, which may come in pieces; None if the other side ends, or is silent for the time."""
        while not self.ended:
            lines = self.receive(timeout_s)
            if lines:
                self._kept = lines[1:]
                return lines[0]
            if not self._rest:
                return None
        return None

    def receive(self, timeout_s: float) -> list[bytes]:
        """Return whole lines as soon as there are any; an empty list after the timeout, or at the end."""
        if self._kept or self.ended:
            kept, self._kept = self._kept, []
            return kept
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return []
        chunk = os.read(self._descriptor, _CHUNK)
        if not chunk:
            self.ended = True
            return []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines
