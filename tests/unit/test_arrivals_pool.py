"""Arrivals and users: in time, late, dropped, never forgotten; time is the test's, users are greenlets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest
from gevent import Greenlet

from seatrial.user.arrivals import Arrivals
from seatrial.user.gate import Gate
from seatrial.user.schedule import ArrivalFeed, Schedule
from seatrial.wire.rates import Rate, parse

S = 1_000_000_000


class Pool:
    """Arrivals at a rate, one clock that stands still until it is moved, and what was dropped."""

    def __init__(self, rate: str, *, gate: Gate | None = None) -> None:
        self.now_ns = 0
        self.dropped: list[tuple[float, float]] = []
        self.begun: list[float] = []
        self.users: list[Greenlet[[], None]] = []
        self._gate = gate or Gate(open_now=True)
        feed = ArrivalFeed(low=0.0, high=1.0, since_ns=0)
        feed.follow(Schedule(Rate(parse(rate)), origin_ns=0), 0)
        self.arrivals = Arrivals(
            feed,
            self._gate,
            lambda due_ns, t_ns: self.dropped.append((due_ns / S, t_ns / S)),
            clock=lambda: self.now_ns,
            late_limit_s=2.0,
        )
        self.arrivals.begin()

    def idle(self, count: int = 1) -> None:
        """Let users wait, each for one arrival."""
        self.users += [gevent.spawn(self._serve) for _ in range(count)]
        gevent.sleep(0)

    def at(self, second: float) -> None:
        """Move the clock, and let the pool look."""
        self.now_ns = round(second * S)
        self.arrivals.tick(self.now_ns)
        gevent.sleep(0)
        gevent.sleep(0)

    def counts(self) -> tuple[int | None, ...]:
        """Return due, completed, late, dropped."""
        return tuple(self.arrivals.take()[0].values())[:4]

    def _serve(self) -> None:
        due_ns = self.arrivals.wait()
        self.begun.append(due_ns / S)
        self.arrivals.completed(due_ns)


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Give a pool at 2/s, and end its users."""
    made = Pool("2/s")
    yield made
    gevent.killall(made.users)


def test_idle_users_serve_what_is_due_in_time(pool: Pool) -> None:
    """Nothing is late; the slip is how late the pool itself was."""
    pool.idle(3)
    pool.at(0)
    pool.at(0.51)
    pool.at(1.0)
    assert pool.begun == [0.0, 0.5, 1.0]
    assert pool.arrivals.take() == (
        {
            "arrivals": 3,
            "arrivals_completed": 3,
            "arrivals_late": 0,
            "arrivals_dropped": 0,
            "arrivals_took_ns": 10_000_000,
        },
        10_000_000,
    )


def test_an_arrival_without_a_user_is_late_and_served_in_its_order(pool: Pool) -> None:
    """It waits for whoever becomes free; its moment stays its own, and the generator is not to blame."""
    pool.at(1.0)
    assert pool.counts() == (3, 0, 3, 0)
    pool.idle(2)
    assert pool.begun == [0.0, 0.5]
    assert pool.arrivals.take()[1] is None


def test_how_long_arrivals_took_counts_from_their_moments(pool: Pool) -> None:
    """Of 0 s and 0.5 s, both served at 1.2 s, together 1.9 s: what waited for a user has waited."""
    pool.at(0.9)
    pool.now_ns = round(1.2 * S)
    pool.idle(2)

    counts, _ = pool.arrivals.take()
    assert (counts["arrivals_completed"], counts["arrivals_took_ns"]) == (2, round(1.9 * S))


def test_who_waits_too_long_is_dropped_and_told(pool: Pool) -> None:
    """After 2 s here, with its moment and that of giving up; the others are served."""
    pool.at(1.0)
    pool.at(2.2)
    assert pool.dropped == [(0.0, 2.2)]
    pool.idle()
    assert pool.begun == [0.5]
    assert pool.counts() == (5, 1, 5, 1)


