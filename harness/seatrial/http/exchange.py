"""One HTTP exchange: a request and its response over one connection."""

from __future__ import annotations

import time
from itertools import chain

from seatrial.http.body import (
    INLINE_BYTES,
    SHARED,
    SHARED_VIEW,
    CountedBody,
    HashedBody,
    InlineHashedBody,
    KeptBody,
    StreamedBody,
)
from seatrial.http.connection import TURN_BYTES, Connection, due_after
from seatrial.http.messages import RequestOptions, Response, body_pieces
from seatrial.http.parser import (
    ANOTHER_LENGTH,
    INTERIM_LIMIT,
    Body,
    Head,
    LengthBody,
    RequestError,
    body_of,
    head_end,
    parse_head,
    verified_length,
)
from seatrial.wire.streams import Outcome

_READ_AFTER_CLOSE_NS = 100_000_000
"""What a server sent before it closed stands in the socket's buffer by the time that sending fails."""
_SWITCHING = 101
_FIRST_FINAL = 200
WHOLE = 200
PARTIAL = 206
_FIRST_REFUSAL = 300
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_TOO_LONG = "body longer than its limit"


class Exchange:
    """Sends one message and reads its response into `response`; RequestError if that can't be done."""

    __slots__ = ("_deadline_ns", "_options", "response")

    def __init__(self, response: Response, options: RequestOptions) -> None:
        self.response = response
        self._options = options
        self._deadline_ns = response.t_start_ns + options.timeouts.total_ns

    @property
    def connect_due_ns(self) -> int:
        """When a connect that begins now times out; RequestError where the request's whole time is over."""
        return due_after(self._options.timeouts.connect_s, self._deadline_ns)

    @property
    def repeatable(self) -> bool:
        """Whether the request may be sent once more: no byte was answered, and the method is idempotent."""
        body, response = self._options.body, self.response
        return not response.bytes_received and response.method in _REPEATABLE and isinstance(body, bytes | None)

    def perform(self, connection: Connection, message: bytes) -> bool:
        """Do the exchange; return whether the connection may carry another one."""
        response, options, whole = self.response, self._options, True
        if options.body is None:
            head, rest = self.begin(connection, message)
        else:
            answer, whole = self._upload(connection, message)
            head, rest = self._head(connection, answer)
            response.status = head.status
            response.headers = head.fields
        if head.length == len(rest) and options.unseen and response.method != "HEAD":
            return head.persistent and whole  # a short body mostly is there already, and only has to be counted
        body = body_of(response.method, head)
        surplus = BodyReader(response, options, self._deadline_ns).read(connection, body, rest)
        return head.persistent and body.reusable and whole and not surplus

    def begin(
        self, connection: Connection, message: bytes, place: bytearray | memoryview = SHARED
    ) -> tuple[Head, memoryview]:
        """Send a message without a body, and read the head; return it with what came after it, as `_head` does.

        `place`, SHARED or its beginning, is as much as one read takes.
        """
        response = self.response
        response.bytes_sent += connection.send(message, self._options.timeouts.idle_s, self._deadline_ns)
        head, rest = self._head_at_once(connection, place)
        response.status = head.status
        response.headers = head.fields
        return head, rest

    def _head_at_once(self, connection: Connection, place: bytearray | memoryview) -> tuple[Head, memoryview]:
        """Read the final head as `_head` does; fast where it arrives in one read and without an interim one."""
        response = self.response
        due_ns = time.monotonic_ns() + self._options.timeouts.first_byte_ns
        count = connection.receive_answer(place, min(due_ns, self._deadline_ns))
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
        return self._head(connection, bytes(SHARED_VIEW[:count]), place)

    def _upload(self, connection: Connection, message: bytes) -> tuple[bytes, bool]:
        """Send a message with its body; stop if the server refuses it before all is sent (RFC 9112 9.5).

        Return the part of the answer that has been read, and whether the message is whole. A first early answer
        below 300 is no refusal: the rest is sent without listening for more.
        """
        answer = b""
        for piece in chain((message,), body_pieces(self._options)):
            unsent = memoryview(piece)
            while unsent:
                try:
                    count = connection.send(
                        unsent, self._options.timeouts.idle_s, self._deadline_ns, listening=not answer
                    )
                except RequestError as error:
                    return answer or self._answer_before_close(connection, error), False
                self.response.bytes_sent += count
                unsent = unsent[count:]
                if unsent:
                    block, rest = self._block(connection, b"")
                    answer = block + bytes(rest)
                    if parse_head(block).status >= _FIRST_REFUSAL:
                        return answer, False
        return answer, True

    def _answer_before_close(self, connection: Connection, error: RequestError) -> bytes:
        """Return what the server sent before it closed (RFC 9112 9.6); raise `error` where that is nothing."""
        self._deadline_ns = min(self._deadline_ns, time.monotonic_ns() + _READ_AFTER_CLOSE_NS)
        try:
            block, rest = self._block(connection, b"")
        except RequestError:
            raise error from None
        return block + bytes(rest)

    def _head(
        self, connection: Connection, received: bytes, place: bytearray | memoryview = SHARED
    ) -> tuple[Head, memoryview]:
        """Read the final head, past interim ones; return it with the bytes that came after it.

        They may lie in the shared buffer: use them before anything else is received.
        """
        for _ in range(INTERIM_LIMIT + 1):
            block, rest = self._block(connection, received, place)
            head = parse_head(block)
            if head.status >= _FIRST_FINAL:
                return head, rest
            if head.status == _SWITCHING:
                raise RequestError(Outcome.PROTOCOL, "switching protocols was not asked for")
            received = bytes(rest)
        raise RequestError(Outcome.PROTOCOL, "too many interim responses")

    def _block(
        self, connection: Connection, received: bytes, place: bytearray | memoryview = SHARED
    ) -> tuple[bytes, memoryview]:
        """Return the next head's bytes, its blank line included, and what follows it."""
        response, idle_s = self.response, self._options.timeouts.idle_s
        wait_s = idle_s if received else self._options.timeouts.first_byte_s
        while True:  # bounded: head_end refuses a head that grows beyond its limit
            end = head_end(received, len(received)) if received else -1
            if end > 0:
                return received[:end], memoryview(received)[end:]
            count = connection.receive(place, due_after(wait_s, self._deadline_ns))
            response.t_end_ns = time.monotonic_ns()
            if not count:
                if response.bytes_received:
                    raise RequestError(Outcome.TRUNCATED, "closed within the head")
                raise RequestError(Outcome.RESET, "closed without a response", hung_up=True)
            if not response.bytes_received:
                response.t_first_byte_ns = response.t_end_ns
            response.bytes_received += count
            received += SHARED_VIEW[:count]
            wait_s = idle_s


