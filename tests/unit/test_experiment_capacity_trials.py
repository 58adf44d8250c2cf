"""The capacity search on scripted trials of a queue with two workers, and its validation from a sealed run."""

from __future__ import annotations

import heapq
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import factories
import pytest
from process.scripted_child import settings

from seatrial.compare import budgets, capacity_trial
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.capacity import CapacityResult, CapacityWord, Effort, Validation
from seatrial.compare.capacity_trial import SearchBudgets, TrialCounts
from seatrial.errors import MeasurementInvalid, UsageError
from seatrial.experiment.capacity_trials import CapacitySearch, validation
from seatrial.load.driver import LoadObserver
from seatrial.load.trials import REST_WITHIN_S, TrialSequence
from seatrial.measure.services import Growth
from seatrial.model import Load, LoadSecond, Phase
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.record.seal import seal
from seatrial.units import NS_PER_S
from seatrial.wire.histogram import bucket

SERVICE_S = 0.02
EFFORT = Effort(trial_s=2.0, sum_s=8.0, width=0.06)


@dataclass(kw_only=True)
class Queue:
    """Stands for a sequence of trials on a first-come, first-served stack, with its reports of each second.

    `request_s` is how long the request of a flow takes, by default the whole flow; Ctrl-C comes after
    `interrupted_after` trials.
    """

    cpu_from_per_s: float = float("inf")
    workers: int = 2
    service_s: float = SERVICE_S
    request_s: float | None = None
    interrupted_after: int | None = None
    now_s: float = 100.0
    windows: list[tuple[float, float]] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def clock(self) -> int:
        """Return the time of the script."""
        return round(self.now_s * NS_PER_S)

    def trial(
        self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE, rest_s: float = REST_WITHIN_S
    ) -> TrialCounts:
        """Serve a trial, and return its counts."""
        if len(self.phases) == self.interrupted_after:
            raise KeyboardInterrupt
        self.phases.append(phase)
        begin_s = self.now_s + 0.2
        free = [begin_s] * self.workers
        ended: list[tuple[float, float]] = []
        due = [begin_s + number / rate_per_s for number in range(int(rate_per_s * duration_s))]
        for due_s in due:
            end_s = max(due_s, heapq.heappop(free)) + self.service_s
            heapq.heappush(free, end_s)
            ended.append((end_s, end_s - due_s))
        begin_ns, end_ns = (round(at_s * NS_PER_S) for at_s in (begin_s, begin_s + duration_s))
        counts = TrialCounts(rate_per_s=rate_per_s, begin_ns=begin_ns, end_ns=end_ns)
        while not counts.at_rest:
            counts.take(self._second(due, ended, busy=rate_per_s >= self.cpu_from_per_s))
            if counts.unfinished is None and self.now_s >= begin_s + duration_s + rest_s:
                counts.close()
        return counts

    def window(self, rate_per_s: float, duration_s: float) -> None:
        """Keep the window of the validation."""
        self.windows.append((rate_per_s, duration_s))

    def _second(self, due: list[float], ended: list[tuple[float, float]], *, busy: bool) -> LoadSecond:
        from_s, self.now_s = self.now_s, self.now_s + 1.0
        done = [took_s for end_s, took_s in ended if from_s < end_s <= self.now_s]
        requests = done if self.request_s is None else [self.request_s] * len(done)
        return LoadSecond(
            t_ns=self.clock(),
            t_least_ns=self.clock(),
            in_flight=sum(due_s <= self.now_s for due_s in due) - sum(end_s <= self.now_s for end_s, _ in ended),
            arrivals=sum(from_s < due_s <= self.now_s for due_s in due),
            arrivals_completed=len(done),
            arrivals_took_ns=round(sum(done) * NS_PER_S),
            by_endpoint={"wait": Counter(bucket(round(took_s * NS_PER_S)) for took_s in requests)},
            cpu_fraction=0.99 if busy else 0.1,
            loop_lag_p50_ns=1000,
            loop_lag_p99_ns=1000,
            slip_p99_ns=1000,
        )