def test_a_user_does_not_begin_what_has_waited_too_long(pool: Pool) -> None:
    """Also if the pool has not looked since."""
    pool.at(0.0)
    pool.now_ns = 3 * S
    pool.idle()
    assert (pool.begun, pool.dropped) == ([], [(0.0, 3.0)])


def test_the_end_forgets_nothing(pool: Pool) -> None:
    """What was due and not begun is dropped, though the pool had not looked yet; then nothing comes any more."""
    pool.at(0.0)
    pool.now_ns = S
    pool.arrivals.end()
    assert pool.dropped == [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0)]
    pool.at(9.0)
    assert pool.counts() == (3, 0, 3, 3)


def test_an_arrival_outlives_the_user_it_was_given_to(pool: Pool) -> None:
    """A user that is killed before it runs gives it back: the next one gets it."""
    pool.idle(2)
    pool.users[0].kill(block=False)
    pool.arrivals.tick(0)
    gevent.sleep(0)
    gevent.sleep(0)
    gevent.sleep(0)
    assert pool.begun == [0.0]
    assert pool.counts()[3] == 0


def test_an_arrival_given_back_at_the_end_is_dropped(pool: Pool) -> None:
    """Its user was killed by the end of the run, before it began."""
    pool.idle()
    pool.users[0].kill(block=False)
    pool.arrivals.tick(0)
    pool.arrivals.end()
    gevent.sleep(0)
    assert pool.dropped == [(0.0, 0.0)]
    assert pool.begun == []


def test_a_killed_user_is_given_nothing(pool: Pool) -> None:
    """It left the row of those that wait."""
    pool.idle()
    pool.users[0].kill()
    pool.at(0.0)
    assert pool.counts() == (1, 0, 1, 0)


def _gated(*windows: tuple[float, float]) -> Gate:
    gate = Gate(open_now=False, clock=lambda: 0)
    for begin, end in windows:
        gate.open_between(round(begin * S), round(end * S))
    return gate


def test_what_is_due_while_the_gate_is_shut_does_not_exist() -> None:
    """Neither counted nor served later: not at 1.0 nor 1.5, while it is shut."""
    pool = Pool("2/s", gate=_gated((0, 1), (2, 3)))
    pool.idle(5)
    pool.at(0.5)
    pool.at(1.9)
    pool.at(2.0)
    assert pool.begun == [0.0, 0.5, 2.0]
    assert pool.counts() == (3, 3, 0, 0)
    gevent.killall(pool.users)


def test_what_was_due_before_the_gate_shut_is_begun_by_an_idle_user() -> None:
    """The loop may look a few milliseconds later: that is not the stack's failure. 6 ms are too late."""
    for looked_s, begun in ((1.004, [0.0, 0.5]), (1.006, [0.0])):
        pool = Pool("2/s", gate=_gated((0, 1)))
        pool.idle(2)
        pool.at(0.0)
        pool.at(looked_s)
        assert pool.begun == begun
        assert pool.counts()[3] == 2 - len(begun)
        gevent.killall(pool.users)


def test_what_waits_is_dropped_when_the_gate_shuts() -> None:
    """At that moment, though the loop hears of it later; the next opening has none of it."""
    pool = Pool("2/s", gate=_gated((0, 1), (2, 3)))
    pool.at(0.6)
    assert pool.arrivals._next_ns(round(0.6 * S)) == 1 * S
    pool.at(1.4)
    assert pool.dropped == [(0.0, 1.0), (0.5, 1.0)]
    pool.idle()
    pool.at(2.0)
    assert pool.begun == [2.0]
    assert pool.counts() == (3, 1, 2, 2)
    gevent.killall(pool.users)


def test_a_gate_that_is_told_to_shut_drops_at_once() -> None:
    """Nobody has to look for it: an order that ends the window is enough."""
    gate = _gated((0, 9))
    pool = Pool("2/s", gate=gate)
    pool.at(0.6)
    gate.open_between(round(0.6 * S), round(0.6 * S))
    assert pool.dropped == [(0.0, 0.6), (0.5, 0.6)]


