"""The search on scripted trials: a queue of two workers, seen second by second as the load tells it."""

from __future__ import annotations

import heapq
import subprocess
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from seatrial.compare import budgets, capacity_trial
from seatrial.compare.capacity import CapacityResult, CapacityWord, Effort
from seatrial.compare.capacity_trial import TrialCounts
from seatrial.errors import MeasurementInvalid, UsageError
from seatrial.experiment.capacity_trials import CapacitySearch
from seatrial.load.child import LoadSettings
from seatrial.load.driver import LoadObserver
from seatrial.load.trials import REST_WITHIN_S, TrialSequence
from seatrial.model import Load, LoadSecond, Phase
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.units import NS_PER_S
from seatrial.wire.histogram import bucket

SERVICE_S = 0.02
EFFORT = Effort(trial_s=2.0, sum_s=8.0, width=0.06)


class Queue:
    """Stands for a sequence of trials: the stack serves first come, first served, and reports each second.

    `asked_s` is how long the request of a flow takes, where that is not the whole of it.
    """

    def __init__(
        self,
        *,
        cpu_from_per_s: float = float("inf"),
        workers: int = 2,
        service_s: float = SERVICE_S,
        asked_s: float | None = None,
    ) -> None:
        self.now_s = 100.0
        self.windows: list[tuple[float, float]] = []
        self.phases: list[Phase] = []
        self._workers = workers
        self._service_s = service_s
        self._asked_s = asked_s
        self._cpu_from_per_s = cpu_from_per_s

    def clock(self) -> int:
        """Return the time of the script."""
        return round(self.now_s * NS_PER_S)

    def trial(
        self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE, rest_s: float = REST_WITHIN_S
    ) -> TrialCounts:
        """Serve a trial, and return what the load would have told."""
        self.phases.append(phase)
        begin_s = self.now_s + 0.2
        free = [begin_s] * self._workers
        ended: list[tuple[float, float]] = []
        due = [begin_s + number / rate_per_s for number in range(int(rate_per_s * duration_s))]
        for due_s in due:
            end_s = max(due_s, heapq.heappop(free)) + self._service_s
            heapq.heappush(free, end_s)
            ended.append((end_s, end_s - due_s))
        counts = TrialCounts(
            rate_per_s=rate_per_s,
            begin_ns=round(begin_s * NS_PER_S),
            end_ns=round((begin_s + duration_s) * NS_PER_S),
        )
        while not counts.at_rest:
            counts.take(self._second(due, ended, busy=rate_per_s >= self._cpu_from_per_s))
            if counts.unfinished is None and self.now_s >= begin_s + duration_s + rest_s:
                counts.close()
        return counts

    def window(self, rate_per_s: float, duration_s: float) -> None:
        """Take note of the validation."""
        self.windows.append((rate_per_s, duration_s))

    def _second(self, due: list[float], ended: list[tuple[float, float]], *, busy: bool) -> LoadSecond:
        from_s, self.now_s = self.now_s, self.now_s + 1.0
        done = [took_s for end_s, took_s in ended if from_s < end_s <= self.now_s]
        asked = done if self._asked_s is None else [self._asked_s] * len(done)
        return LoadSecond(
            t_ns=self.clock(),
            t_least_ns=self.clock(),
            in_flight=sum(one <= self.now_s for one in due) - sum(end_s <= self.now_s for end_s, _ in ended),
            arrivals=sum(from_s < one <= self.now_s for one in due),
            arrivals_completed=len(done),
            arrivals_took_ns=round(sum(done) * NS_PER_S),
            by_endpoint={"wait": Counter(bucket(round(took_s * NS_PER_S)) for took_s in asked)},
            cpu_fraction=0.99 if busy else 0.1,
            loop_lag_p50_ns=1000,
            loop_lag_p99_ns=1000,
            slip_p99_ns=1000,
        )


class Hung(Queue):
    """A stack that answers nothing more once it was asked for so many a second: its arrivals stay under way."""

    def __init__(self, from_per_s: float = 64.0, *, warms_up: bool = True) -> None:
        super().__init__()
        self._from_per_s = from_per_s
        self._warms_up = warms_up
        self.left = 0

    def trial(
        self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE, rest_s: float = REST_WITHIN_S
    ) -> TrialCounts:
        """Serve a trial, or keep all that arrives."""
        before = self.left
        counts = super().trial(rate_per_s, duration_s, phase, rest_s)
        if phase is Phase.WARMUP and self._warms_up:
            return counts
        if before or rate_per_s >= self._from_per_s:
            counts.carried, counts.unfinished = before, counts.arrivals
            counts.seconds = [replace(one, by_endpoint={}, arrivals_completed=0) for one in counts.seconds]
            self.left += counts.arrivals
        return counts


