"""The body of a response, read to its end and brought to where it is wanted, counted and stamped."""

from __future__ import annotations

import time

from seatrial.http.body import INLINE_BYTES, Gathered, Hashed, Kept
from seatrial.http.buffers import SHARED_VIEW
from seatrial.http.connection import TURN_BYTES, Connection
from seatrial.http.destination import Counted, Destination, Dropped, Passed
from seatrial.http.http1 import Fault
from seatrial.http.messages import ANOTHER_LENGTH, ByteRange, Wanted, verified_length
from seatrial.http.parser import Body, LengthBody
from seatrial.http.response import Response
from seatrial.http.waiting import due_ns
from seatrial.wire.tables import Outcome

_WHOLE = 200
_PARTIAL = 206


class Intake:
    """Takes one body."""

    def __init__(self, response: Response, wanted: Wanted, deadline_ns: int) -> None:
        self._response = response
        self._wanted = wanted
        self._deadline_ns = deadline_ns

    def take(self, connection: Connection, body: Body, rest: memoryview) -> bool:
        """Read the body to its end; return whether the peer sent more than that."""
        wanted, response = self._wanted, self._response
        due = None if wanted.range is None else self._bytes_due(wanted.range, body.length)
        goal = _destination(wanted, body.length, as_wanted=response.status in wanted.expect)
        try:
            surplus = self._pour(connection, body, rest, goal, due)
            response.body, as_promised = goal.finish()
        finally:
            goal.release()
        if not as_promised:  # the message itself was whole: its connection is as good as before
            response.fail(Outcome.DIGEST, "the body is not what its digest says")
        return surplus

    def _bytes_due(self, asked: ByteRange, length: int | None) -> int | None:
        """Verify the head of the answer to a range; Fault where it is another one: its body is not read then.

        Return how many bytes are due where the body's `length` is not known from its head, else None.
        """
        wanted, response = self._wanted, self._response
        if response.status == _PARTIAL and _PARTIAL in wanted.expect:
            due = verified_length(asked, response.headers, length)
            return due if length is None else None
        if response.status == _WHOLE and _WHOLE not in (*wanted.expect, *wanted.also):
            raise Fault(Outcome.RANGE, "the whole where a range was asked for")
        return None

    def _pour(
        self, connection: Connection, body: Body, rest: memoryview, goal: Destination, due: int | None
    ) -> bool:
        idle_s, limit = self._wanted.timeouts.idle_s, self._wanted.limit
        if limit is not None and body.length is not None and body.length > limit:
            raise Fault(Outcome.TOO_LARGE, "body longer than its limit")
        view = SHARED_VIEW
        if goal.buffer is not None:
            view = goal.buffer
            view[: len(rest)] = rest
            rest = view[: len(rest)]
        payload = _Metered(goal, limit, due)
        taken = body.feed(rest, payload.write) if rest else 0
        surplus = taken < len(rest)
        if isinstance(body, LengthBody):
            if isinstance(goal, Gathered):
                self._straight(connection, body, goal)
            elif isinstance(goal, Dropped):
                self._straight(connection, body, None)
        turn_bytes = 0
        while not body.done:
            goal.settle()
            if turn_bytes >= TURN_BYTES:
                connection.give_way(due_ns(idle_s, self._deadline_ns))
                turn_bytes = 0
            count = connection.receive(view, due_ns(idle_s, self._deadline_ns))
            self._response.t_end_ns = time.monotonic_ns()
            if count:
                turn_bytes += count
                self._response.bytes_received += count
                surplus = body.feed(view[:count], payload.write) < count
            else:
                body.end()
        if due is not None and payload.count < due:
            raise Fault(Outcome.RANGE, ANOTHER_LENGTH)
        return surplus

    def _straight(self, connection: Connection, body: LengthBody, goal: Gathered | None) -> None:
        """Read a body of known length without framing: into its goal, or have it dropped."""
        response, idle_s = self._response, self._wanted.timeouts.idle_s
        turn_bytes = 0
        while body.left:
            if turn_bytes >= TURN_BYTES:
                connection.give_way(due_ns(idle_s, self._deadline_ns))
                turn_bytes = 0
            if goal is None:
                count = connection.skip(body.left, due_ns(idle_s, self._deadline_ns))
            else:
                goal.settle()
                count = connection.receive(goal.room(body.left), due_ns(idle_s, self._deadline_ns))
                goal.filled(count)
            response.t_end_ns = time.monotonic_ns()
            if not count:
                body.end()
            turn_bytes += count
            response.bytes_received += count
            body.passed(count)


class _Metered:
    """Counts payload on its way, and stops it at a limit, or beyond the bytes that are due."""

    __slots__ = ("_due", "_goal", "_limit", "count")

    def __init__(self, goal: Destination, limit: int | None, due: int | None) -> None:
        self._goal = goal
        self._limit = limit
        self._due = due
        self.count = 0

    def write(self, view: memoryview) -> None:
        self.count += len(view)
        if self._limit is not None and self.count > self._limit:
            raise Fault(Outcome.TOO_LARGE, "body longer than its limit")
        if self._due is not None and self.count > self._due:
            raise Fault(Outcome.RANGE, ANOTHER_LENGTH)
        self._goal.write(view)


def _destination(wanted: Wanted, length: int | None, *, as_wanted: bool) -> Destination:
    """Return where a body of `length` bytes (None: not known) goes; that of an error is not hashed or shown."""
    digest, into = (wanted.digest, wanted.into) if as_wanted else (None, None)
    goal: Destination
    if wanted.keep:
        goal = Kept(digest)
    elif digest:
        goal = Hashed(digest) if length is not None and length <= INLINE_BYTES else Gathered(digest)
    else:
        goal = Counted() if into else Dropped()
    return Passed(into, goal) if into else goal
