"""Two real load processes by turns, each on a server of its own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from factories import read_lines
from process.lean_load import LEAN, S, request_starts, serving
from process.lean_load import settings as lean_settings
from process.scripted_child import OBEDIENT, RecordingObserver, Scripted, drive_script, settings
from spawning import spawn

from seatrial.errors import LoadFailed
from seatrial.load.child import LoadSettings
from seatrial.load.driver import LoadObserver, LoadResult, drive
from seatrial.load.slices import Barrier, CalledOff, SliceDriver, Slicing
from seatrial.model import LoadSecond, Phase, Span
from seatrial.wire.rates import Rate

pytestmark = pytest.mark.alone

SLICING = Slicing(order=("a", "b", "b", "a", "a", "b", "b", "a"), warm=2, slice_s=0.5, settle_s=0.1)
ASKING = LEAN.replace("constant(0.02)", "constant(0.005)")


@pytest.fixture
def urls() -> Iterator[tuple[str, str]]:
    """Serve two bytes on each of two free ports."""
    with serving() as one, serving() as other:
        yield one, other


def _loads(
    folder: Path,
    urls: tuple[str, str],
    scripts: tuple[str, ...] = (ASKING, ASKING),
    **load: Any,  # noqa: ANN401  (fields of Load)
) -> dict[str, LoadSettings]:
    load = {"users": 2, "warmup_s": 0.5, "duration_s": 9, **load}
    both = zip("ab", urls, scripts, strict=True)
    return {name: lean_settings(folder / name, url, script, **load) for name, url, script in both}


def _both(
    loads: dict[str, LoadSettings],
    slicing: Slicing = SLICING,
    observers: dict[str, RecordingObserver] | None = None,
) -> dict[str, LoadResult | BaseException]:
    """Drive both loads at once; return the result of each, or its error."""
    barrier = Barrier(slicing, loads)

    def run(name: str) -> LoadResult | BaseException:
        observer = observers[name] if observers else RecordingObserver()
        try:
            driver = partial(SliceDriver, name=name, barrier=barrier)
            return drive(loads[name], observer, spawn=spawn, driver=driver)
        except LoadFailed as error:
            return error
        finally:
            barrier.leave(name)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(loads, pool.map(run, loads), strict=True))


def _in(phase: Phase, spans: tuple[Span, ...], moments: list[int]) -> int:
    held = [one for one in spans if one.phase is phase]
    return sum(any(span.from_ns <= moment < span.until_ns for span in held) for moment in moments)


def test_nothing_of_one_variant_begins_in_the_turn_of_the_other(tmp_path: Path, urls: tuple[str, str]) -> None:
    """Both share one start; what is idle for one is settling or judged for the other."""
    observers = {"a": RecordingObserver(), "b": RecordingObserver()}
    loads = _loads(tmp_path, urls)

    result = _both(loads, observers=observers)

    spans, begun = {}, {}
    for name, one in result.items():
        assert isinstance(one, LoadResult), one
        spans[name], begun[name] = one.spans, request_starts(tmp_path / name)
    assert spans["a"][0].from_ns == spans["b"][0].from_ns
    for name, other in ("ab", "ba"):
        start_ns = spans[name][0].from_ns
        slices = [round((moment - start_ns) // (S // 2)) for moment in begun[name]]
        assert {SLICING.order[number] for number in slices} == {name}
        # the last 10 ms of a turn are idle: a process that loses its core between gate and stamp begins one there
        assert _in(Phase.IDLE, spans[name], begun[name]) <= 2
        assert _in(Phase.WINDOW, spans[name], begun[other]) == 0
        assert _in(Phase.WINDOW, spans[name], begun[name]) > 20
        assert _in(Phase.SETTLE, spans[name], begun[name]) > 5
        assert observers[name].phases[0] == spans[name][:-1]


def test_arrivals_that_wait_when_a_turn_ends_are_given_up_then(tmp_path: Path, urls: tuple[str, str]) -> None:
    """They would be answered seconds later, in the next turn, as latency of the other's time."""
    slow = ASKING.replace(
        '"GET", "/", endpoint="page")', '"GET", "/", endpoint="page")\n            gevent.sleep(0.2)'
    )
    scripts = ("import gevent\n" + slow,) * 2

    result = _both(_loads(tmp_path, urls, scripts, rate=Rate.steady(40.0), users=1))

    for name, one in result.items():
        assert isinstance(one, LoadResult), one
        turns = SLICING.turns(name, one.spans[0].from_ns)
        _, flows = read_lines(tmp_path / name / "flows-0.jsonl")
        dropped = [row for row in flows if row["outcome"] == "dropped"]
        assert len(dropped) > 20
        for row in flows:
            begin, end = next(w for w in turns.windows if w[0] <= row["t_intended_ns"] < w[1])
            assert row["t_start_ns"] < end + 10_000_000 <= begin + S // 2 + 10_000_000


