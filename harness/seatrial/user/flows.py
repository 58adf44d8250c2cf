"""Flows: one task of a user, such as a pull or a login, with the requests that belong to it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from gevent import GreenletExit

from seatrial.http.response import Response
from seatrial.wire.tables import UNKNOWN_USER, Outcome

_END = (GreenletExit, KeyboardInterrupt, SystemExit)
"""How the end of a run reaches a greenlet; gevent raises Ctrl-C in whichever one happens to be running."""


class Abandoned(GreenletExit):
    """Ends work that one user runs side by side when it is given up: the run itself goes on."""


def broken_off(error: BaseException) -> Outcome:
    """Return what an exception makes of a request or flow: `cut` by the end of the run, else `aborted`."""
    return Outcome.CUT if isinstance(error, _END) and not isinstance(error, Abandoned) else Outcome.ABORTED


current_flow: ContextVar[Flow | None] = ContextVar("current_flow", default=None)
"""The innermost flow of the running greenlet; `Parallel` hands it on to the greenlets that it spawns."""


class Flow:
    """One flow while it runs.

    Its outcome is that of its first failed request, unless the user model says otherwise with `fail`. A flow
    within a flow has a row of its own: `requests` and `bytes_received` count the requests that carry this flow's
    id, and a failure is passed on to the flow around it. `detail` takes what only this kind of flow has, as JSON
    values.
    """

    __slots__ = (
        "bytes_received",
        "detail",
        "flow_id",
        "name",
        "outcome",
        "outer",
        "profile",
        "requests",
        "t_intended_ns",
        "t_start_ns",
        "user",
    )

    def __init__(
        self, flow_id: int, name: str, profile: str, t_start_ns: int, *, user: int, outer: Flow | None
    ) -> None:
        self.flow_id = flow_id
        self.name = name
        self.profile = profile
        self.t_intended_ns: int | None = None
        self.t_start_ns = t_start_ns
        self.user = user
        self.outer = outer
        self.outcome = Outcome.OK
        self.requests = 0
        self.bytes_received = 0
        self.detail: dict[str, Any] = {}

    @property
    def ok(self) -> bool:
        """Whether nothing in this flow has failed so far."""
        return self.outcome is Outcome.OK

    def fail(self, outcome: str) -> None:
        """Say that this flow failed, and how (a word of `Outcome`); this stands above what its requests say."""
        self.outcome = Outcome(outcome)

    def ended(self, response: Response) -> None:
        """Take note of one of its requests."""
        self.requests += 1
        self.bytes_received += response.bytes_received
        if self.outcome is Outcome.OK:
            self.outcome = response.outcome

    def tell_outer(self) -> None:
        """Pass a failure on to the flow around this one."""
        if self.outer is not None and self.outer.outcome is Outcome.OK:
            self.outer.outcome = self.outcome

    def row(self, t_end_ns: int) -> dict[str, Any]:
        """Return the flow's record, as in the rows of `wire.tables.FLOWS`."""
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
    """Return the record of an arrival that no user came to serve: due at one moment, given up at another."""
    flow = Flow(flow_id, "arrival", "", t_ns, user=UNKNOWN_USER, outer=None)
    flow.t_intended_ns, flow.outcome = due_ns, Outcome.DROPPED
    return {**flow.row(t_ns), "user": None}
