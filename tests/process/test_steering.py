"""Commands to a real load while it runs, and one of its processes that is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from process.lean_load import PLAIN, S, ending_spawn, request_starts, serving, settings
from process.scripted_child import RecordingObserver
from spawning import spawn

from seatrial.load.child import LoadSettings
from seatrial.load.driver import LoadCommands, LoadDriver, LoadResult, drive, started
from seatrial.model import LoadSecond, NoteKind, Phase
from seatrial.stack.processes import on_cores
from seatrial.wire.rates import Rate


@pytest.fixture
def url() -> Iterator[str]:
    """Serve two bytes on a free port."""
    with serving() as url:
        yield url


class _Acting(RecordingObserver):
    """Calls `each` with the number of every second of the window; `commands` are those of the load."""

    commands: LoadCommands
    each: Callable[[int], None]

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count()

    def second(self, phase: Phase, second: LoadSecond) -> None:
        """Keep it, and act."""
        super().second(phase, second)
        if phase is Phase.WINDOW:
            self.each(next(self._numbers))


def _drive(
    settings: LoadSettings, observer: _Acting, each: Callable[[int], None] = lambda _second: None
) -> LoadResult:
    with ending_spawn() as kept, started(settings, observer, kept) as (control, process):
        driver = LoadDriver(settings, observer, control, process)
        observer.each, observer.commands = each, driver.commands
        return driver.run()


def _between(moments: list[int], from_ns: int, until_ns: int) -> int:
    return sum(from_ns <= one < until_ns for one in moments)


@pytest.mark.alone
def test_arrivals_follow_a_rate_that_is_changed_while_they_come(tmp_path: Path, url: str) -> None:
    """Ten a second until the change, forty from it on, to the arrival: the change is sent ahead."""
    observer, changed = _Acting(), []

    def each(second: int) -> None:
        if second == 1:
            changed.append(observer.phases[-1][1].from_ns + 2 * S + S // 2)
            observer.commands.set_rate(Rate.steady(40.0), changed[0])

    rate = Rate.steady(10.0)
    result = _drive(settings(tmp_path, url, rate=rate), observer, each)

    begun, window = request_starts(tmp_path), result.spans[1]
    # A user's start follows its arrival by a few milliseconds, so one more or less may fall across an edge.
    assert _between(begun, window.from_ns, changed[0]) == pytest.approx(25, abs=2)
    assert _between(begun, changed[0], window.until_ns) == pytest.approx(60, abs=4)


@pytest.mark.alone
def test_nothing_begins_while_the_gate_is_shut(tmp_path: Path, url: str) -> None:
    """A second without any request, and requests before and after it."""
    observer, shut = _Acting(), []

    def each(second: int) -> None:
        if second == 0:
            shut.append(observer.phases[-1][1].from_ns + 2 * S)
            observer.commands.gate(observer.phases[-1][0].from_ns, shut[0])
        elif second == 2:
            observer.commands.gate(shut[0] + S)

    result = _drive(settings(tmp_path, url, duration_s=5.0), observer, each)

    begun, window = request_starts(tmp_path), result.spans[1]
    opened_ns = shut[0] + S
    assert _between(begun, window.from_ns, shut[0]) > 20
    assert _between(begun, shut[0], opened_ns) == 0
    assert _between(begun, opened_ns, window.until_ns) > 20


@pytest.mark.alone
def test_two_processes_serve_one_schedule(tmp_path: Path, url: str) -> None:
    """Together they make the arrivals of the rate, none twice; each serves about its share."""
    observer = _Acting()
    rate = Rate.steady(40.0)

    result = _drive(settings(tmp_path, url, rate=rate, processes=2), observer)

    window = result.spans[1]
    counts = [_between(request_starts(tmp_path, worker), window.from_ns, window.until_ns) for worker in (0, 1)]
    assert sum(counts) == pytest.approx(160, abs=4)
    assert min(counts) > 40
    assert observer.notes == []


@pytest.mark.alone
def test_a_killed_process_is_noted_and_its_records_stay(tmp_path: Path, url: str) -> None:
    """The run ends in time, although Locust's master waits a minute for a lost worker."""
    observer, killed = _Acting(), []
    rate = Rate.steady(40.0)

    def each(second: int) -> None:
        if second == 1:
            killed.append(_worker_pids(observer.pids[0])[0])
            os.kill(killed[0], signal.SIGKILL)

    result = _drive(settings(tmp_path, url, rate=rate, processes=2, duration_s=5.0), observer, each)

    window, drain = result.spans[1], result.spans[2]
    ((kind, text),) = observer.notes
    assert kind is NoteKind.WORKER_LOST
    assert f"(pid {killed[0]}) was gone" in text
    assert drain.until_ns - drain.from_ns < 8 * S
    counts = sorted(
        _between(request_starts(tmp_path, worker), window.from_ns + 3 * S, window.until_ns) for worker in (0, 1)
    )
    assert counts[0] == 0
    assert counts[1] == pytest.approx(80, abs=8)
    assert min(len(request_starts(tmp_path, worker)) for worker in (0, 1)) > 20


def test_a_plain_locustfile_is_driven(tmp_path: Path, url: str) -> None:
    """Its requests are recorded from Locust's own events, with a note."""
    observer = _Acting()

    result = _drive(settings(tmp_path, url, PLAIN, duration_s=2.0), observer)

    assert [kind for kind, _ in observer.notes] == [NoteKind.LOCUST_EVENTS]
    window = result.spans[1]
    assert _between(request_starts(tmp_path), window.from_ns, window.until_ns) > 20


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_all_processes_of_the_load_run_on_its_core(tmp_path: Path, url: str) -> None:
    """Locust's workers are forked after the affinity was set."""
    observer, seen = _Acting(), set()
    core = max(os.sched_getaffinity(0))

    def each(_second: int) -> None:
        pids = [observer.pids[0], *_worker_pids(observer.pids[0])]
        seen.add(json.dumps([sorted(os.sched_getaffinity(pid)) for pid in pids]))

    observer.each = each
    drive(settings(tmp_path, url, processes=2, duration_s=2.0), observer, spawn=on_cores(spawn, (core,)))

    assert seen == {json.dumps([[core]] * 3)}


def _worker_pids(master: int) -> list[int]:
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    return [int(pid) for pid in children.split()]
