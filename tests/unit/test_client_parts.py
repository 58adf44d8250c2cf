"""The small parts beside the client: gate, health, mistakes, flows, URLs."""

from __future__ import annotations

import gevent
import pytest

from seatrial.user.connection import Origin, split_url
from seatrial.user.flows import Flow
from seatrial.user.gate import Gate
from seatrial.user.health import CpuShare, LoopLag
from seatrial.user.mistakes import Mistakes
from seatrial.user.parallel import side_by_side
from seatrial.user.response import Response
from seatrial.wire.tables import FLOW_FIELDS, Outcome


def test_users_wait_for_the_gates_moment() -> None:
    """A gate that was told its moment lets users in then, not earlier."""
    slept: list[float] = []
    gate = Gate(open_now=False, clock=lambda: 1_000_000_000, sleep=slept.append)
    gate.open_at(1_250_000_000)
    gate.wait()
    assert slept == [0.25]


def test_a_gate_that_was_not_told_keeps_users_waiting() -> None:
    """Without a message from the harness nobody begins."""
    user = gevent.spawn(Gate(open_now=False).wait)
    gevent.sleep(0)
    assert not user.ready()
    user.kill()


def test_in_plain_locust_the_gate_is_open() -> None:
    """Nobody waits."""
    slept: list[float] = []
    Gate(open_now=True, sleep=slept.append).wait()
    assert slept == []


def test_loop_lag_is_the_lateness_of_wakes() -> None:
    """Two wakes in time and one 30 ms late: median 0, 99th percentile 30 ms; then it begins anew."""
    stamps = iter([0, 50_000_000, 0, 50_000_000, 0, 80_000_000])
    lag = LoopLag(clock=lambda: next(stamps), sleep=lambda _: None)
    for _ in range(3):
        lag.tick()
    assert lag.take() == (0, 30_000_000)
    assert lag.take() == (None, None)


def test_cpu_share_is_between_two_calls() -> None:
    """A quarter of a core for a second."""
    wall, cpu = iter([0, 1_000_000_000]), iter([500, 250_000_500])
    assert CpuShare(clock=lambda: next(wall), cpu=lambda: next(cpu)).take() == 0.25


def test_each_mistake_is_told_once() -> None:
    """Three exceptions of two kinds: two told, three counted."""
    told: list[str] = []
    mistakes = Mistakes(lambda row: told.append(row["what"]))
    for error in (KeyError("a"), KeyError("a"), ValueError("b")):
        mistakes.on_user_error(user_instance=None, exception=error, tb=None)
    assert (told, mistakes.count) == (["KeyError: 'a'", "ValueError: b"], 3)


def _ended(outcome: Outcome, bytes_received: int = 10) -> Response:
    response = Response("GET", "page", 0)
    response.outcome, response.bytes_received = outcome, bytes_received
    return response


def _flow(outer: Flow | None = None) -> Flow:
    return Flow(1, "pull", "containerd", 5, user=2, outer=outer)


def test_a_flow_fails_with_its_first_failed_request() -> None:
    """Later failures do not change it; requests and bytes are counted."""
    flow = _flow()
    for outcome in (Outcome.OK, Outcome.DIGEST, Outcome.TIMEOUT):
        flow.ended(_ended(outcome))
    row = flow.row(9)
    assert (row["outcome"], row["requests"], row["bytes_received"]) == ("digest", 3, 30)
    assert tuple(row) == FLOW_FIELDS


def test_the_user_model_has_the_last_word() -> None:
    """`fail` stands above the requests; a word outside the closed set is an error."""
    flow = _flow()
    flow.ended(_ended(Outcome.STATUS))
    flow.fail("aborted")
    assert flow.outcome is Outcome.ABORTED
    with pytest.raises(ValueError, match="sad"):
        flow.fail("sad")


def test_a_failure_reaches_the_flow_around() -> None:
    """The first failure is kept there, too; the counts are not shared."""
    outer = _flow()
    inner = _flow(outer)
    inner.ended(_ended(Outcome.REFUSED))
    inner.tell_outer()
    assert (outer.outcome, outer.requests) == (Outcome.REFUSED, 0)


@pytest.mark.parametrize(
    ("url", "origin", "target", "authority"),
    [
        ("http://h", Origin("http", "h", 80), "/", "h"),
        ("https://H:443/a?b#c", Origin("https", "h", 443), "/a?b", "h"),
        ("http://[::1]:8080/a", Origin("http", "::1", 8080), "/a", "[::1]:8080"),
    ],
)
def test_a_url_is_an_origin_and_a_target(url: str, origin: Origin, target: str, authority: str) -> None:
    """Default ports are left out of the Host header; a fragment is never sent."""
    assert split_url(url) == (origin, target)
    assert origin.authority == authority


def test_no_more_run_side_by_side_than_allowed() -> None:
    """Seven pieces of work, three at a time."""
    now = most = 0

    def work() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        gevent.sleep(0)
        now -= 1

    with side_by_side(3) as group:
        for _ in range(7):
            group.spawn(work)
    assert most == 3


def test_work_ends_with_the_one_who_started_it() -> None:
    """A user that is killed while it waits takes its greenlets along."""
    ended: list[bool] = []

    def work() -> None:
        try:
            gevent.sleep(60)
        finally:
            ended.append(True)

    def user() -> None:
        with side_by_side(2) as group:
            group.spawn(work)
            group.spawn(work)

    greenlet = gevent.spawn(user)
    gevent.sleep(0.01)
    greenlet.kill()
    assert ended == [True, True]
