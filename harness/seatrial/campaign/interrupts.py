"""Ctrl-C and SIGTERM: the first ends the run in order, the next ones can't break the teardown."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def orderly(say: Callable[[str], None]) -> Iterator[None]:
    """Raise KeyboardInterrupt for the first SIGINT or SIGTERM only; later ones are answered with a word."""
    seen = []

    def once(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            say("still tearing down; a moment")
            return
        raise KeyboardInterrupt

    before = {number: signal.signal(number, once) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
