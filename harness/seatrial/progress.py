"""What happens while a run lasts: steps stay, one running line is replaced. It goes to standard error."""

from __future__ import annotations

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
_SPINNER = 2
"""The spinner and a blank stand before the running line."""


class Progress:
    """Says what happens; rich on a terminal, plain lines without one, nothing if `quiet`.

    Without a terminal the running line becomes a plain one, at most every ten seconds: a sign of life in a log.
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
        """Tell one step; it stays."""
        if self._quiet:
            return
        self._end_live()
        self._console.print(Text(text), soft_wrap=True)

    def live(self, text: str) -> None:
        """Show what is going on now, in place of what was shown before; a terminal has one line for it."""
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
    """The progress of one part of a whole: all it says is the whole's running line, after a word of its own."""

    def __init__(self, whole: Progress, prefix: str) -> None:
        super().__init__(quiet=True)
        self._whole = whole
        self._prefix = prefix

    def say(self, text: str) -> None:
        """Show one step in the running line."""
        self._whole.live(f"{self._prefix} · {text}")

    def live(self, text: str) -> None:
        """Show what is going on now in the running line."""
        self._whole.live(f"{self._prefix} · {text}")


def memory_line(held: Mapping[str, int | None]) -> str:
    """Return how much each service holds, for the end of the running line; empty if nobody can tell."""
    told = [f"{name} {value / _MIB:.0f}" for name, value in held.items() if value is not None]
    return f" · MiB: {', '.join(told)}" if told else ""


def duration_text(lasts_s: float) -> str:
    """Return a time that is still to come, as exact as such a guess can be."""
    return f"{lasts_s:.0f} s" if lasts_s < 2 * _MINUTE_S else f"{lasts_s / _MINUTE_S:.0f} min"
