"""The control socket, the harness's end: accepts load processes, receives and sends messages."""

from __future__ import annotations

import selectors
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seatrial.wire import control

Message = Mapping[str, Any]
GONE = "gone"
"""The kind of the message that `receive` yields for a closed connection."""


class Channel:
    """Accepts workers, receives their messages, sends to all of them or to one; numbers connections from 0."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._connections: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        self._next = 0

    @property
    def connected(self) -> bool:
        """Whether a worker is connected."""
        return bool(self._connections)

    def send(self, kind: str, **fields: object) -> None:
        """Send one message to every connected worker."""
        for connection in list(self._connections):
            self.send_to(connection, kind, **fields)

    def send_to(self, connection: int, kind: str, **fields: object) -> None:
        """Send one message to one worker, if it is still connected."""
        worker = self._connections.get(connection)
        if worker is not None:
            try:
                worker.sendall(control.encode(kind, **fields))
            except OSError:  # its last messages may still wait to be received
                return

    def receive(self, within_s: float) -> Iterator[tuple[int, Message]]:
        """Wait at most `within_s` for data, and yield each complete message with its connection.

        A connection that was closed yields one message of the kind `gone`.
        """
        for key, _ in self._selector.select(max(within_s, 0.0)):
            if key.fileobj is self._listener:
                worker, _ = self._listener.accept()
                connection, self._next = self._next, self._next + 1
                self._connections[connection], self._partial[connection] = worker, b""
                self._selector.register(worker, selectors.EVENT_READ, connection)
            else:
                yield from ((key.data, message) for message in self._received(key.data))

    def close(self) -> None:
        """Close every connection; a worker takes that for the end of the harness."""
        for connection in list(self._connections):
            self._forget(connection)
        self._selector.close()
        self._listener.close()

    def _received(self, connection: int) -> Iterator[Message]:
        try:
            data = self._connections[connection].recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._forget(connection)
            yield {"kind": GONE}
            return
        *lines, self._partial[connection] = (self._partial[connection] + data).split(b"\n")
        for line in lines:
            yield control.decode(line)

    def _forget(self, connection: int) -> None:
        worker = self._connections.pop(connection)
        self._selector.unregister(worker)
        worker.close()
        del self._partial[connection]


@contextmanager
def opened() -> Iterator[Channel]:
    """Open a channel in a short-named private folder: a Unix socket's path has at most 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        channel = Channel(Path(folder) / "control")
        try:
            yield channel
        finally:
            channel.close()
