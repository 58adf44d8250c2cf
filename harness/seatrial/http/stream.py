"""A streamed response: its caller reads the body piece by piece, and holds the server back by not reading."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from seatrial.http.body import SHARED_VIEW
from seatrial.http.connection import BUFFER_BYTES, TURN_BYTES, Connection
from seatrial.http.exchange import PARTIAL, WHOLE, Exchange, bytes_due
from seatrial.http.messages import RequestOptions, Response
from seatrial.http.parser import (
    ANOTHER_LENGTH,
    Body,
    ChunkedBody,
    CloseBody,
    LengthBody,
    RequestError,
    body_of,
    protocol_error,
)
from seatrial.units import NS_PER_S
from seatrial.wire.streams import Outcome

HEAD_BYTES = 4_096
"""As much as one read of the head takes: what of the body comes with it is held until the stream is read."""
_HEAD_PLACE = SHARED_VIEW[:HEAD_BYTES]
_NOTHING: Final = memoryview(b"")
_UNTIL_PASSED = -1


class Stream:
    """One GET while its body is being read; `response` is complete once the block has ended.

    `position` is the offset in the target of the byte that the next read begins with: the first one of a 206's
    Content-Range, 0 of any other answer. `total` is the length of the whole target, None where that is not known.
    Nothing is read ahead, and no timer runs between two reads: a stream that is not read fills the socket's buffer
    (SO_RCVBUF), then the server has to wait. That it closed meanwhile is found by the next read.
    """

    __slots__ = tuple(
        """
        _body _connection _deadline_ns _due _idle_left_ns _idle_ns _options _payload_bytes _persistent _returned_ns
        _surplus _turn_bytes _unread exchange position response total
        """.split()
    )

    def __init__(self, response: Response, options: RequestOptions) -> None:
        self.response = response
        self.exchange = Exchange(response, options)
        self.position = 0
        self.total: int | None = None
        self._options = options
        self._idle_ns = self._idle_left_ns = int(options.timeouts.idle_s * NS_PER_S)
        self._deadline_ns = response.t_start_ns + options.timeouts.total_ns
        self._connection: Connection | None = None
        self._body: Body | None = None
        self._due: int | None = None
        self._payload_bytes = self._turn_bytes = self._returned_ns = 0
        self._persistent = self._surplus = False
        self._unread = b""

    @property
    def ok(self) -> bool:
        """Whether the head was one that is expected, and nothing has failed so far."""
        return self.response.ok

    @property
    def left(self) -> int | None:
        """How many bytes of the body have not been read, by its head; None where that is not known."""
        body = self._body
        if isinstance(body, LengthBody):
            return body.left
        if body is None or self._due is None:
            return 0 if body is not None and body.done else None
        return self._due - self._payload_bytes

    @property
    def complete(self) -> bool:
        """Whether the body has been read to its end."""
        return self._body is not None and (self._body.done or self.left == 0)

    def begin(self, connection: Connection, message: bytes) -> None:
        """Send the request, and read the head; RequestError where that fails, or is not the range's."""
        response, options = self.response, self._options
        head, rest = self.exchange.begin(connection, message, _HEAD_PLACE)
        body = body_of(response.method, head)
        self._due = bytes_due(response, options, body.length, shorter=True)
        expected, status = head.status in options.expect or head.status in options.also, head.status
        if not expected:
            response.fail(Outcome.STATUS, f"unexpected status {status}")
        part = response.content_range if status == PARTIAL else None
        if options.range is not None and expected and status in {WHOLE, PARTIAL}:
            _check_identity(response)
        if part is not None:
            self.position, self.total = part.first, part.total
        elif status == WHOLE:
            self.total = body.length
        if isinstance(body, LengthBody) and len(rest) > body.left:
            self._surplus, rest = True, rest[: body.left]
        self._unread, self._body, self._persistent = bytes(rest), body, head.persistent
        self._connection, self._returned_ns = connection, response.t_end_ns

    def read(self, limit: int, until_ns: int | None = None) -> memoryview | None:
        """Return the next bytes, at most `limit` and 256 KiB, as soon as there are any; valid until a switch.

        Empty: the body has ended, or the request has failed and `ok` is False. None: nothing came until `until_ns`
        (CLOCK_MONOTONIC), which may be past: then there is no wait.
        """
        if limit < 1:
            raise ValueError(f"nothing to read: {limit} bytes")
        body, connection = self._body, self._connection
        if body is None or connection is None or body.done:
            return _NOTHING
        if limit > BUFFER_BYTES:  # noqa: PLR1730  (min() costs 0.2 us, a tenth of all that is not the kernel's)
            limit = BUFFER_BYTES
        try:
            if isinstance(body, LengthBody):
                return self._read_length(connection, body, limit, until_ns)
            return self._read_framed(connection, body, limit, until_ns)
        except RequestError as error:
            self.response.fail(error.outcome, error.reason)
            self._connection = None
            connection.close()
            return _NOTHING

    def fail(self, outcome: str, reason: str) -> None:
        """Record a failure that the caller found in the bytes, as a word of `Outcome`; the first one stands."""
        self.response.fail(Outcome(outcome), reason)

    def release(self) -> Connection | None:
        """End the stream; return the connection where it may carry another request, else close it.

        Bytes of an expected answer that were not read make it `aborted`, if nothing has failed.
        """
        connection, self._connection = self._connection, None
        body = self._body
        if connection is None or body is None:
            return None
        if not self.complete and self.response.status in self._options.expect:
            self.response.fail(Outcome.ABORTED, "left before the end of the body")
        if body.done and body.reusable and self._persistent and not self._surplus:
            return connection
        connection.close()
        return None

    def _read_length(
        self, connection: Connection, body: LengthBody, limit: int, until_ns: int | None
    ) -> memoryview | None:
        count = self._receive(connection, limit if limit < body.left else body.left, until_ns)  # noqa: FURB136  (min() costs a tenth of a read)
        if count > 0:
            body.consumed(count)
            self.position += count
            return SHARED_VIEW[:count]
        if not count:
            body.end()
        return None

    def _read_framed(
        self, connection: Connection, body: ChunkedBody | CloseBody, limit: int, until_ns: int | None
    ) -> memoryview | None:
        """Read what is there; the payload of chunks is moved together, over the lines between them."""
        end = 0

        def gather(view: memoryview) -> None:
            nonlocal end
            SHARED_VIEW[end : end + len(view)] = view
            end += len(view)

        while not end and not body.done:
            count = self._receive(connection, limit, until_ns)
            if count == _UNTIL_PASSED:
                return None
            if not count:
                body.end()
            self._surplus = body.feed(SHARED_VIEW[:count], gather) < count
        self._payload_bytes += end
        missing = 0 if self._due is None else self._due - self._payload_bytes
        if missing < 0 or (missing and body.done):
            raise RequestError(Outcome.RANGE, ANOTHER_LENGTH)
        self.position += end
        return SHARED_VIEW[:end]

    def _receive(self, connection: Connection, size: int, until_ns: int | None) -> int:
        """Receive up to `size` bytes into the shared buffer; _UNTIL_PASSED where none came until then."""
        if self._unread:
            piece, self._unread = self._unread[:size], self._unread[size:]
            SHARED_VIEW[: len(piece)] = piece
            return len(piece)
        now_ns = time.monotonic_ns()
        self._deadline_ns += now_ns - self._returned_ns  # the time between two reads is the caller's own
        self._returned_ns = now_ns
        if self._turn_bytes >= TURN_BYTES:
            self._turn_bytes = 0
            if not self._wait(connection.give_way, until_ns):
                return _UNTIL_PASSED
        count = connection.receive_now(SHARED_VIEW, size)
        while count < 0:
            self._turn_bytes = 0
            if not self._wait(connection.wait_readable, until_ns):
                return _UNTIL_PASSED
            count = connection.receive_now(SHARED_VIEW, size)
        response = self.response
        response.t_end_ns = self._returned_ns = time.monotonic_ns()
        response.bytes_received += count
        self._turn_bytes += count
        self._idle_left_ns = self._idle_ns
        return count

    def _wait(self, wait: Callable[[int], object], until_ns: int | None) -> bool:
        """Let others run until there is something to read; return whether that was before `until_ns`.

        The waits of several reads add up until a byte comes: a caller that looks often still times out.
        """
        now_ns = time.monotonic_ns()
        if now_ns >= self._deadline_ns:
            raise RequestError(Outcome.TIMEOUT, "request took too long in all")
        due_ns = min(now_ns + self._idle_left_ns, self._deadline_ns)
        if until_ns is None or until_ns >= due_ns:
            wait(due_ns)
            return True
        if until_ns <= now_ns:
            return False
        try:
            wait(until_ns)
        except RequestError:  # raised by a wait only where its time is over
            self._returned_ns = time.monotonic_ns()
            self._idle_left_ns -= self._returned_ns - now_ns
            return False
        return True


def _check_identity(response: Response) -> None:
    """Raise RequestError for a content coding: offsets would be those of coded bytes (RFC 9110 14.4, 8.4)."""
    if response.header("content-encoding", "identity").strip().lower() != "identity":
        raise protocol_error("a content coding where bytes of the target were asked for")