@dataclass(kw_only=True)
class Hung(Queue):
    """A stack that answers nothing from a rate on: its arrivals stay under way."""

    from_per_s: float = 64.0
    warms_up: bool = True
    left: int = 0

    def trial(
        self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE, rest_s: float = REST_WITHIN_S
    ) -> TrialCounts:
        """Serve a trial, or hang."""
        counts = super().trial(rate_per_s, duration_s, phase, rest_s)
        if phase is Phase.WARMUP and self.warms_up:
            return counts
        if self.left or rate_per_s >= self.from_per_s:
            counts.carried, counts.unfinished = self.left, counts.arrivals
            counts.seconds = [replace(second, by_endpoint={}, arrivals_completed=0) for second in counts.seconds]
            self.left += counts.arrivals
        return counts


class Players(Queue):
    """Flows that make no request, and report how long each of them waited."""

    def _second(self, due: list[float], ended: list[tuple[float, float]], *, busy: bool) -> LoadSecond:
        second = super()._second(due, ended, busy=busy)
        return replace(second, by_endpoint={}, details={"play": {"wait_s": second.by_endpoint["wait"]}})


def _budgets(*texts: str) -> SearchBudgets:
    return capacity_trial.search_budgets([budgets.parse(text) for text in texts])


def _search(*texts: str, effort: Effort = EFFORT, **changes: Any) -> CapacitySearch:  # noqa: ANN401  (fields of Load)
    load = Load(locustfile=Path("load.py"), users=200, warmup_s=2.0, duration_s=60.0, drain_s=1.0)
    return CapacitySearch(
        "base",
        budgets=_budgets(*(texts or ('p95 of "wait" < 100ms',))),
        effort=effort,
        load=replace(load, **changes),
        progress=Progress(quiet=True),
    )


def _result(search: CapacitySearch, queue: Queue) -> CapacityResult:
    with tempfile.TemporaryDirectory() as folder:
        search.play(cast("TrialSequence", queue), RunFolder(Path(folder)))
    return search.result()


def test_the_capacity_is_found_and_validated_below_the_bound() -> None:
    """100 a second; the warm-up is no trial, and the window, if there is one, is at 0.95 of the lower bound."""
    search, queue = _search(), Queue()

    found = _result(search, queue)

    assert found.lower_per_s == pytest.approx(100, rel=0.08)
    assert queue.phases == [Phase.WARMUP] + [Phase.SETTLE] * len(found.trials)
    assert queue.windows == [(search.validated_per_s, 60.0)]
    assert search.validated_per_s == pytest.approx(0.95 * (found.lower_per_s or 0.0))
    assert found.trials[0].arrivals == 8
    assert all(trial.kept for trial in found.trials if trial.rate_per_s < 95)
    assert found.search_s == pytest.approx(queue.now_s - 103, abs=1.1)
    search, queue = _search(duration_s=0.0), Queue()  # `--validate 0s`
    _result(search, queue)
    assert (queue.windows, search.validated_per_s) == ([], None)


@pytest.mark.parametrize("budget", ["p95 wait_s of play < 100ms", "mean wait_s of play < 60ms"])
def test_the_capacity_by_a_detail_is_found(budget: str) -> None:
    """No request is made; the budget is about what the flows report."""
    result = _result(_search(budget), Players())

    assert result.lower_per_s == pytest.approx(100, rel=0.08)
    assert result.silent == ""


@pytest.mark.parametrize(
    ("budget", "queue", "name", "seen"),
    [
        ("p95 startup_s of play < 1s", Players(), 'p95 startup_s of "play"', "wait_s of play"),
        ('p95 of "pull" < 1s', Queue(), "'pull'", "wait"),
    ],
)
def test_a_budget_without_values_is_refused_after_the_warm_up(
    budget: str, queue: Queue, name: str, seen: str
) -> None:
    """Every rate would keep it."""
    with pytest.raises(UsageError, match=name) as caught:
        _result(_search(budget), queue)

    assert f"in the warm-up: {seen}" in caught.value.seen


