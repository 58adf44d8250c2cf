"""The one timer of a connection: each wait ends when it is due, whatever was due before."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import gevent
import pytest

from seatrial.http.connection import Waiting
from seatrial.http.parser import RequestError

_MS = 1_000_000


@pytest.fixture
def ends() -> Iterator[tuple[Waiting, socket.socket]]:
    """Give a Waiting on one end of a pair of sockets, and the other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        waiting = Waiting(ours.fileno())
        yield waiting, theirs
        waiting.stop_watching()


def _lasted_ms(waiting: Waiting, wait_ms: int) -> float:
    begun_ns = time.monotonic_ns()
    with pytest.raises(RequestError, match="timeout"):
        waiting.wait_readable(begun_ns + wait_ms * _MS)
    return (time.monotonic_ns() - begun_ns) / _MS


def _drain(waiting: Waiting) -> None:
    with socket.socket(fileno=os.dup(waiting._descriptor)) as ours:
        assert ours.recv(10) == b"x"


@pytest.mark.parametrize("waits_ms", [(20, 80), (80, 20), (40, 40)])
def test_each_wait_lasts_as_long_as_it_may(ends: tuple[Waiting, socket.socket], waits_ms: tuple[int, int]) -> None:
    """A longer wait after a shorter one is not cut by the timer that was set, nor the other way round."""
    waiting, _ = ends
    for wait_ms in waits_ms:
        assert wait_ms <= _lasted_ms(waiting, wait_ms) < wait_ms + 500


def test_a_wait_after_one_that_ended_early(ends: tuple[Waiting, socket.socket]) -> None:
    """Where the timer of the first has 50 ms left the second goes on; where it has 60 s, the second ends."""
    waiting, theirs = ends
    for wait_ms in (60_000, 50):
        theirs.send(b"x")
        waiting.wait_readable(time.monotonic_ns() + wait_ms * _MS)
        _drain(waiting)
        assert 80 <= _lasted_ms(waiting, 80) < 580


def test_a_killed_wait_leaves_no_waiter(ends: tuple[Waiting, socket.socket]) -> None:
    """The timer of a greenlet that is gone switches to nobody, and the next wait is whole."""
    waiting, _ = ends
    user = gevent.spawn(waiting.wait_readable, time.monotonic_ns() + 20 * _MS)
    gevent.sleep(0)
    user.kill()
    assert 60 <= _lasted_ms(waiting, 60) < 560