def test_the_other_goes_on_without_a_load_that_fails(tmp_path: Path, urls: tuple[str, str]) -> None:
    """One run is lost, and not the block."""
    result = _both(_loads(tmp_path, urls, ("raise SystemExit('broken')", ASKING)))

    assert isinstance(result["a"], LoadFailed)
    assert isinstance(result["b"], LoadResult)
    assert len(request_starts(tmp_path / "b")) > 20


def test_the_turns_of_a_load_that_dies_are_left_out(tmp_path: Path, urls: tuple[str, str]) -> None:
    """The other has all of its own, one after the other, and the block ends sooner."""
    slicing = replace(SLICING, order=("a", "b") * 10)
    dying = "import os\n" + ASKING.replace("with self.flow", "os._exit(3)\n        with self.flow")

    result = _both(_loads(tmp_path, urls, (dying, ASKING)), slicing)

    assert isinstance(result["a"], LoadFailed)
    assert "exit code 3" in result["a"].what
    other = result["b"]
    assert isinstance(other, LoadResult)
    windows = [one for one in other.spans if one.phase is Phase.WINDOW]
    assert len(windows) == 9
    assert other.spans[-1].from_ns - other.spans[0].from_ns <= 8 * S < len(slicing.order) * S // 2
    begun = request_starts(tmp_path / "b")
    assert all(any(one.from_ns <= moment < one.until_ns for moment in begun) for one in windows)


def test_turns_end_where_it_is_enough(tmp_path: Path) -> None:
    """A rule that stops a run early stops it within a turn; what was to come does not exist."""

    class Stopping(RecordingObserver):
        def enough(self) -> bool:
            return bool(self.seconds)

    driver = partial(SliceDriver, name="a", barrier=Barrier(SLICING, "a"))

    result = drive_script(tmp_path, OBEDIENT, Stopping(), driver=driver)

    assert result.spans[-1].phase is Phase.DRAIN
    assert result.spans[-1].from_ns - result.spans[0].from_ns < 2 * S
    assert all(one.until_ns == next_.from_ns for one, next_ in itertools.pairwise(result.spans))
    assert (tmp_path / "locust.log").read_text() == "drain 0.1\n"


@pytest.mark.parametrize("script", ["send(kind='ready'); await_('stop')", OBEDIENT], ids=["waiting", "loading"])
def test_a_load_that_is_called_off_ends_at_once(tmp_path: Path, script: str) -> None:
    """While it waits for the others, and in the midst of its turns: the child is asked to end, and does."""
    spawned, waiting, started = Scripted(script), script is not OBEDIENT, threading.Event()
    barrier = Barrier(SLICING, "ab" if waiting else "a")

    class CallingOff(LoadObserver):
        def child_started(self, _pid: int) -> None:
            started.set()

        def second(self, _phase: Phase, _second: LoadSecond) -> None:
            barrier.call_off()

    def call_off() -> None:
        started.wait(10)
        if waiting:
            barrier.call_off()

    caller = threading.Thread(target=call_off)
    caller.start()
    driver = partial(SliceDriver, name="a", barrier=barrier)
    with pytest.raises(CalledOff):
        drive(settings(tmp_path), CallingOff(), spawn=spawned, driver=driver)
    caller.join()

    assert spawned.children[0].poll() is not None