def test_the_curve_rises_with_the_rate() -> None:
    """The percentile of the first budget of a latency, from the same trials."""
    found = _result(_search("failures < 1%", 'p99 of "wait" < 100ms'), Queue())
    latency_ns = {trial.rate_per_s: trial.latency_ns for trial in found.trials}

    assert (found.percentile, found.of) == (99, "wait")
    assert latency_ns[4.0] == pytest.approx(0.02 * NS_PER_S, rel=0.02)
    assert (latency_ns[128.0] or 0) > 0.1 * NS_PER_S


def test_a_trial_that_a_busy_generator_broke_is_invalid() -> None:
    """The generator limits the search; a trial that kept its budgets all the same stays valid."""
    found = _result(_search(), Queue(cpu_from_per_s=64.0))

    assert found.word is CapacityWord.GENERATOR_LIMITED
    assert "of what it may" in found.limited_by
    assert found.trials[-1].invalid == found.limited_by
    assert [trial.invalid for trial in found.trials if trial.rate_per_s == 64.0] == [""]
    assert found.lower_per_s == 64.0


def test_a_trial_without_an_arrival_is_invalid() -> None:
    """It must not count as kept."""
    found = _result(_search(effort=replace(EFFORT, first_per_s=0.1)), Queue())

    assert found.trials[0].invalid.startswith("no arrival was due")


@pytest.mark.parametrize(
    ("from_per_s", "word"),
    [(64.0, CapacityWord.NO_BOUNDS), (8.0, CapacityWord.NO_BOUNDS), (4.0, CapacityWord.INVALID)],
)
def test_a_stack_that_hangs_is_no_limit_of_the_generator(from_per_s: float, word: CapacityWord) -> None:
    """Though it invalidates later trials, too."""
    found = _result(_search(duration_s=0.0), Hung(from_per_s=from_per_s))

    assert found.word is word
    assert "arrivals under way from the trial before" in found.limited_by


def test_a_stack_that_does_not_answer_is_refused_after_the_warm_up() -> None:
    """It hangs at the lowest rate already, so its capacity is unknown; no trial is made."""
    search = _search()

    with pytest.raises(MeasurementInvalid, match="does not answer") as caught:
        _result(search, Hung(from_per_s=4.0, warms_up=False))

    assert caught.value.exit_code == 5
    assert "8 arrivals: 0 requests failed, 8 arrivals never came to an end" in caught.value.seen
    assert search.result().trials == ()


def test_a_rate_at_which_flows_pile_up_is_too_high() -> None:
    """Each request takes 20 ms, but a flow 0.7 s: 4 workers serve 5.7 flows a second."""
    search = _search(effort=replace(EFFORT, trial_s=10.0, sum_s=40.0))

    found = _result(search, Queue(workers=4, service_s=0.7, request_s=SERVICE_S))

    assert found.lower_per_s == pytest.approx(4 / 0.7, rel=0.15)
    assert found.flow_s == pytest.approx(0.7, rel=0.01)
    assert {trial.duration_s for trial in found.trials} == {3.5, 10.0}
    assert found.too_high == pytest.approx(0.12, abs=0.02)
    broken = [trial for trial in found.trials if not trial.kept]
    assert any(trial.piled and "arrivals were under way" in trial.text for trial in broken)
    assert all(trial.piled or trial.lost for trial in broken)


def test_trials_that_are_shorter_than_the_flows_are_refused() -> None:
    """No flow could end within its trial; the hint has trials that are long enough."""
    search = _search()

    with pytest.raises(UsageError, match="too short for the flows") as caught:
        _result(search, Queue(workers=100, service_s=3.0, request_s=SERVICE_S))

    assert caught.value.seen == "a flow took 3 s; a trial takes 2 s"
    assert caught.value.hint.startswith("--trial 15s --sum 60s")
    assert search.result().trials == ()


def test_an_interrupted_search_is_saved_with_its_trials(tmp_path: Path) -> None:
    """And with the bounds of its single trials."""
    with pytest.raises(KeyboardInterrupt):
        _search().play(cast("TrialSequence", Queue(interrupted_after=8)), RunFolder(tmp_path))
    found = documents.load_capacity(RunFolder(tmp_path))

    assert found is not None
    assert (found.status, found.word) == ("interrupted", CapacityWord.INTERRUPTED)
    assert (found.lower_per_s, found.upper_per_s) == (64.0, 128.0)
    assert len(found.trials) == 7
    assert found.search_s > 0


