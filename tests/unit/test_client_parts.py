"""The small parts beside the client: health, mistakes, flows, URLs."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import gevent
import pytest
from gevent import GreenletExit
from locust.exception import StopUser

from seatrial.http import body as bodys
from seatrial.http.body import HashedBody
from seatrial.http.connection import Connection, SocketLike
from seatrial.http.messages import Abandoned, Origin, Response, outcome_of_exception, split_url
from seatrial.http.parser import RequestError
from seatrial.user.arrivals import COUNTS
from seatrial.user.flows import Flow, Parallel, side_by_side
from seatrial.user.health import CpuShare, LoopLag, Seconds, TaskErrors, waited_ns
from seatrial.wire.streams import FLOWS, GENERATOR, Outcome, row_columns


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
    assert CpuShare(clock=lambda: next(wall), cpu=lambda: next(cpu), waited=lambda: 0).take() == 0.25


def test_waiting_for_a_core_is_being_busy() -> None:
    """A process that is never idle is as busy on a core that it has for 70 % of the time."""
    wall, cpu, waited = iter([0, 1_000_000_000]), iter([0, 700_000_000]), iter([100, 290_000_100])
    share = CpuShare(clock=lambda: next(wall), cpu=lambda: next(cpu), waited=lambda: next(waited))
    assert share.take() == 0.99


def test_the_kernel_tells_how_long_a_thread_has_waited() -> None:
    """It never falls; on a kernel that does not tell it stays 0."""
    assert 0 <= waited_ns() <= waited_ns()


def test_each_mistake_is_told_once() -> None:
    """Three exceptions of two kinds: two told, three counted."""
    told: list[str] = []
    mistakes = TaskErrors(lambda row: told.append(row["what"]))
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
    assert tuple(row) == tuple(row_columns(FLOWS))


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
    inner.pass_failure_on()
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


def test_the_first_failure_gives_its_siblings_up() -> None:
    """What ran beside is `aborted`, at once: the run goes on."""
    ended: list[Outcome] = []
    with pytest.raises(LookupError):
        _beside(3, [partial(_waits, ended), partial(_waits, ended), _fails])
    assert ended == [Outcome.ABORTED, Outcome.ABORTED]


def test_a_failure_of_the_block_gives_the_others_up() -> None:
    """Also when the group waits for a free place: nothing is begun after a failure."""
    ended: list[Outcome] = []
    with pytest.raises(LookupError):
        _beside(2, [partial(_waits, ended), _fails, partial(_waits, ended)])
    assert ended == [Outcome.ABORTED]


def test_a_group_within_a_group_is_given_up_with_it() -> None:
    """The reason is handed down."""
    ended: list[Outcome] = []

    inner = partial(_beside, 2, [partial(_waits, ended)])
    with pytest.raises(LookupError):
        _beside(2, [inner, _fails])
    assert ended == [Outcome.ABORTED]


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


def test_work_takes_keywords() -> None:
    """`spawn` hands on what its work takes, by position and by name."""
    seen: list[tuple[str, str]] = []

    def get(path: str, *, endpoint: str) -> None:
        seen.append((path, endpoint))

    with side_by_side(2) as group:
        group.spawn(get, "/a.css", endpoint="asset")
    assert seen == [("/a.css", "asset")]


class _Broken:
    """A socket on which everything fails with one error."""

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
    """A route that goes away is the network's doing; only a close by the peer counts as one."""
    connection = Connection(cast("SocketLike", _Broken(code)))
    with pytest.raises(RequestError) as sending:
        connection.send(b"x", 1.0, 1)
    with pytest.raises(RequestError) as receiving:
        connection.receive(bytearray(1), 1)
    for fault in (sending.value, receiving.value):
        assert (fault.outcome, fault.hung_up) == (outcome, hung_up)


def test_an_error_of_this_machine_is_no_outcome() -> None:
    """ENOMEM is told as what it is."""
    connection = Connection(cast("SocketLike", _Broken(errno.ENOMEM)))
    with pytest.raises(OSError, match="of the kernel"):
        connection.send(b"x", 1.0, 1)


def test_a_peak_of_bodies_leaves_few_buffers() -> None:
    """Twenty large bodies at once, and eight buffers stay."""
    bodies = [HashedBody("sha256:" + "0" * 64) for _ in range(20)]
    for body in bodies:
        body.write(memoryview(b"x"))
    for body in bodies:
        body.release()
        body.release()
    assert len(bodys.BUFFERS.spare) == 8


def test_a_rest_is_no_second() -> None:
    """1 s and 0.6 s tell how well the process did; 0.4 s at the end has its counts alone."""
    stamps = iter([0, 1_000_000_000, 1_600_000_000, 2_000_000_000])
    seconds = Seconds(clock=lambda: next(stamps))
    taken = []
    for completed in (50, 30, 20):
        seconds.requests.completed = completed
        taken.append(seconds.take(4))
    assert [counts["completed"] for counts, _ in taken] == [50, 30, 20]
    assert [row["completed"] for _, row in taken] == [50, 30, 20]
    assert [row["cpu_fraction"] is None for _, row in taken] == [False, False, True]
    assert set(taken[0][1]) == set(row_columns(GENERATOR))
    assert set(taken[2][0]) == {"t_ns", "users", "in_flight", "offered", "completed", "failed", *COUNTS}
    assert {taken[0][1][name] for name in (*COUNTS, "slip_p99_ns")} == {None}
