"""The child's end of the control socket: messages out without ever waiting, messages in one greenlet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gevent import socket

from seatrial.errors import LoadFailed
from seatrial.wire import control

Message = Mapping[str, Any]
OUTGOING_LIMIT_BYTES = 1 << 20
_INCOMING_LIMIT_BYTES = 1 << 20
_log = logging.getLogger("seatrial.user")


class Steering:
    """A connection to the harness. A harness that does not read never makes the load wait."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(path)
        except OSError as error:
            raise LoadFailed(
                "the harness's control socket does not answer", where=path, seen=str(error)
            ) from error
        self._socket.settimeout(0.0)
        self._outgoing = bytearray()

    def send(self, kind: str, **fields: Any) -> None:  # noqa: ANN401  (a message's fields are JSON values)
        """Send one message, now or with a later one."""
        if len(self._outgoing) < OUTGOING_LIMIT_BYTES:
            self._outgoing += control.encode(kind, **fields)
        while self._outgoing:
            try:
                count = self._socket.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:  # the harness is gone: `listen` hears of it, too
                self._outgoing.clear()
                return
            del self._outgoing[:count]

    def listen(self, heed: Callable[[Message], None], gone: Callable[[], None]) -> None:
        """Pass on each message until the harness closes the connection, then call `gone`."""
        held = b""
        while True:
            data = self._receive()
            if not data or len(held) > _INCOMING_LIMIT_BYTES:
                gone()
                return
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                try:
                    message = control.decode(line)
                except ValueError:
                    _log.error("the harness sent a line that is not a message: %.200r", line)
                    continue
                heed(message)

    def _receive(self) -> bytes:
        try:
            socket.wait_read(self._socket.fileno())
            return bytes(self._socket.recv(65_536))
        except OSError:
            return b""

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
