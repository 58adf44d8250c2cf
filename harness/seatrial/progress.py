"""Progress on standard error while a run lasts: each step stays, one running line is replaced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

_HEARTBEAT_S = 10.0
_MIB = 1 << 20
_MINUTE_S = 60
_SPINNER = 2  # the width of the spinner and a blank before the running line


class Progress:
    """Shows progress: by rich on a terminal, in plain lines without one, not at all if `quiet`.

    Without a terminal the running line becomes a plain one, at most every ten seconds.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._silent_until_s = 0.0
        self._console = console or Console(stderr=True)
        self._quiet = quiet
        self._status: Status | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_live()

    def say(self, text: str) -> None:
        """Print one step; it stays."""
        if self._quiet:
            return
        self._end_live()
        self._console.print(Text(text), soft_wrap=True)

    def live(self, text: str) -> None:
        """Show the current state in the running line, in place of what stood there."""
        if self._quiet:
            return
        if not self._console.is_terminal:
            self._heartbeat(text)
        elif self._status is None:
            self._status = self._console.status(self._one_line(text))
            self._status.start()
        else:
            self._status.update(self._one_line(text))

    def _one_line(self, text: str) -> Text:
        line = Text(text)
        line.truncate(self._console.width - _SPINNER, overflow="ellipsis")
        return line

    def _heartbeat(self, text: str) -> None:
        now_s = self._clock()
        if now_s >= self._silent_until_s:
            self._silent_until_s = now_s + _HEARTBEAT_S
            self._console.print(Text(text), soft_wrap=True)

    def _end_live(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


class Steps(Progress):
    """The progress of one part of a whole: all of it goes into the whole's running line, after a prefix."""

    def __init__(self, whole: Progress, prefix: str) -> None:
        super().__init__(quiet=True)
        self._whole = whole
        self._prefix = prefix
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Show one step in the running line."""
        self.live(text)

    def live(self, text: str) -> None:
        """Show the current state in the running line; several threads may do so."""
        with self._lock:
            self._whole.live(f"{self._prefix} · {text}")


def memory_line(memory_bytes: Mapping[str, int | None]) -> str:
    """Return the memory of each service, for the end of the running line; empty if it is known of none."""
    known = [f"{name} {value / _MIB:.0f}" for name, value in memory_bytes.items() if value is not None]
    return f" · MiB: {', '.join(known)}" if known else ""


def duration_text(lasts_s: float) -> str:
    """Return an estimated duration in seconds, from two minutes on in minutes."""
    return f"{lasts_s:.0f} s" if lasts_s < 2 * _MINUTE_S else f"{lasts_s / _MINUTE_S:.0f} min"
