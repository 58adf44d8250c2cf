"""What belongs to one trial, from scripted seconds of the load."""

from __future__ import annotations

from typing import Any

import pytest

from seatrial.load.book import Book
from seatrial.load.seconds import Gathering, Second
from seatrial.units import NS_PER_S
from seatrial.wire.buckets import bucket

S = NS_PER_S
MS = S // 1000


def _second(at_s: float, **counts: Any) -> Second:  # noqa: ANN401  (fields of Second)
    return Second(t_ns=round(at_s * S), t_least_ns=round(at_s * S), **counts)


def _book(carried: int = 0) -> Book:
    """Return a trial from second 10.2 to 12.2."""
    return Book(begin_ns=round(10.2 * S), end_ns=round(12.2 * S), carried=carried)


def test_all_arrivals_of_a_trial_are_its_own_wherever_its_seconds_begin() -> None:
    """The gate opens for the trial alone: the sum from rest to rest is exact, though the edges don't fit."""
    book = _book()
    for at_s, arrivals, completed in ((10, 0, 0), (11, 80, 70), (12, 100, 90), (13, 20, 40)):
        book.take(_second(at_s, arrivals=arrivals, arrivals_completed=completed))

    assert (book.arrivals, book.lost, book.under_way, book.idle) == (200, 0, 0, True)
    assert book.completed_per_s == pytest.approx(160 / 1.8)


def test_a_trial_is_over_when_nothing_is_under_way_any_more() -> None:
    """Not at its end, nor while a task is between two requests."""
    book = _book()
    book.take(_second(12, arrivals=10, arrivals_completed=10))
    assert not book.idle
    book.take(_second(13, arrivals=10, arrivals_completed=9))
    assert not book.idle
    book.take(_second(14, in_flight=1, arrivals_completed=1))
    assert not book.idle
    book.take(_second(15))
    assert book.idle


def test_what_was_dropped_or_never_ended_is_lost() -> None:
    """Both were asked for and not served."""
    book = _book()
    book.take(_second(12, arrivals=100, arrivals_completed=60, arrivals_dropped=30, arrivals_late=35))

    assert (book.lost, book.late) == (40, 35)


def test_what_ends_after_the_book_was_closed_is_lost_and_no_more_under_way() -> None:
    """The next trial waits for it, but it took too long for this one; it is not counted among its answers."""
    book = _book()
    book.take(_second(12, arrivals=100, arrivals_completed=90))
    book.close()
    book.take(_second(30, arrivals_completed=10, by_endpoint={"a": {bucket(18 * S): 10}}))

    assert (book.lost, book.under_way, book.idle, book.latency) == (10, 0, True, {})


def test_what_is_under_way_is_read_while_the_gate_is_open() -> None:
    """At the last second that ended before it shut; what ended in the rest was not carried by the trial."""
    book = _book()
    for at_s, arrivals, completed in ((11, 80, 10), (12, 100, 20), (13, 20, 170)):
        book.take(_second(at_s, arrivals=arrivals, arrivals_completed=completed))

    assert (book.arrivals_seen, book.unfinished) == (180, 150)
    assert book.seen_s == pytest.approx(1.8)
    assert book.completed == 200


def test_a_trial_that_is_over_within_a_second_tells_nothing_of_it() -> None:
    """No second ended while its gate was open."""
    book = Book(begin_ns=round(10.2 * S), end_ns=round(10.7 * S))
    book.take(_second(11, arrivals=5, arrivals_completed=5))

    assert (book.arrivals_seen, book.unfinished, book.seen_s) == (0, 0, 0.0)


def test_how_long_its_flows_took_is_summed() -> None:
    """Of those that ended before the book was closed."""
    book = _book()
    book.take(_second(11, arrivals=3, arrivals_completed=2, arrivals_took_ns=3 * S))
    book.close()
    book.take(_second(20, arrivals_completed=1, arrivals_took_ns=9 * S))

    assert (book.completed, book.took_ns) == (2, 3 * S)


def test_failures_and_latency_add_up_by_endpoint() -> None:
    """Over all seconds of the trial."""
    book = _book()
    book.take(_second(11, by_endpoint={"a": {5: 2}}, failures={"a": 1}))
    book.take(_second(12, by_endpoint={"a": {5: 1}, "b": {7: 3}}, failures={"a": 1, "b": 4}))

    assert book.latency == {"a": {5: 3}, "b": {7: 3}}
    assert book.failures == {"a": 2, "b": 4}


def test_what_was_under_way_before_is_not_taken_for_its_own() -> None:
    """A request that took longer than the trial has lasted began before it."""
    book = _book(carried=2)
    book.take(
        _second(11, arrivals=3, arrivals_completed=5, by_endpoint={"a": {bucket(3 * S): 2, bucket(5 * MS): 3}})
    )

    assert book.latency == {"a": {bucket(5 * MS): 3}}
    assert (book.under_way, book.lost) == (0, 0)


def test_a_second_before_the_gate_opens_only_tells_of_what_was_carried() -> None:
    """Its counts belong to the trial before."""
    book = _book(carried=2)
    book.take(_second(10.1, arrivals_completed=2, failures={"a": 2}))

    assert (book.arrivals, book.under_way, book.failures) == (0, 0, {})


def test_rest_is_told_by_the_process_that_spoke_first() -> None:
    """Of several processes one may have spoken before the gate shut: it may still have begun something."""
    gathering = Gathering()
    gathering.take(0, {"kind": "second", "t_ns": round(11.9 * S)}, (0, 1))
    whole = gathering.take(1, {"kind": "second", "t_ns": round(12.4 * S)}, (0, 1))
    assert whole is not None
    book = _book()
    book.take(whole)

    assert not book.idle


def test_a_second_tells_endpoints_failures_and_health() -> None:
    """Summed over the processes, and the worst of their health; an older child tells none of it."""
    gathering = Gathering()
    first = {
        "t_ns": 1,
        "arrivals_took_ns": 9,
        "latency": {"a": {"5": 2}},
        "failures": {"a": 1},
        "details": {"play": {"startup_s": {"5": 2}}},
        "cpu_fraction": 0.5,
        "slip_p99_ns": None,
    }
    gathering.take(0, first, (0, 1))
    whole = gathering.take(
        1,
        {
            "t_ns": 2,
            "arrivals_took_ns": 4,
            "latency": {"a": {"5": 1}},
            "details": {"play": {"startup_s": {"5": 1, "7": 1}, "stalls_count": {"0": 1}}},
            "cpu_fraction": 0.9,
            "slip_p99_ns": 7,
        },
        (0, 1),
    )

    assert whole is not None
    assert (whole.by_endpoint, whole.failures, whole.latency) == ({"a": {5: 3}}, {"a": 1}, {5: 3})
    assert whole.arrivals_took_ns == 13
    assert whole.details == {"play": {"startup_s": {5: 3, 7: 1}, "stalls_count": {0: 1}}}
    book = Book(begin_ns=0, end_ns=9)
    book.take(whole)
    assert book.details == whole.details
    assert (whole.cpu_fraction, whole.slip_p99_ns, whole.loop_lag_p99_ns, whole.t_least_ns) == (0.9, 7, None, 1)
