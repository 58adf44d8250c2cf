"""The gate opens and shuts again, and nobody begins anything while it is shut."""

from __future__ import annotations

import time

import gevent
import pytest
from locust.exception import StopUser

from seatrial.user.gate import Gate

MS = 1_000_000


def _gate(now_ns: int = 0) -> Gate:
    return Gate(open_now=False, clock=lambda: now_ns)


def test_a_gate_that_was_not_told_keeps_users_waiting() -> None:
    """Without a message from the harness nobody begins."""
    user = gevent.spawn(Gate(open_now=False).enter)
    gevent.sleep(0)
    assert not user.ready()
    user.kill()


def test_in_plain_locust_the_gate_is_open() -> None:
    """Nobody waits: a wait without an end would hang here."""
    Gate(open_now=True).enter()


def test_users_wait_for_the_gates_moment() -> None:
    """It lets them in then, not earlier."""
    gate = Gate(open_now=False)
    open_ns = time.monotonic_ns() + 30 * MS
    gate.open_between(open_ns)
    gate.enter()
    assert time.monotonic_ns() >= open_ns


def test_what_was_told_before_stands_until_the_new_window() -> None:
    """The next window may be told while one is open: both hold."""
    gate = _gate()
    gate.open_between(10, 20)
    gate.open_between(30, 40)
    assert [gate.open_at(t_ns) for t_ns in (9, 10, 19, 20, 29, 30, 39, 40)] == [
        *(False, True, True, False),
        *(False, True, True, False),
    ]


def test_a_new_message_replaces_what_comes_after_its_beginning() -> None:
    """An open end is given an end, and a window of no length shuts."""
    gate = _gate()
    gate.open_between(10)
    gate.open_between(10, 20)
    assert (gate.open_at(15), gate.open_at(25)) == (True, False)
    gate.open_between(15, 15)
    assert (gate.open_at(14), gate.open_at(15)) == (True, False)


def test_windows_that_touch_are_one() -> None:
    """Nothing shuts between them: what waits goes on waiting, and there is no opening to wait for."""
    gate = _gate(12)
    gate.open_between(10, 20)
    gate.open_between(20, 30)
    assert [gate.shuts_ns(t_ns) for t_ns in (9, 10, 20, 30)] == [None, 30, 30, None]
    gate.open_between(5, 7)
    assert gate.shuts_ns(10) is None


def test_a_gate_that_was_never_told_in_plain_locust_never_shuts() -> None:
    """There what waits has only its own limit."""
    shuts_ns = Gate(open_now=True).shuts_ns(0)
    assert shuts_ns is not None
    assert shuts_ns > time.monotonic_ns() * 1000


def test_listeners_hear_before_and_after_a_change() -> None:
    """Before: while the old windows stand, from which something may still be due."""
    gate = _gate(15)
    heard: list[int | None] = []
    gate.open_between(10, 20)
    gate.on_change = lambda: heard.append(gate.shuts_ns(12))
    gate.open_between(14, 14)
    gate.close()
    assert heard == [20, None, None, None]


def test_who_waits_goes_on_when_it_opens_again() -> None:
    """A later message wakes users that had no moment to wait for."""
    gate = Gate(open_now=False)
    user = gevent.spawn(gate.enter)
    gevent.sleep(0)
    gate.open_between(time.monotonic_ns())
    user.join(2)
    assert user.successful()


def test_shut_for_good_ends_users() -> None:
    """Those that wait, and those that come."""
    gate = Gate(open_now=False)
    user = gevent.spawn(gate.enter)
    gevent.sleep(0)
    gate.close()
    with pytest.raises(StopUser):
        user.get(timeout=2)
    with pytest.raises(StopUser):
        gate.enter()
