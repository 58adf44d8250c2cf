"""Arrivals and users: in time, late, dropped, none lost; time is the test's, users are greenlets."""

from __future__ import annotations

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
    """Arrivals at 2/s, users, a clock that stands still until it is moved, and the dropped arrivals."""

    def __init__(self, *windows: tuple[float, float]) -> None:
        self.now_ns = 0
        self.dropped: list[tuple[float, float]] = []
        self.begun: list[float] = []
        self.users: list[Greenlet[[], None]] = []
        self.gate = Gate(open_now=not windows, clock=lambda: self.now_ns)
        feed = ArrivalFeed(low=0.0, high=1.0, since_ns=0)
        feed.follow(Schedule(Rate(parse("2/s")), origin_ns=0), 0)
        self.arrivals = Arrivals(
            feed,
            self.gate,
            lambda due_ns, t_ns: self.dropped.append((due_ns / S, t_ns / S)),
            clock=lambda: self.now_ns,
            late_limit_s=2.0,
        )
        for begin, end in windows:
            self.open_between(begin, end)
        self.arrivals.begin()

    def open_between(self, begin_s: float, end_s: float) -> None:
        """Set a window of the gate."""
        self.gate.open_between(round(begin_s * S), round(end_s * S))

    def idle(self, count: int = 1) -> None:
        """Let users wait, each for one arrival."""
        self.users += [gevent.spawn(self._serve) for _ in range(count)]
        gevent.sleep(0)

    def at(self, second: float) -> None:
        """Move the clock, hand out what is due, and let users run."""
        self.now_ns = round(second * S)
        self.arrivals.tick(self.now_ns)
        self.let_run()

    def kill_after_handing_over(self) -> None:
        """Hand the arrival of second 0 to the first user, which is killed before it runs."""
        self.users[0].kill(block=False)
        self.arrivals.tick(0)

    def let_run(self) -> None:
        """Let all greenlets run that can."""
        for _ in range(4):
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
    """Give a pool with an open gate, and end its users."""
    made = Pool()
    yield made
    gevent.killall(made.users)


@pytest.fixture
def gated() -> Iterator[Pool]:
    """Give a pool whose gate is open in the first and in the third second."""
    made = Pool((0, 1), (2, 3))
    yield made
    gevent.killall(made.users)


def test_idle_users_serve_what_is_due_in_time(pool: Pool) -> None:
    """Nothing is late; the slip is how late the pool itself was."""
    pool.idle(3)
    pool.at(0)
    pool.at(0.51)
    pool.at(1.0)
    assert pool.begun == [0.0, 0.5, 1.0]
    counts, slip_ns = pool.arrivals.take()
    none = dict.fromkeys(("arrivals_late", "arrivals_dropped"), 0)
    assert counts == {"arrivals": 3, "arrivals_completed": 3, "arrivals_took_ns": 10_000_000, **none}
    assert slip_ns == 10_000_000


def test_an_arrival_without_a_user_is_late_and_served_in_its_order(pool: Pool) -> None:
    """It waits for the next idle user, and its time counts from its own moment; that is no slip."""
    pool.at(0.9)
    assert pool.counts() == (2, 0, 2, 0)
    pool.now_ns = round(1.2 * S)
    pool.idle(2)
    assert pool.begun == [0.0, 0.5]
    counts, slip_ns = pool.arrivals.take()
    assert (counts["arrivals_completed"], counts["arrivals_took_ns"]) == (2, round(1.9 * S))
    assert slip_ns is None


def test_an_arrival_that_waits_too_long_is_dropped(pool: Pool) -> None:
    """After 2 s here, with its moment and that of the drop; no user begins it, also without a tick since."""
    pool.at(1.0)
    pool.at(2.2)
    assert pool.dropped == [(0.0, 2.2)]
    pool.idle()
    assert pool.begun == [0.5]
    assert pool.counts() == (5, 1, 5, 1)
    pool.now_ns = 9 * S
    pool.idle()
    assert (pool.begun, pool.dropped[1:]) == ([0.5], [(1.0, 9.0), (1.5, 9.0), (2.0, 9.0)])


def test_the_end_loses_nothing(pool: Pool) -> None:
    """What was due and not begun is dropped, also without a tick since; then no arrival comes any more."""
    pool.at(0.0)
    pool.now_ns = S
    pool.arrivals.end()
    assert pool.dropped == [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0)]
    pool.at(9.0)
    assert pool.counts() == (3, 0, 3, 3)


