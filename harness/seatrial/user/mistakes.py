"""Exceptions in tasks: mistakes of a user model, never data; each distinct one is told once, all are counted."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from seatrial.wire.redaction import masked

DISTINCT_LIMIT = 100


class Mistakes:
    """Counts exceptions, and passes the first of each kind on to `tell`: `t_ns`, `what`, `traceback`."""

    def __init__(
        self, tell: Callable[[Mapping[str, Any]], None], *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.count = 0
        self._tell = tell
        self._clock = clock
        self._told: set[str] = set()

    def on_user_error(self, exception: BaseException, **_: object) -> None:
        """Take Locust's `user_error` event."""
        self.count += 1
        text = "".join(traceback.format_exception(exception))
        if text in self._told or len(self._told) >= DISTINCT_LIMIT:
            return
        self._told.add(text)
        what = traceback.format_exception_only(exception)[-1].strip()
        self._tell({"t_ns": self._clock(), "what": masked(what), "traceback": masked(text)})
