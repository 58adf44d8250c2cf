"""The harness's end of the control socket: every worker process of the load generator connects to it."""

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


class Channel:
    """Accepts workers, gathers their messages, sends to all of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._torn: dict[socket.socket, bytes] = {}

    def send(self, kind: str, **fields: float) -> None:
        """Send one message to every worker that is connected; one that is gone is told by its process's exit."""
        line = control.encode(kind, **fields)
        for worker in list(self._torn):
            try:
                worker.sendall(line)
            except OSError:
                self._forget(worker)

    def messages(self, within_s: float) -> Iterator[Message]:
        """Wait at most `within_s` for something to arrive, and yield the messages that are complete."""
        for key, _ in self._selector.select(max(within_s, 0.0)):
            if key.fileobj is self._listener:
                worker, _ = self._listener.accept()
                self._torn[worker] = b""
                self._selector.register(worker, selectors.EVENT_READ)
            elif isinstance(key.fileobj, socket.socket):
                yield from self._received(key.fileobj)

    def close(self) -> None:
        """Close every connection; a worker takes that for the harness's end."""
        for worker in list(self._torn):
            self._forget(worker)
        self._selector.close()
        self._listener.close()

    def _received(self, worker: socket.socket) -> Iterator[Message]:
        try:
            data = worker.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._forget(worker)
            return
        *lines, self._torn[worker] = (self._torn[worker] + data).split(b"\n")
        for line in lines:
            yield control.decode(line)

    def _forget(self, worker: socket.socket) -> None:
        self._selector.unregister(worker)
        worker.close()
        del self._torn[worker]


@contextmanager
def opened() -> Iterator[Channel]:
    """Open a channel in a short-named private folder: a Unix socket's path has at most 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        channel = Channel(Path(folder) / "control")
        try:
            yield channel
        finally:
            channel.close()
