"""One request and its response over one connection: the message out, the head and body in, counted and stamped."""

from __future__ import annotations

import time

from seatrial.user.buffers import SHARED, SHARED_VIEW
from seatrial.user.connection import Connection
from seatrial.user.framing import body_of
from seatrial.user.http1 import INTERIM_LIMIT, Fault, Head, head_end, parse_head
from seatrial.user.intake import Intake
from seatrial.user.message import Wanted
from seatrial.user.response import Response
from seatrial.user.upload import pieces
from seatrial.user.waiting import due_ns
from seatrial.wire.tables import Outcome

ASK_FIRST_S = 1.0
"""As curl: a server of HTTP/1.0, or one that does not know the field, says nothing (RFC 9110 10.1.1)."""
_CONTINUE = 100
_SWITCHING = 101
_FIRST_FINAL = 200
_NS = 1_000_000_000


class Exchange:
    """Sends one message and reads its response into `response`; Fault if that can't be done."""

    def __init__(self, response: Response, wanted: Wanted) -> None:
        self._response = response
        self._wanted = wanted
        self._deadline_ns = response.t_start_ns + int(wanted.timeouts.total_s * _NS)

    def over(self, connection: Connection, message: bytes) -> bool:
        """Do the exchange; return whether the connection may carry another one."""
        response = self._response
        response.bytes_sent += connection.send(message, self._wanted.timeouts.idle_s, self._deadline_ns)
        held, whole = b"", True
        if self._wanted.body is not None:
            held, whole = self._upload(connection)
        head, rest = self._head(connection, held)
        response.status = head.status
        response.headers = head.fields
        if head.length == len(rest) and self._plainly(head.length):
            return head.persistent and whole
        body = body_of(response.method, head)
        surplus = Intake(response, self._wanted, self._deadline_ns).take(connection, body, rest)
        return head.persistent and body.reusable and whole and not surplus

    def _upload(self, connection: Connection) -> tuple[bytes, bool]:
        """Send what of the body did not go with the head, unless the server was asked and answers otherwise.

        Return what of the answer has been read, and whether the message is whole.
        """
        wanted, held = self._wanted, b""
        if wanted.ask_first and connection.readable_within(ASK_FIRST_S):
            block, rest = self._block(connection, b"")
            held = bytes(rest)
            if parse_head(block).status != _CONTINUE:
                return block + held, False
        for piece in pieces(wanted):
            self._response.bytes_sent += connection.send(piece, wanted.timeouts.idle_s, self._deadline_ns)
        return held, True

    def _plainly(self, length: int) -> bool:
        """Whether a body that is there already, as short ones mostly are, only has to be counted."""
        wanted = self._wanted
        if wanted.keep or wanted.digest is not None or wanted.into is not None or self._response.method == "HEAD":
            return False
        return wanted.limit is None or length <= wanted.limit

    def _head(self, connection: Connection, held: bytes) -> tuple[Head, memoryview]:
        """Read the final head, past interim ones; return it with the bytes that came after it.

        Those lie in the process's buffer: they are to be used before anything else is received.
        """
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
            first = not held
            count = self._more(connection, wait_s)
            if first:  # else its first bytes came with an interim response, whose stamp stands
                self._response.t_first_byte_ns = self._response.t_end_ns
                end = head_end(SHARED, count)
                if end > 0:
                    return bytes(SHARED_VIEW[:end]), SHARED_VIEW[end:count]
            held += SHARED_VIEW[:count]
            wait_s = self._wanted.timeouts.idle_s

    def _more(self, connection: Connection, wait_s: float) -> int:
        """Receive more of a head; the peer's close is a Fault."""
        response = self._response
        if response.bytes_received:
            count = connection.receive(SHARED, due_ns(wait_s, self._deadline_ns))
        else:
            count = connection.answer(SHARED, due_ns(wait_s, self._deadline_ns))
        response.t_end_ns = time.monotonic_ns()
        if count:
            response.bytes_received += count
            return count
        if self._response.bytes_received:
            raise Fault(Outcome.TRUNCATED, "closed within the head")
        raise Fault(Outcome.RESET, "closed without a response", hung_up=True)
