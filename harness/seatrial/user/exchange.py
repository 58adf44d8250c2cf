"""One request and its response over one connection: the message out, the head and body in, counted and stamped."""

from __future__ import annotations

import time

import gevent

from seatrial.user.connection import BUFFER_BYTES, Connection
from seatrial.user.destination import Destination, destination
from seatrial.user.framing import Body, body_of
from seatrial.user.http1 import INTERIM_LIMIT, Fault, Head, head_end, parse_head
from seatrial.user.message import Wanted
from seatrial.user.response import Response
from seatrial.wire.tables import Outcome

_SWITCHING = 101
_TURN_BYTES = 1024 * 1024
_FIRST_FINAL = 200
_NS = 1_000_000_000

_buffer = bytearray(BUFFER_BYTES)
"""One for the whole process: used between a read and the next switch to another greenlet, never across one."""
_view = memoryview(_buffer)


class Exchange:
    """Sends one message and reads its response into `response`; Fault if that can't be done."""

    def __init__(self, response: Response, wanted: Wanted) -> None:
        self._response = response
        self._wanted = wanted
        self._deadline_ns = response.t_start_ns + round(wanted.timeouts.total_s * _NS)

    def over(self, connection: Connection, message: bytes) -> bool:
        """Do the exchange; return whether the connection may carry another one."""
        self._response.bytes_sent += connection.send(message, self._within(self._wanted.timeouts.idle_s))
        head, rest = self._head(connection)
        self._response.status = head.status
        self._response.headers = head.fields
        body = body_of(self._response.method, head)
        surplus = self._body(connection, body, rest)
        return head.persistent and body.reusable and not surplus

    def _head(self, connection: Connection) -> tuple[Head, memoryview]:
        """Read the final head, past interim ones; return it with the bytes that came after it.

        Those lie in the process's buffer: they are to be used before anything else is received.
        """
        held = b""
        for _ in range(INTERIM_LIMIT + 1):
            block, rest = self._block(connection, held)
            head = parse_head(block)
            if head.status >= _FIRST_FINAL:
                return head, rest
            if head.status == _SWITCHING:
                raise Fault(Outcome.PROTOCOL, "switching protocols was not asked for")
            held = bytes(rest)
        raise Fault(Outcome.PROTOCOL, "too many interim responses")

    def _block(self, connection: Connection, held: bytes) -> tuple[bytes, memoryview]:
        """Return the next head's bytes, its blank line included, and what follows it."""
        wait_s = self._wanted.timeouts.first_byte_s
        while True:  # bounded: head_end refuses a head that grows beyond its limit
            end = head_end(held, len(held)) if held else -1
            if end > 0:
                return held[:end], memoryview(held)[end:]
            count = self._more(connection, wait_s)
            if not held:  # else its first bytes came with an interim response, whose stamp stands
                self._response.t_first_byte_ns = self._response.t_end_ns
                end = head_end(_buffer, count)
                if end > 0:
                    return bytes(_view[:end]), _view[end:count]
            held += _view[:count]
            wait_s = self._wanted.timeouts.idle_s

    def _more(self, connection: Connection, wait_s: float) -> int:
        """Receive more of a head; the peer's close is a Fault."""
        count = self._receive(connection, wait_s)
        if count:
            self._response.bytes_received += count
            return count
        if self._response.bytes_received:
            raise Fault(Outcome.TRUNCATED, "closed within the head")
        raise Fault(Outcome.RESET, "closed without a response", hung_up=True)

    def _body(self, connection: Connection, body: Body, rest: memoryview) -> bool:
        """Read the body to its end; return whether the peer sent more than that."""
        wanted, response = self._wanted, self._response
        as_wanted = response.status in wanted.expect
        goal = destination(keep=wanted.keep, digest=wanted.digest if as_wanted else None, length=body.length)
        try:
            surplus = self._pour(connection, body, rest, goal)
            response.body, as_promised = goal.finish()
        finally:
            goal.release()
        if not as_promised:  # the message itself was whole: its connection is as good as before
            response.fail(Outcome.DIGEST, "the body is not what its digest says")
        return surplus

    def _pour(self, connection: Connection, body: Body, rest: memoryview, goal: Destination) -> bool:
        idle_s, limit = self._wanted.timeouts.idle_s, self._wanted.limit
        if limit is not None and body.length is not None and body.length > limit:
            raise Fault(Outcome.TOO_LARGE, "body longer than its limit")
        payload = _Metered(goal, limit)
        taken = body.feed(rest, payload.write) if rest else 0
        surplus = taken < len(rest)
        turn_bytes = 0
        while not body.done:
            goal.settle()
            if turn_bytes >= _TURN_BYTES:  # a server that is always faster would keep other users from running
                gevent.sleep(0)
                turn_bytes = 0
            count = self._receive(connection, idle_s)
            if count:
                turn_bytes += count
                self._response.bytes_received += count
                surplus = body.feed(_view[:count], payload.write) < count
            else:
                body.end()
        return surplus

    def _receive(self, connection: Connection, wait_s: float) -> int:
        count = connection.receive(_buffer, self._within(wait_s))
        self._response.t_end_ns = time.monotonic_ns()
        return count

    def _within(self, wait_s: float) -> float:
        left_s = (self._deadline_ns - time.monotonic_ns()) / _NS
        if left_s <= 0:
            raise Fault(Outcome.TIMEOUT, "request took too long in all")
        return min(wait_s, left_s)


class _Metered:
    """Counts payload on its way, and stops it at a limit."""

    __slots__ = ("_goal", "_left")

    def __init__(self, goal: Destination, limit: int | None) -> None:
        self._goal = goal
        self._left = limit

    def write(self, view: memoryview) -> None:
        if self._left is not None:
            self._left -= len(view)
            if self._left < 0:
                raise Fault(Outcome.TOO_LARGE, "body longer than its limit")
        self._goal.write(view)