class Players(Queue):
    """Flows that make no request, and report how long each of them had to wait."""

    def _second(self, due: list[float], ended: list[tuple[float, float]], *, busy: bool) -> LoadSecond:
        second = super()._second(due, ended, busy=busy)
        return replace(second, by_endpoint={}, details={"play": {"wait_s": second.by_endpoint["wait"]}})


def _search(*texts: str, effort: Effort = EFFORT, **changes: Any) -> CapacitySearch:  # noqa: ANN401  (fields of Load)
    load = Load(locustfile=Path("load.py"), users=200, warmup_s=2.0, duration_s=60.0, drain_s=1.0)
    return CapacitySearch(
        "base",
        budgets=capacity_trial.search_budgets(
            [budgets.parse(text) for text in texts or ('p95 of "wait" < 100ms',)]
        ),
        effort=effort,
        load=replace(load, **changes),
        progress=Progress(quiet=True),
    )


def _played(search: CapacitySearch, queue: Queue) -> CapacityResult:
    with tempfile.TemporaryDirectory() as folder:
        search.play(cast("TrialSequence", queue), RunFolder(Path(folder)))
    return search.result()


def test_the_ceiling_is_found_and_validated_below_the_bound() -> None:
    """100 a second; the warm-up is no trial, and the window is at 0.95 of the lower bound."""
    search, queue = _search(), Queue()

    found = _played(search, queue)

    assert found.lower_per_s == pytest.approx(100, rel=0.08)
    assert queue.phases == [Phase.WARMUP] + [Phase.SETTLE] * len(found.trials)
    assert queue.windows == [(search.validated_per_s, 60.0)]
    assert search.validated_per_s == pytest.approx(0.95 * (found.lower_per_s or 0.0))
    assert found.trials[0].arrivals == 8
    assert all(trial.kept for trial in found.trials if trial.rate_per_s < 95)
    assert found.search_s == pytest.approx(queue.now_s - 103, abs=1.1)


def test_the_ceiling_of_a_detail_is_found() -> None:
    """No request is made; what the flows report is what the rate may not break."""
    for text in ("p95 wait_s of play < 100ms", "mean wait_s of play < 60ms"):
        found = _played(_search(text), Players())
        assert found.lower_per_s == pytest.approx(100, rel=0.08)
        assert found.silent == ""


def test_a_budget_of_a_detail_that_no_flow_reports_is_refused_after_the_warm_up() -> None:
    """Else any rate would keep it."""
    with pytest.raises(UsageError, match='p95 startup_s of "play"') as caught:
        _played(_search("p95 startup_s of play < 1s"), Players())

    assert "in the warm-up: wait_s of play" in caught.value.seen


def test_the_curve_rises_with_the_rate() -> None:
    """The percentile of the first budget of a latency, from the same trials."""
    found = _played(_search("failures < 1%", 'p99 of "wait" < 100ms'), Queue())
    latency_ns = {trial.rate_per_s: trial.latency_ns for trial in found.trials}

    assert (found.percentile, found.of) == (99, "wait")
    assert latency_ns[4.0] == pytest.approx(0.02 * NS_PER_S, rel=0.02)
    assert (latency_ns[128.0] or 0) > 0.1 * NS_PER_S


def test_a_trial_that_the_generator_broke_is_not_the_stacks() -> None:
    """A busy generator is the reason why no higher rate could be tried; what was kept beside it stays kept."""
    found = _played(_search(), Queue(cpu_from_per_s=64.0))

    assert "of what it may" in found.limited_by
    assert found.trials[-1].invalid == found.limited_by
    assert [trial.invalid for trial in found.trials if trial.rate_per_s == 64.0] == [""]
    assert found.lower_per_s == 64.0


def test_a_pool_that_is_too_small_is_not_the_stacks_limit() -> None:
    """Late arrivals tell it; here nobody was late, so the stack is what was slow."""
    assert not any(trial.invalid for trial in _played(_search(users=1), Queue()).trials)


def test_without_validation_there_is_no_window() -> None:
    """`--validate 0s`."""
    search, queue = _search(duration_s=0.0), Queue()

    _played(search, queue)

    assert (queue.windows, search.validated_per_s) == ([], None)


def test_a_budget_of_a_request_that_is_never_made_is_refused_after_the_warm_up() -> None:
    """Else any rate would keep it; a budget of a flow is such a one."""
    with pytest.raises(UsageError, match="'pull'") as caught:
        _played(_search('p95 of "pull" < 1s'), Queue())

    assert "in the warm-up: wait" in caught.value.seen


def test_a_trial_shorter_than_the_gap_between_two_arrivals_says_nothing() -> None:
    """It must not count as kept."""
    found = _played(_search(effort=replace(EFFORT, first_per_s=0.1)), Queue())

    assert found.trials[0].invalid.startswith("no arrival was due")


