"""Flows, and work that one user runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import gevent
import pytest
from factories import response
from gevent import GreenletExit
from locust.exception import StopUser

from seatrial.http.messages import Abandoned, outcome_of_exception
from seatrial.user.flows import Flow, Parallel, side_by_side
from seatrial.wire.streams import FLOWS, Outcome, row_columns


def _flow(outer: Flow | None = None) -> Flow:
    return Flow(1, "pull", "containerd", 5, user=2, outer=outer)


def test_a_flow_fails_with_its_first_failed_request() -> None:
    """Later ones do not change it, `fail` does, by a word of the closed set; requests and bytes are counted."""
    flow = _flow()
    for outcome in (Outcome.OK, Outcome.DIGEST, Outcome.TIMEOUT):
        flow.ended(response(outcome=outcome, bytes_received=10))
    row = flow.row(9)
    assert (row["outcome"], row["requests"], row["bytes_received"]) == ("digest", 3, 30)
    assert tuple(row) == tuple(row_columns(FLOWS))
    flow.fail("aborted")
    assert flow.outcome is Outcome.ABORTED
    with pytest.raises(ValueError, match="sad"):
        flow.fail("sad")


def test_a_failure_reaches_the_flow_around() -> None:
    """The outer flow has the first failure, too; the counts are not shared."""
    outer = _flow()
    inner = _flow(outer)
    inner.ended(response(outcome=Outcome.REFUSED))
    inner.pass_failure_on()
    assert (outer.outcome, outer.requests) == (Outcome.REFUSED, 0)


def test_no_more_run_side_by_side_than_allowed() -> None:
    """Seven pieces of work, three at a time, with arguments by position and by name."""
    now = most = 0
    calls: list[tuple[str, str]] = []

    def work(path: str, *, endpoint: str) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        gevent.sleep(0)
        now -= 1
        calls.append((path, endpoint))

    with side_by_side(3) as group:
        for _ in range(7):
            group.spawn(work, "/a.css", endpoint="asset")
    assert (most, calls) == (3, [("/a.css", "asset")] * 7)


def _waits(ended: list[Outcome]) -> None:
    try:
        gevent.sleep(60)
    except BaseException as error:
        ended.append(outcome_of_exception(error))
        raise


def _fails() -> None:
    gevent.sleep(0)
    raise LookupError("this one")


def _beside(limit: int, works: Sequence[Callable[[], object]]) -> None:
    with gevent.Timeout(5), side_by_side(limit) as group:
        for work in works:
            group.spawn(work)


@pytest.mark.parametrize(("limit", "kinds", "count"), [(3, "wwf", 2), (2, "wfw", 1), (2, "gf", 1)])
def test_the_first_failure_gives_the_others_up(limit: int, kinds: str, count: int) -> None:
    """Other work is `aborted` at once, in a group within the group, too; nothing is begun after a failure."""
    ended: list[Outcome] = []
    waits = partial(_waits, ended)
    works: dict[str, Callable[[], object]] = {"w": waits, "f": _fails, "g": partial(_beside, 2, [waits])}
    with pytest.raises(LookupError):
        _beside(limit, [works[kind] for kind in kinds])
    assert ended == [Outcome.ABORTED] * count


def test_the_end_of_the_run_cuts() -> None:
    """A user that is killed while it waits for its greenlets: `cut`, all of them."""
    ended: list[Outcome] = []
    user = gevent.spawn(_beside, 2, [partial(_waits, ended)] * 2)
    gevent.sleep(0.01)
    user.kill()
    assert ended == [Outcome.CUT, Outcome.CUT]
    assert outcome_of_exception(Abandoned()) is Outcome.ABORTED


def test_ctrl_c_beside_a_user_ends_the_user() -> None:
    """Ctrl-C is raised in whichever greenlet runs; until the run is over nothing new is begun."""
    ended: list[Outcome] = []
    group = Parallel(2)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        group._guarded(interrupted)
    with pytest.raises(GreenletExit):
        group.spawn(_waits, ended)
    assert ended == []


def test_a_user_that_begins_nothing_more_lets_the_others_end() -> None:
    """StopUser comes from `flow` when the run ends; what runs beside has the drain time."""
    ended: list[bool] = []

    def finishes() -> None:
        gevent.sleep(0.01)
        ended.append(True)

    def stops() -> None:
        raise StopUser

    with pytest.raises(StopUser):
        _beside(2, [finishes, stops])
    assert ended == [True]
