"""What Locust's master sends to its workers: user numbers without doubles, shares of a readable rate."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import gevent
from locust.runners import STATE_RUNNING, MasterRunner

from seatrial.user.distributed import (
    BLOCK,
    SHARE,
    NumberBlocks,
    NumberedPlace,
    ShareSender,
    UserNumbers,
    dispatch_order,
    wall_minus_monotonic_ns,
)
from seatrial.user.options import rate_of

S = 1_000_000_000


class Master:
    """A master with one worker that has two users; keeps the kinds of messages, and counts stops."""

    def __init__(self) -> None:
        self.state = STATE_RUNNING
        self.clients = {"w": SimpleNamespace(id="w", user_count=2)}
        self.sent: list[str] = []
        self.stops = 0

    def send_message(self, kind: str, _data: object, _worker: str) -> None:
        """Keep the kind."""
        self.sent.append(kind)

    def stop(self) -> None:
        """Count it."""
        self.stops += 1


def test_a_bad_rate_ends_the_test_and_not_the_master() -> None:
    """It stops the test once; the next test has its shares."""
    master, options = Master(), SimpleNamespace(arrival_rate="fast")
    shares = ShareSender(cast("MasterRunner", master), lambda: rate_of(options), clock=lambda: 0.0)
    shares.look()
    shares.look()
    gevent.sleep(0)
    assert (master.stops, master.sent) == (1, [])
    options.arrival_rate = "5/s"
    for sent in (1, 2):  # stopped and started again between two looks
        shares.reset()
        shares.look()
        shares.look()
        assert (master.stops, master.sent) == (1, [SHARE] * sent)


def test_users_go_round_the_hosts() -> None:
    """The order of Locust's dispatcher: the first worker of each host, then the second ones."""
    assert dispatch_order(["b_2", "a_9", "a_1", "b_1", "a_5"]) == ["a_1", "b_1", "a_5", "b_2", "a_9"]


def _numbers(places: dict[str, NumberedPlace], processes: dict[str, UserNumbers], count: int) -> list[int]:
    for worker, place in places.items():
        processes[worker].take_place(place)
    return [processes[worker].next() for worker in places for _ in range(count)]


def test_no_two_users_have_one_number() -> None:
    """Two workers, the same again, a third that joins in the middle, and three from the next test on."""
    blocks, processes = NumberBlocks(), {name: UserNumbers(index) for index, name in enumerate("abc")}
    first = _numbers(blocks.places("ab"), processes, 3)
    again = _numbers(blocks.places("ab"), processes, 1)
    joined = processes["c"].next()
    more = _numbers(blocks.places("abc"), processes, 2)
    assert sorted(first + again) == list(range(8))
    assert sorted(more) == list(range(BLOCK, BLOCK + 6))
    assert joined not in (*first, *again, *more)
    assert joined < 2**32


def test_a_process_without_a_master_counts_from_zero() -> None:
    """No place comes."""
    numbers = UserNumbers()
    assert [numbers.next() for _ in range(3)] == [0, 1, 2]


def test_the_clocks_are_compared_by_their_closest_readings() -> None:
    """A process is interrupted for a second in all of its readings but one: that one counts."""
    now_ns = 0
    calls = 0

    def monotonic() -> int:
        nonlocal now_ns, calls
        calls += 1
        now_ns += 10 if calls in (7, 8) else S
        return now_ns

    assert wall_minus_monotonic_ns(lambda: now_ns + 500, monotonic) == 505 - 10