@pytest.mark.parametrize(
    ("queue", "word", "reason"),
    [
        (Hung(), CapacityWord.NO_BOUNDS, "arrivals under way from the trial before"),
        (Hung(from_per_s=8.0), CapacityWord.NO_BOUNDS, "arrivals under way from the trial before"),
        (Hung(from_per_s=4.0), CapacityWord.INVALID, "arrivals under way from the trial before"),
        (Queue(cpu_from_per_s=64.0), CapacityWord.GENERATOR_LIMITED, "of what it may"),
    ],
)
def test_only_a_strained_generator_is_called_the_limit(queue: Queue, word: CapacityWord, reason: str) -> None:
    """A stack that hangs spoils the trials after it, too; that is the stack's doing."""
    found = _played(_search(duration_s=0.0), queue)

    assert found.word is word
    assert reason in found.limited_by


def test_a_stack_that_answers_nothing_is_no_stack_without_capacity() -> None:
    """It hangs at the lowest rate already: that says nothing of what it carries, and no trial is made."""
    search = _search()

    with pytest.raises(MeasurementInvalid, match="does not answer") as caught:
        _played(search, Hung(from_per_s=4.0, warms_up=False))

    assert caught.value.exit_code == 5
    assert "8 arrivals: 0 requests failed, 8 arrivals never came to an end" in caught.value.seen
    assert search.result().trials == ()


def test_a_rate_that_flows_do_not_keep_up_with_is_too_high() -> None:
    """Each request is answered in 20 ms; but 4 workers need 0.7 s for a flow, and carry 5.7 flows a second."""
    search = _search(effort=replace(EFFORT, trial_s=10.0, sum_s=40.0))

    found = _played(search, Queue(workers=4, service_s=0.7, asked_s=SERVICE_S))

    assert found.lower_per_s == pytest.approx(4 / 0.7, rel=0.15)
    assert found.flow_s == pytest.approx(0.7, rel=0.01)
    assert {trial.duration_s for trial in found.trials} == {3.5, 10.0}
    assert found.too_high == pytest.approx(0.12, abs=0.02)
    broken = [trial for trial in found.trials if not trial.kept]
    assert any(trial.piled and "arrivals were under way" in trial.text for trial in broken)
    assert all(trial.piled or trial.lost for trial in broken)


def test_trials_that_are_shorter_than_the_flows_are_refused() -> None:
    """Nothing of what they begin could end within them; the hint has trials that are long enough."""
    search = _search()

    with pytest.raises(UsageError, match="too short for the flows") as caught:
        _played(search, Queue(workers=100, service_s=3.0, asked_s=SERVICE_S))

    assert caught.value.seen == "a flow took 3 s; a trial takes 2 s"
    assert caught.value.hint.startswith("--trial 15s --sum 60s")
    assert search.result().trials == ()


def test_long_flows_that_nothing_hinders_are_no_backlog() -> None:
    """A hundred workers and 40 arrivals a second of 1 s each: 40 are under way, and that is as it should be."""
    search = _search(effort=replace(EFFORT, trial_s=5.0, sum_s=20.0, most_per_s=40.0))

    found = _played(search, Queue(workers=100, service_s=1.0, asked_s=SERVICE_S))

    assert all(trial.kept for trial in found.trials)
    assert found.lower_per_s == 40.0


class Interrupted(Queue):
    """Ctrl-C is pressed after so many trials, of which the warm-up is the first."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def trial(
        self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE, rest_s: float = REST_WITHIN_S
    ) -> TrialCounts:
        """Serve a trial, or end."""
        if len(self.phases) == self._after:
            raise KeyboardInterrupt
        return super().trial(rate_per_s, duration_s, phase, rest_s)


def test_a_search_that_is_interrupted_leaves_its_trials_and_is_no_result(tmp_path: Path) -> None:
    """With the bounds that its single trials tell."""
    with pytest.raises(KeyboardInterrupt):
        _search().play(cast("TrialSequence", Interrupted(after=8)), RunFolder(tmp_path))
    found = documents.load_capacity(RunFolder(tmp_path))

    assert found is not None
    assert (found.status, found.word) == ("interrupted", CapacityWord.INTERRUPTED)
    assert (found.lower_per_s, found.upper_per_s) == (64.0, 128.0)
    assert len(found.trials) == 7
    assert found.search_s > 0


def test_a_search_that_is_interrupted_before_its_first_trial_says_so(tmp_path: Path) -> None:
    """Of it nothing is known, and it is not taken for a run that never was a search."""

    def spawn(*_: object, **__: object) -> subprocess.Popen[bytes]:
        raise KeyboardInterrupt

    search = _search()
    settings = LoadSettings(
        load=search.load, target="", folder=tmp_path, streams=tmp_path, log=tmp_path / "locust.log", secrets={}
    )
    with pytest.raises(KeyboardInterrupt):
        search.run_load(settings, LoadObserver(), spawn=spawn)
    found = documents.load_capacity(RunFolder(tmp_path))

    assert found is not None
    assert (found.word, found.trials) == (CapacityWord.INTERRUPTED, ())
    assert (found.lower_per_s, found.upper_per_s) == (None, None)
