"""The body of a request: the pieces in which it goes out, and what the server says before it has all of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from seatrial.user.connection import Connection
from seatrial.user.http1 import Fault
from seatrial.user.message import Wanted
from seatrial.user.response import Response


def pieces(wanted: Wanted) -> Iterator[bytes]:
    """Yield what is to be sent after the head: nothing where the body went with it.

    ValueError where an iterable of a known length gives another one: the message is not whole then, so its
    connection can't be used any more.
    """
    body = wanted.body
    if isinstance(body, bytes):
        if wanted.ask_first:
            yield body
    elif body is not None and wanted.body_length is None:
        for piece in body:
            if piece:  # an empty chunk would be the last one (RFC 9112 7.1)
                yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"
    elif body is not None and wanted.body_length is not None:
        left = wanted.body_length
        for piece in body:
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise ValueError(f"the pieces of a body do not add up to its length: {wanted.body_length}")


class Upload:
    """Sends a message with a body, and pauses where the server speaks before it has all of it (RFC 9112 9.5).

    After a pause `go_on` sends the rest.
    """

    def __init__(self, response: Response, wanted: Wanted, message: bytes, deadline_ns: int) -> None:
        self._response = response
        self._idle_s = wanted.timeouts.idle_s
        self._deadline_ns = deadline_ns
        self._outgoing = chain((message,), pieces(wanted))
        self._left = memoryview(b"")
        self.broken: Fault | None = None
        """Why nothing more can be sent; the server may have said its reason before it closed (RFC 9112 9.6)."""

    def head(self, connection: Connection) -> None:
        """Send the first piece, alone."""
        self._send(connection, next(self._outgoing), listening=False)

    def go_on(self, connection: Connection, *, listening: bool) -> bool:
        """Send what is left; return whether all is sent. It is not where the server spoke, or closed."""
        if self._left and not self._send(connection, self._left, listening=listening):
            return False
        return all(self._send(connection, piece, listening=listening) for piece in self._outgoing)

    def _send(self, connection: Connection, piece: bytes | memoryview, *, listening: bool) -> bool:
        try:
            count = connection.send(piece, self._idle_s, self._deadline_ns, listening=listening)
        except Fault as fault:
            self.broken = fault
            return False
        self._response.bytes_sent += count
        self._left = memoryview(piece)[count:]
        return not self._left
