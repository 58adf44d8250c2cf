"""One request and its response over one connection: the message out, the head and body in, counted and stamped."""

from __future__ import annotations

import time
from itertools import chain

from seatrial.http.buffers import SHARED, SHARED_VIEW
from seatrial.http.connection import Connection
from seatrial.http.http1 import INTERIM_LIMIT, Fault, Head, head_end, parse_head
from seatrial.http.intake import Intake
from seatrial.http.messages import Wanted, body_pieces
from seatrial.http.parser import body_of
from seatrial.http.response import Response
from seatrial.http.waiting import due_ns as due_after
from seatrial.wire.tables import Outcome

_READ_AFTER_CLOSE_NS = 100_000_000
"""What a server sent before it closed stands in the socket's buffer by the time that sending fails."""
_SWITCHING = 101
_FIRST_FINAL = 200
_FIRST_REFUSAL = 300
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class Exchange:
    """Sends one message and reads its response into `response`; Fault if that can't be done."""

    __slots__ = ("_deadline_ns", "_wanted", "response")

    def __init__(self, response: Response, wanted: Wanted) -> None:
        self.response = response
        self._wanted = wanted
        self._deadline_ns = response.t_start_ns + wanted.timeouts.total_ns

    @property
    def connect_due_ns(self) -> int:
        """By when a connection that is begun now has to stand; Fault where the whole time is over."""
        return due_after(self._wanted.timeouts.connect_s, self._deadline_ns)

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent once more: nothing was answered, and twice is no more than once."""
        body, response = self._wanted.body, self.response
        return (
            not response.bytes_received
            and response.method in _REPEATABLE
            and (body is None or isinstance(body, bytes))
        )

    def over(self, connection: Connection, message: bytes) -> bool:
        """Do the exchange; return whether the connection may carry another one."""
        response, wanted, whole = self.response, self._wanted, True
        if wanted.body is None:
            response.bytes_sent += connection.send(message, wanted.timeouts.idle_s, self._deadline_ns)
            head, rest = self._promptly(connection)
        else:
            answer, whole = self._upload(connection, message)
            head, rest = self._head(connection, answer)
        response.status = head.status
        response.headers = head.fields
        if head.length == len(rest) and wanted.unseen and response.method != "HEAD":
            return head.persistent and whole  # a short body mostly is there already, and only has to be counted
        body = body_of(response.method, head)
        surplus = Intake(response, wanted, self._deadline_ns).take(connection, body, rest)
        return head.persistent and body.reusable and whole and not surplus

    def _promptly(self, connection: Connection) -> tuple[Head, memoryview]:
        """Read the final head, as `_head` does, where it comes at once and alone, as nearly all do."""
        response = self.response
        due_ns = time.monotonic_ns() + self._wanted.timeouts.first_byte_ns
        count = connection.answer(SHARED, min(due_ns, self._deadline_ns))
        response.t_end_ns = time.monotonic_ns()
        if not count:
            raise Fault(Outcome.RESET, "closed without a response", hung_up=True)
        response.t_first_byte_ns = response.t_end_ns
        response.bytes_received = count
        end = head_end(SHARED, count)
        if end > 0:
            head = parse_head(bytes(SHARED_VIEW[:end]))
            if head.status >= _FIRST_FINAL:
                return head, SHARED_VIEW[end:count]
        return self._head(connection, bytes(SHARED_VIEW[:count]))

    def _upload(self, connection: Connection, message: bytes) -> tuple[bytes, bool]:
        """Send a message with its body, and stop where the server refuses it before it has all (RFC 9112 9.5).

        Return what of the answer has been read, and whether the message is whole. A first early answer below 300
        is no refusal: the rest is sent without listening for more.
        """
        answer = b""
        for piece in chain((message,), body_pieces(self._wanted)):
            unsent = memoryview(piece)
            while unsent:
                try:
                    count = connection.send(
                        unsent, self._wanted.timeouts.idle_s, self._deadline_ns, listening=not answer
                    )
                except Fault as broken:
                    return answer or self._answer_before_close(connection, broken), False
                self.response.bytes_sent += count
                unsent = unsent[count:]
                if unsent:
                    block, rest = self._block(connection, b"")
                    answer = block + bytes(rest)
                    if parse_head(block).status >= _FIRST_REFUSAL:
                        return answer, False
        return answer, True

    def _answer_before_close(self, connection: Connection, broken: Fault) -> bytes:
        """Return what the server sent before it closed (RFC 9112 9.6); raise `broken` where that is nothing."""
        self._deadline_ns = min(self._deadline_ns, time.monotonic_ns() + _READ_AFTER_CLOSE_NS)
        try:
            block, rest = self._block(connection, b"")
        except Fault:
            raise broken from None
        return block + bytes(rest)

    def _head(self, connection: Connection, held: bytes) -> tuple[Head, memoryview]:
        """Read the final head, past interim ones; return it with the bytes that came after it.

        Those may lie in the process's buffer: they are to be used before anything else is received.
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
        wait_s = self._wanted.timeouts.first_byte_s if not held else self._wanted.timeouts.idle_s
        while True:  # bounded: head_end refuses a head that grows beyond its limit
            end = head_end(held, len(held)) if held else -1
            if end > 0:
                return held[:end], memoryview(held)[end:]
            count = self._more(connection, wait_s)
            held += SHARED_VIEW[:count]
            wait_s = self._wanted.timeouts.idle_s

    def _more(self, connection: Connection, wait_s: float) -> int:
        """Receive more of a head; the peer's close is a Fault."""
        response = self.response
        count = connection.receive(SHARED, due_after(wait_s, self._deadline_ns))
        response.t_end_ns = time.monotonic_ns()
        if count:
            if not response.bytes_received:
                response.t_first_byte_ns = response.t_end_ns
            response.bytes_received += count
            return count
        if response.bytes_received:
            raise Fault(Outcome.TRUNCATED, "closed within the head")
        raise Fault(Outcome.RESET, "closed without a response", hung_up=True)
