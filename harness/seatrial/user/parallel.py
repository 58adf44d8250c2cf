"""Requests that one user runs side by side, in greenlets that end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import gevent
from gevent import GreenletExit
from gevent.pool import Pool
from locust.exception import StopUser

from seatrial.user.flows import Abandoned


class Parallel:
    """At most `limit` greenlets at once; `spawn` waits for a free place."""

    def __init__(self, limit: int) -> None:
        self._pool = Pool(limit)
        self._failure: BaseException | None = None

    def spawn(self, work: Callable[..., object], *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (what `work` takes)
        """Run `work(*args, **kwargs)` beside the others, within the flow that is running now.

        Raises the first exception that one of the others has raised, instead.
        """
        self._pool.wait_available()
        self._raise()
        self._pool.spawn(copy_context().run, self._guarded, partial(work, *args, **kwargs))

    def join(self) -> None:
        """Wait until all have ended, or one has raised an exception; raise that."""
        while self._pool:
            self._raise()
            gevent.wait(list(self._pool), count=1)
        self._raise()

    def settle(self) -> None:
        """Wait until all have ended, whatever they raised."""
        self._pool.join()

    def kill(self, reason: type[GreenletExit]) -> None:
        """End what still runs, by an exception of this kind."""
        self._pool.kill(reason, block=True)

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  (raised again in the user's own greenlet, by _raise)
            self._failure = self._failure or error
        except (KeyboardInterrupt, SystemExit):  # gevent takes it to the main greenlet, which ends the run soon:
            self._failure = self._failure or GreenletExit()  # until then nothing more is begun
            raise

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure


@contextmanager
def side_by_side(limit: int) -> Iterator[Parallel]:
    """Give a Parallel that is joined at the end of the block, and given up if the block is left in any other way.

    StopUser gives nothing up: `flow` raises it once the run ends, when what runs may still end within the drain.
    """
    group = Parallel(limit)
    reason: type[GreenletExit] = GreenletExit
    try:
        yield group
        group.join()
    except StopUser:
        group.settle()
        raise
    except (Exception, Abandoned):
        reason = Abandoned
        raise
    finally:
        group.kill(reason)
