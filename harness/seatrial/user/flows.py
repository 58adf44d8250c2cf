"""Flows: the recorded units of work of a user, and greenlets that run side by side within one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any

import gevent
from gevent import GreenletExit
from gevent.pool import Pool
from locust.exception import StopUser

from seatrial.http.messages import Abandoned, Response
from seatrial.wire.streams import UNKNOWN_USER, Outcome

current_flow: ContextVar[Flow | None] = ContextVar("current_flow", default=None)
"""The innermost flow of the running greenlet, and of greenlets that `Parallel` spawns there."""


@dataclass(slots=True, eq=False)
class Flow:
    """One flow while it runs.

    Its outcome is that of its first failed request, unless the user model sets another with `fail`. A flow within
    a flow has a row of its own: `requests` and `bytes_received` count the requests with this flow's id, and a
    failure is passed on to the flow around it. `detail` takes JSON values that only this kind of flow has.
    """

    flow_id: int
    name: str
    profile: str
    t_start_ns: int
    _: KW_ONLY
    user: int
    outer: Flow | None
    t_intended_ns: int | None = None
    outcome: Outcome = Outcome.OK
    requests: int = 0
    bytes_received: int = 0
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing in this flow has failed so far."""
        return self.outcome is Outcome.OK

    def fail(self, outcome: str) -> None:
        """Set the outcome to a failure (a word of `Outcome`), whatever the outcomes of the requests."""
        self.outcome = Outcome(outcome)

    def ended(self, response: Response) -> None:
        """Count one of its requests, which has ended; one that was aborted on purpose fails no flow."""
        self.requests += 1
        self.bytes_received += response.bytes_received
        if self.outcome is Outcome.OK and response.outcome is not Outcome.ABORTED:
            self.outcome = response.outcome

    def pass_failure_on(self) -> None:
        """Pass a failure on to the flow around this one."""
        if self.outer is not None and self.outer.outcome is Outcome.OK:
            self.outer.outcome = self.outcome

    def row(self, t_end_ns: int) -> dict[str, Any]:
        """Return the flow's row of `wire.streams.FLOWS`."""
        return {
            "flow_id": self.flow_id,
            "flow": self.name,
            "profile": self.profile,
            "t_intended_ns": self.t_intended_ns,
            "t_start_ns": self.t_start_ns,
            "t_end_ns": t_end_ns,
            "outcome": self.outcome,
            "requests": self.requests,
            "bytes_received": self.bytes_received,
            "user": self.user,
            "detail": self.detail,
        }


def dropped_row(flow_id: int, due_ns: int, t_ns: int) -> dict[str, Any]:
    """Return the row of an arrival that was due at `due_ns`, and dropped at `t_ns` for want of a user."""
    flow = Flow(flow_id, "arrival", "", t_ns, user=UNKNOWN_USER, outer=None, t_intended_ns=due_ns)
    flow.outcome = Outcome.DROPPED
    return {**flow.row(t_ns), "user": None}


class Parallel:
    """At most `limit` greenlets at once; `spawn` waits until one more may run."""

    def __init__(self, limit: int) -> None:
        self._pool = Pool(limit)
        self._failure: BaseException | None = None

    def spawn(self, work: Callable[..., object], *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (what `work` takes)
        """Run `work(*args, **kwargs)` beside the others, within the flow that is running now.

        If one of the others has raised an exception, raises the first of them instead.
        """
        self._pool.wait_available()
        self._raise()
        self._pool.spawn(copy_context().run, self._guarded, partial(work, *args, **kwargs))

    def join(self) -> None:
        """Wait until all have ended, or one has raised an exception, and raise that."""
        while self._pool:
            self._raise()
            gevent.wait(list(self._pool), count=1)
        self._raise()

    def settle(self) -> None:
        """Wait until all have ended, whatever they raised."""
        self._pool.join()

    def kill(self, reason: type[GreenletExit]) -> None:
        """End those that still run, by an exception of this kind."""
        self._pool.kill(reason, block=True)

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  (raised again in the user's own greenlet, by _raise)
            self._failure = self._failure or error
        except (KeyboardInterrupt, SystemExit):  # gevent passes it to the main greenlet, which ends the run soon:
            self._failure = self._failure or GreenletExit()  # until then nothing more is begun
            raise

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure


@contextmanager
def side_by_side(limit: int) -> Iterator[Parallel]:
    """Yield a Parallel that is joined at the end of the block; an exception of the block ends its greenlets.

    Not so StopUser, which `flow` raises once the run ends: running greenlets may still end within the drain.
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