@pytest.mark.parametrize("moved_s", [0.0, 0.2])
def test_an_arrival_outlives_the_user_it_was_given_to(pool: Pool, moved_s: float) -> None:
    """A user that is killed before it runs gives it back: the next one gets it, and that is no slip."""
    pool.idle(2)
    pool.kill_after_handing_over()
    pool.now_ns = round(moved_s * S)
    pool.let_run()
    assert pool.begun == [0.0]
    counts, slip_ns = pool.arrivals.take()
    assert (counts["arrivals_dropped"], slip_ns) == (0, None)


def test_an_arrival_given_back_at_the_end_is_dropped(pool: Pool) -> None:
    """Its user was killed by the end of the run, before it began."""
    pool.idle()
    pool.kill_after_handing_over()
    pool.arrivals.end()
    gevent.sleep(0)
    assert (pool.begun, pool.dropped) == ([], [(0.0, 0.0)])


def test_a_killed_user_is_given_nothing(pool: Pool) -> None:
    """It is no longer among those that wait."""
    pool.idle()
    pool.users[0].kill()
    pool.at(0.0)
    assert pool.counts() == (1, 0, 1, 0)


def test_what_is_due_while_the_gate_is_shut_does_not_exist(gated: Pool) -> None:
    """Neither counted nor served later: not at 1.0 nor 1.5, while it is shut."""
    gated.idle(5)
    for second in (0.5, 1.9, 2.0):
        gated.at(second)
    assert gated.begun == [0.0, 0.5, 2.0]
    assert gated.counts() == (3, 3, 0, 0)


@pytest.mark.parametrize(("tick_s", "begun"), [(1.004, [0.0, 0.5]), (1.006, [0.0])])
def test_what_was_due_before_the_gate_shut_is_begun_by_an_idle_user(
    gated: Pool, tick_s: float, begun: list[float]
) -> None:
    """The loop may be a few milliseconds late: that is not the stack's failure. 6 ms are too late."""
    gated.idle(2)
    gated.at(0.0)
    gated.at(tick_s)
    assert gated.begun == begun
    assert gated.counts()[3] == 2 - len(begun)


def test_what_waits_is_dropped_when_the_gate_shuts(gated: Pool) -> None:
    """At that moment, though the loop notices later; none of it is in the next window."""
    gated.at(0.6)
    assert gated.arrivals._next_ns(round(0.6 * S)) == 1 * S
    gated.at(1.4)
    assert gated.dropped == [(0.0, 1.0), (0.5, 1.0)]
    gated.idle()
    gated.at(2.0)
    assert gated.begun == [2.0]
    assert gated.counts() == (3, 1, 2, 2)


@pytest.mark.parametrize(
    ("now_s", "window", "dropped_s"), [(0.6, (0.6, 0.6), 0.6), (1.1, (2, 3), 1.0)], ids=["ends now", "was over"]
)
def test_a_new_window_drops_what_was_due_in_the_old_one(
    now_s: float, window: tuple[float, float], dropped_s: float
) -> None:
    """At once, also without a tick since it was due: it still counts."""
    pool = Pool((0, 1))
    pool.now_ns = round(now_s * S)
    pool.open_between(*window)
    assert pool.dropped == [(0.0, dropped_s), (0.5, dropped_s)]
    assert pool.counts() == (2, 0, 2, 2)


def test_a_blocked_loop_that_missed_a_shut_gate_serves_nothing_from_before_it(gated: Pool) -> None:
    """It ticks while the first window is open, and again in the second."""
    gated.at(0.1)
    gated.idle(3)
    gated.users.pop(0).kill()
    gated.at(2.1)
    assert sorted(gated.begun) == [0.0, 2.0]
    assert gated.dropped == [(0.5, 1.0)]


def test_a_user_that_wakes_behind_a_shut_gate_begins_nothing() -> None:
    """It was handed the arrival in time, and the gate shut before its turn in the loop came."""
    pool = Pool((0, 9))
    pool.idle()
    pool.arrivals.tick(0)
    pool.open_between(0.3, 0.3)
    pool.now_ns = round(0.4 * S)
    pool.let_run()
    assert (pool.begun, pool.dropped) == ([], [(0.0, 0.3)])
    assert pool.counts() == (1, 0, 0, 1)
    gevent.killall(pool.users)


def test_the_closed_model_has_no_counts() -> None:
    """Null, not zero: there were no arrivals that could have been late."""
    arrivals = Arrivals(ArrivalFeed(low=0.0, high=1.0, since_ns=0), Gate(open_now=True), lambda _due, _now: None)
    counts, slip_ns = arrivals.take()
    assert {*counts.values(), slip_ns} == {None}
