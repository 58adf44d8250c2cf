"""Requests that one user runs side by side, in greenlets that end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from gevent import GreenletExit
from gevent.pool import Pool


class Parallel:
    """At most `limit` greenlets at once; `spawn` waits for a free place."""

    def __init__(self, limit: int) -> None:
        self._pool = Pool(limit)
        self._failure: BaseException | None = None

    def spawn(self, work: Callable[..., object], *args: Any) -> None:  # noqa: ANN401  (what `work` takes)
        """Run `work(*args)` beside the others, within the flow that is running now."""
        self._raise()
        self._pool.spawn(copy_context().run, self._guarded, work, args)

    def join(self) -> None:
        """Wait for all; raise the first exception that one of them raised."""
        self._pool.join()
        self._raise()

    def kill(self) -> None:
        """End what still runs: each request in flight is recorded as `cut`."""
        self._pool.kill(GreenletExit, block=True)

    def _guarded(self, work: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            work(*args)
        except Exception as error:  # noqa: BLE001  (raised again in the user's own greenlet, by _raise)
            self._failure = self._failure or error

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure


@contextmanager
def side_by_side(limit: int) -> Iterator[Parallel]:
    """Give a Parallel that is joined at the end of the block, and killed if the block is left in any other way."""
    group = Parallel(limit)
    try:
        yield group
        group.join()
    finally:
        group.kill()