def test_a_blocked_loop_that_missed_a_shut_gate_serves_nothing_from_before_it() -> None:
    """It looked while the first window was open, and again in the second."""
    pool = Pool("2/s", gate=_gated((0, 1), (2, 3)))
    pool.at(0.1)
    pool.idle(3)
    pool.users.pop(0).kill()
    pool.now_ns = round(2.1 * S)
    pool.at(2.1)
    assert sorted(pool.begun) == [0.0, 2.0]
    assert pool.dropped == [(0.5, 1.0)]
    gevent.killall(pool.users)


def test_a_user_that_wakes_behind_a_shut_gate_begins_nothing() -> None:
    """It was handed the arrival in time, and the gate shut before its turn in the loop came."""
    gate = _gated((0, 9))
    pool = Pool("2/s", gate=gate)
    pool.idle()
    pool.arrivals.tick(0)
    pool.now_ns = round(0.4 * S)
    gate.open_between(round(0.3 * S), round(0.3 * S))
    gevent.sleep(0)
    gevent.sleep(0)
    assert (pool.begun, pool.dropped) == ([], [(0.0, 0.3)])
    assert pool.counts() == (1, 0, 0, 1)
    gevent.killall(pool.users)


def test_what_was_due_before_the_gate_is_told_anew_is_not_forgotten() -> None:
    """The pool had not looked since: the old window ends, and what was due in it still counts."""
    now_ns = 0
    gate = Gate(open_now=False, clock=lambda: now_ns)
    gate.open_between(0, 1 * S)
    pool = Pool("2/s", gate=gate)
    now_ns = pool.now_ns = round(1.1 * S)
    gate.open_between(2 * S, 3 * S)
    assert pool.counts() == (2, 0, 2, 2)
    assert pool.dropped == [(0.0, 1.0), (0.5, 1.0)]


def test_waiting_is_no_slip(pool: Pool) -> None:
    """What came back from a user that ended, 0.2 s after its moment, was late for no fault of the loop."""
    pool.idle(2)
    pool.users[0].kill(block=False)
    pool.arrivals.tick(0)
    pool.now_ns = round(0.2 * S)
    for _ in range(4):
        gevent.sleep(0)
    assert pool.begun == [0.0]
    assert pool.arrivals.take()[1] is None


def test_the_pool_runs_by_itself() -> None:
    """With the real clock: 40 arrivals of 200/s within 0.2 s, and each one begun."""
    feed = ArrivalFeed(low=0.0, high=1.0, since_ns=0)
    arrivals = Arrivals(feed, Gate(open_now=True), lambda _due, _now: None)
    begun: list[int] = []

    def serve() -> None:
        while True:
            begun.append(arrivals.wait())
            arrivals.completed(begun[-1])

    greenlets = [gevent.spawn(arrivals.run), gevent.spawn(serve), gevent.spawn(serve)]
    gevent.sleep(0)
    now_ns = time.monotonic_ns()
    feed.follow(Schedule(Rate(parse("200/s for 200ms, 0/s")), origin_ns=now_ns), now_ns)
    arrivals.begin()
    deadline_ns = now_ns + 5 * S
    while len(begun) < 40 and time.monotonic_ns() < deadline_ns:
        gevent.sleep(0.01)
    gevent.killall(greenlets)
    assert len(begun) == 40
    assert begun == sorted(begun)
    counts, slip_ns = arrivals.take()
    assert (counts["arrivals"], counts["arrivals_completed"]) == (40, 40)
    assert slip_ns is not None
    assert slip_ns >= 0


def test_in_the_closed_model_there_is_nothing_to_tell() -> None:
    """Null, not zero: there were no arrivals that could have been late."""
    arrivals = Arrivals(ArrivalFeed(low=0.0, high=1.0, since_ns=0), Gate(open_now=True), lambda _due, _now: None)
    counts, slip_ns = arrivals.take()
    assert set(counts.values()) | {slip_ns} == {None}