def test_a_search_that_is_interrupted_before_its_first_trial_is_saved(tmp_path: Path) -> None:
    """Without bounds; otherwise the run would not look like a search."""

    def spawn(*_: object, **__: object) -> subprocess.Popen[bytes]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _search().run_load(settings(tmp_path), LoadObserver(), spawn=spawn)
    found = documents.load_capacity(RunFolder(tmp_path))

    assert found is not None
    assert (found.word, found.trials) == (CapacityWord.INTERRUPTED, ())
    assert (found.lower_per_s, found.upper_per_s) == (None, None)


CROWDED = {
    "subject": {},
    "environment": {"host": {"cores": 2}},
    "sampler": {"sources": dict.fromkeys(factories.TIERS, "cgroup v2")},
}


def _validation(folder: Path, *texts: str, cpu_fraction: float = 0.3, **changes: Any) -> Validation:  # noqa: ANN401  (fields of RunDocument)
    run = factories.run(folder, [factories.Asked(start_s=index * 0.042) for index in range(1000)], **changes)
    seconds = (factories.second(number, cpu_fraction=cpu_fraction) for number in range(42))
    factories.write_lines(run.streams, "generator", seconds, table="generator")
    host = [one | {"stolen_ns": 0} for one in factories.readings(cores=1.5)]
    factories.write_samples(run.streams, "host", host)
    seal(run, documents.load_document(run))
    return validation(_budgets(*texts), run, 23.0, 30.0)


def test_budgets_and_memory_of_the_window_are_validation(tmp_path: Path) -> None:
    """The registry of this run grows by 0.5 MiB a second."""
    found = _validation(tmp_path, 'p95 of "blob" < 100ms', "peak unreclaimable of registry < 10MiB")
    slopes = {slope.service: slope for slope in found.memory}

    assert [budget.word for budget in found.budgets] == [BudgetWord.KEPT, BudgetWord.BROKEN]
    assert "peak unreclaimable of registry" in found.budgets[1].text
    assert (found.invalid, found.saturated, found.strained) == ("", "", "")
    assert set(slopes) == {"nginx", "registry"}
    assert slopes["nginx"].word is not Growth.GROWING
    assert slopes["registry"].per_s is None or slopes["registry"].per_s == pytest.approx(0.5 * (1 << 20), rel=0.1)


@pytest.mark.parametrize(
    ("texts", "words", "reason"),
    [
        (('p95 of "blob" < 100ms',), [BudgetWord.KEPT], "strained"),
        (('p95 of "blob" < 100ms', "failures < 0.1%"), [BudgetWord.KEPT, BudgetWord.NOT_DECIDED], "strained"),
        (('p95 of "blob" < 5ms',), [BudgetWord.BROKEN], "invalid"),
    ],
)
def test_a_disturbance_invalidates_only_a_broken_budget(
    tmp_path: Path, texts: tuple[str, ...], words: list[BudgetWord], reason: str
) -> None:
    """It can only make latency worse: a budget that was kept beside it would be kept without it, too."""
    busy = _validation(tmp_path / "busy", *texts, cpu_fraction=0.97)
    crowded = _validation(tmp_path / "crowded", *texts, facts=CROWDED)

    for found, text in ((busy, "generator busy"), (crowded, "foreign CPU: other programs used 49.6%")):
        reasons = {"strained": found.strained, "invalid": found.invalid}
        assert [budget.word for budget in found.budgets] == words
        assert text in reasons.pop(reason)
        assert list(reasons.values()) == [""]


def test_without_a_window_there_is_no_validation(tmp_path: Path) -> None:
    """The search was interrupted."""
    found = _validation(tmp_path, 'p95 of "blob" < 100ms', spans=factories.SPANS[:1])

    assert found.invalid == "the window was never opened"
