"""Waits until every service of a stack runs, and not only for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable

from seatrial.errors import NotReady
from seatrial.stack.containers import View

_IN_A_ROW = 2
_APART_S = 0.3  # a service that crashes at its start is seen running once, rarely twice
_PAUSE_S = 0.1


def settle(
    view: View,
    service: str | None,
    within_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until all was seen as it should be twice in a row; NotReady with the last lines of `service`.

    Raises as `View.watch`.
    """
    until = clock() + within_s
    seen = 0
    while seen < _IN_A_ROW:
        seen = seen + 1 if view.settled() else 0
        if seen < _IN_A_ROW:
            if clock() > until:
                raise NotReady(f"services are not running after {within_s:.0f} s", seen=view.report(service))
            sleep(_APART_S if seen else _PAUSE_S)
