"""One request and its response over one connection."""

from __future__ import annotations

import time
from itertools import chain

from seatrial.http.body import (
    INLINE_BYTES,
    SHARED,
    SHARED_VIEW,
    BodyHash,
    CountedBody,
    Destination,
    DiscardedBody,
    HashedBody,
    KeptBody,
    StreamedBody,
)
from seatrial.http.connection import TURN_BYTES, Connection, due_ns
from seatrial.http.connection import due_ns as due_after
from seatrial.http.messages import (
    ANOTHER_LENGTH,
    ByteRange,
    RequestOptions,
    Response,
    body_pieces,
    verified_length,
)
from seatrial.http.parser import INTERIM_LIMIT, Body, Head, LengthBody, RequestError, body_of, head_end, parse_head
from seatrial.wire.streams import Outcome

_WHOLE = 200
_PARTIAL = 206


class BodyReader:
    """Takes one body."""

    def __init__(self, response: Response, wanted: RequestOptions, deadline_ns: int) -> None:
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
            raise RequestError(Outcome.RANGE, "the whole where a range was asked for")
        return None

    def _pour(
        self, connection: Connection, body: Body, rest: memoryview, goal: Destination, due: int | None
    ) -> bool:
        idle_s, limit = self._wanted.timeouts.idle_s, self._wanted.limit
        if limit is not None and body.length is not None and body.length > limit:
            raise RequestError(Outcome.TOO_LARGE, "body longer than its limit")
        view = SHARED_VIEW
        if goal.buffer is not None:
            view = goal.buffer
            view[: len(rest)] = rest
            rest = view[: len(rest)]
        payload = _Metered(goal, limit, due)
        taken = body.feed(rest, payload.write) if rest else 0
        surplus = taken < len(rest)
        if isinstance(body, LengthBody):
            if isinstance(goal, HashedBody):
                self._straight(connection, body, goal)
            elif isinstance(goal, DiscardedBody):
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
            raise RequestError(Outcome.RANGE, ANOTHER_LENGTH)
        return surplus

    def _straight(self, connection: Connection, body: LengthBody, goal: HashedBody | None) -> None:
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
            raise RequestError(Outcome.TOO_LARGE, "body longer than its limit")
        if self._due is not None and self.count > self._due:
            raise RequestError(Outcome.RANGE, ANOTHER_LENGTH)
        self._goal.write(view)


def _destination(wanted: RequestOptions, length: int | None, *, as_wanted: bool) -> Destination:
    """Return where a body of `length` bytes (None: not known) goes; that of an error is not hashed or shown."""
    digest, into = (wanted.digest, wanted.into) if as_wanted else (None, None)
    goal: Destination
    if wanted.keep:
        goal = KeptBody(digest)
    elif digest:
        goal = BodyHash(digest) if length is not None and length <= INLINE_BYTES else HashedBody(digest)
    else:
        goal = CountedBody() if into else DiscardedBody()
    return StreamedBody(into, goal) if into else goal


_READ_AFTER_CLOSE_NS = 100_000_000
"""What a server sent before it closed stands in the socket's buffer by the time that sending fails."""
_SWITCHING = 101
_FIRST_FINAL = 200
_FIRST_REFUSAL = 300
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class Exchange:
    """Sends one message and reads its response into `response`; Fault if that can't be done."""

    __slots__ = ("_deadline_ns", "_wanted", "response")

    def __init__(self, response: Response, wanted: RequestOptions) -> None:
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
        surplus = BodyReader(response, wanted, self._deadline_ns).take(connection, body, rest)
        return head.persistent and body.reusable and whole and not surplus

    def _promptly(self, connection: Connection) -> tuple[Head, memoryview]:
        """Read the final head, as `_head` does, where it comes at once and alone, as nearly all do."""
        response = self.response
        due_ns = time.monotonic_ns() + self._wanted.timeouts.first_byte_ns
        count = connection.answer(SHARED, min(due_ns, self._deadline_ns))
        response.t_end_ns = time.monotonic_ns()
        if not count:
            raise RequestError(Outcome.RESET, "closed without a response", hung_up=True)
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
                except RequestError as broken:
                    return answer or self._answer_before_close(connection, broken), False
                self.response.bytes_sent += count
                unsent = unsent[count:]
                if unsent:
                    block, rest = self._block(connection, b"")
                    answer = block + bytes(rest)
                    if parse_head(block).status >= _FIRST_REFUSAL:
                        return answer, False
        return answer, True

    def _answer_before_close(self, connection: Connection, broken: RequestError) -> bytes:
        """Return what the server sent before it closed (RFC 9112 9.6); raise `broken` where that is nothing."""
        self._deadline_ns = min(self._deadline_ns, time.monotonic_ns() + _READ_AFTER_CLOSE_NS)
        try:
            block, rest = self._block(connection, b"")
        except RequestError:
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
                raise RequestError(Outcome.PROTOCOL, "switching protocols was not asked for")
            held = bytes(rest)
        raise RequestError(Outcome.PROTOCOL, "too many interim responses")

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
            raise RequestError(Outcome.TRUNCATED, "closed within the head")
        raise RequestError(Outcome.RESET, "closed without a response", hung_up=True)
