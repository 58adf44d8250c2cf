"""A connection without a server: the outcomes of failing system calls."""

from __future__ import annotations

import errno
from typing import cast

import pytest

from seatrial.http.connection import Connection, SocketLike
from seatrial.http.parser import RequestError


class _Broken:
    """A socket on which every call fails with the same error."""

    def __init__(self, code: int) -> None:
        self._code = code

    def fileno(self) -> int:
        return 3

    def send(self, _data: bytes) -> None:
        raise OSError(self._code, "of the kernel")

    def recv_into(self, _buffer: bytearray, _size: int, _flags: int) -> int:
        raise OSError(self._code, "of the kernel")


@pytest.mark.parametrize(
    ("code", "outcome", "hung_up"),
    [
        (errno.EHOSTUNREACH, "reset", False),
        (errno.ENETUNREACH, "reset", False),
        (errno.EHOSTDOWN, "reset", False),
        (errno.ETIMEDOUT, "timeout", False),
        (errno.ECONNRESET, "reset", True),
        (errno.EPIPE, "reset", True),
    ],
)
def test_a_connection_that_breaks_is_an_outcome(code: int, outcome: str, *, hung_up: bool) -> None:
    """A route that goes away is the network's failure; only a close by the peer is `hung_up`."""
    connection = Connection(cast("SocketLike", _Broken(code)))
    with pytest.raises(RequestError) as sending:
        connection.send(b"x", 1.0, 1)
    with pytest.raises(RequestError) as receiving:
        connection.receive(bytearray(1), 1)
    for error in (sending.value, receiving.value):
        assert (error.outcome, error.hung_up) == (outcome, hung_up)


def test_an_error_of_this_machine_is_no_outcome() -> None:
    """ENOMEM is raised as it is."""
    connection = Connection(cast("SocketLike", _Broken(errno.ENOMEM)))
    with pytest.raises(OSError, match="of the kernel"):
        connection.send(b"x", 1.0, 1)