def bytes_due(
    response: Response, options: RequestOptions, length: int | None, *, shorter: bool = False
) -> int | None:
    """Verify the head of a range's answer; RequestError, before its body is read, where it is another range.

    Return how many bytes are due where the body's `length` is not known from its head, else None. `shorter`: as in
    `verified_length`.
    """
    if options.range is None:
        return None
    if response.status == PARTIAL and PARTIAL in options.expect:
        due = verified_length(options.range, response.headers, length, shorter=shorter)
        return due if length is None else None
    if response.status == WHOLE and WHOLE not in (*options.expect, *options.also):
        raise RequestError(Outcome.WHOLE, "the whole where a range was asked for")
    return None


class BodyReader:
    """Reads one response body into its sink, within the limits of the request."""

    def __init__(self, response: Response, options: RequestOptions, deadline_ns: int) -> None:
        self._response = response
        self._options = options
        self._deadline_ns = deadline_ns

    def read(self, connection: Connection, body: Body, rest: memoryview) -> bool:
        """Read the body to its end; return whether the peer sent more than that."""
        options, response = self._options, self._response
        due = bytes_due(response, options, body.length)
        sink = _sink_for(options, body.length, succeeded=response.status in options.expect)
        try:
            surplus = self._read(connection, body, rest, sink, due)
            response.body, as_promised = sink.finish()
        finally:
            sink.release()
        if not as_promised:  # the message itself was whole: its connection is as good as before
            response.fail(Outcome.DIGEST, "the body is not what its digest says")
        return surplus

    def _read(
        self, connection: Connection, body: Body, rest: memoryview, sink: CountedBody, due: int | None
    ) -> bool:
        idle_s, limit = self._options.timeouts.idle_s, self._options.limit
        if limit is not None and body.length is not None and body.length > limit:
            raise RequestError(Outcome.TOO_LARGE, _TOO_LONG)
        view = SHARED_VIEW
        if sink.buffer is not None:
            view = sink.buffer
            view[: len(rest)] = rest
            rest = view[: len(rest)]
        payload = _Metered(sink, limit, due)
        taken = body.feed(rest, payload.write) if rest else 0
        surplus = taken < len(rest)
        if isinstance(body, LengthBody):
            if isinstance(sink, HashedBody):
                self._read_unframed(connection, body, sink)
            elif type(sink) is CountedBody:
                self._read_unframed(connection, body, None)
        turn_bytes = 0
        while not body.done:
            sink.settle()
            if turn_bytes >= TURN_BYTES:
                connection.give_way(due_after(idle_s, self._deadline_ns))
                turn_bytes = 0
            count = connection.receive(view, due_after(idle_s, self._deadline_ns))
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

    def _read_unframed(self, connection: Connection, body: LengthBody, sink: HashedBody | None) -> None:
        """Read a body of known length past the framing: into its sink, or have it dropped."""
        response, idle_s = self._response, self._options.timeouts.idle_s
        turn_bytes = 0
        while body.left:
            if turn_bytes >= TURN_BYTES:
                connection.give_way(due_after(idle_s, self._deadline_ns))
                turn_bytes = 0
            if sink is None:
                count = connection.skip(body.left, due_after(idle_s, self._deadline_ns))
            else:
                sink.settle()
                count = connection.receive(sink.free_space(body.left), due_after(idle_s, self._deadline_ns))
                sink.filled(count)
            response.t_end_ns = time.monotonic_ns()
            if not count:
                body.end()
            turn_bytes += count
            response.bytes_received += count
            body.consumed(count)


class _Metered:
    """Counts payload on its way to a sink; RequestError beyond the limit, or beyond the bytes that are due."""

    __slots__ = ("_due", "_limit", "_sink", "count")

    def __init__(self, sink: CountedBody, limit: int | None, due: int | None) -> None:
        self._sink = sink
        self._limit = limit
        self._due = due
        self.count = 0

    def write(self, view: memoryview) -> None:
        self.count += len(view)
        if self._limit is not None and self.count > self._limit:
            raise RequestError(Outcome.TOO_LARGE, _TOO_LONG)
        if self._due is not None and self.count > self._due:
            raise RequestError(Outcome.RANGE, ANOTHER_LENGTH)
        self._sink.write(view)


def _sink_for(options: RequestOptions, length: int | None, *, succeeded: bool) -> CountedBody:
    """Return the sink of a body of `length` bytes (None: not known); an error's is not hashed or streamed."""
    digest, into = (options.digest, options.into) if succeeded else (None, None)
    sink: CountedBody
    if options.keep:
        sink = KeptBody(digest)
    elif digest:
        sink = InlineHashedBody(digest) if length is not None and length <= INLINE_BYTES else HashedBody(digest)
    else:
        sink = CountedBody()
    return StreamedBody(into, sink) if into else sink
