"""The gate opens and shuts again, and no user begins anything while it is shut."""

from __future__ import annotations

import time

import gevent
import pytest
from locust.exception import StopUser

from seatrial.user.gate import Gate

MS = 1_000_000


def _gate(now_ns: int = 0) -> Gate:
    return Gate(open_now=False, clock=lambda: now_ns)


def test_in_plain_locust_the_gate_is_open() -> None:
    """A wait without an end would hang here; and it never shuts."""
    gate = Gate(open_now=True)
    gate.enter()
    shuts_ns = gate.shuts_ns(0)
    assert shuts_ns is not None
    assert shuts_ns > time.monotonic_ns() * 1000


def test_users_wait_for_the_gates_moment() -> None:
    """Without a window they wait; a window wakes them, at its beginning and not earlier."""
    gate = Gate(open_now=False)
    user = gevent.spawn(gate.enter)
    gevent.sleep(0)
    assert not user.ready()
    open_ns = time.monotonic_ns() + 30 * MS
    gate.open_between(open_ns)
    user.join(2)
    assert user.successful()
    assert time.monotonic_ns() >= open_ns


def test_a_window_stands_until_the_next_one() -> None:
    """The next window may be set while one is open: both hold."""
    gate = _gate()
    gate.open_between(10, 20)
    gate.open_between(30, 40)
    states = {t_ns: gate.open_at(t_ns) for t_ns in (9, 10, 19, 20, 29, 30, 39, 40)}
    assert [t_ns for t_ns, is_open in states.items() if is_open] == [10, 19, 30, 39]


def test_a_new_window_replaces_what_comes_after_its_beginning() -> None:
    """An open end is given an end, and a window of no length shuts."""
    gate = _gate()
    gate.open_between(10)
    gate.open_between(10, 20)
    assert (gate.open_at(15), gate.open_at(25)) == (True, False)
    gate.open_between(15, 15)
    assert (gate.open_at(14), gate.open_at(15)) == (True, False)


def test_windows_that_touch_are_one() -> None:
    """The gate does not shut between them: arrivals that wait go on waiting."""
    gate = _gate(12)
    gate.open_between(10, 20)
    gate.open_between(20, 30)
    assert [gate.shuts_ns(t_ns) for t_ns in (9, 10, 20, 30)] == [None, 30, 30, None]
    gate.open_between(5, 7)
    assert gate.shuts_ns(10) is None


def test_a_listener_is_called_before_and_after_a_change() -> None:
    """Before: while the old windows stand, from which something may still be due."""
    gate = _gate(15)
    shuts_ns: list[int | None] = []
    gate.open_between(10, 20)
    gate.on_change = lambda: shuts_ns.append(gate.shuts_ns(12))
    gate.open_between(14, 14)
    gate.close()
    assert shuts_ns == [20, None, None, None]


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
