"""The search on a stage that is scripted: a queue of two workers, seen second by second as the load tells it."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import factories
import pytest
from spawning import spawn

from seatrial.campaign import capacity as campaigns
from seatrial.campaign.seeking import Seeking
from seatrial.errors import MeasurementInvalid, UsageError
from seatrial.judge import budgets, excess
from seatrial.judge.capacity import Effort
from seatrial.judge.carrying import Carries, Tried, Word
from seatrial.load.book import Book
from seatrial.load.orders import Driven, Hooks, Orders
from seatrial.load.seconds import Second
from seatrial.load.stages import REST_WITHIN_S, Stage
from seatrial.model import Load, Phase, Spawn
from seatrial.record import capacities
from seatrial.record.folder import RunFolder
from seatrial.units import NS_PER_S
from seatrial.wire.buckets import bucket

GIVEN = ("budgets", "effort", "warmup_s", "validate_s", "users", "say")
SERVICE_S = 0.02
EFFORT = Effort(trial_s=2.0, sum_s=8.0, width=0.06)


class Queue:
    """Plays the stage: the stack serves first come, first served, and says each second what it did.

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
    ) -> Book:
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
        book = Book(begin_ns=round(begin_s * NS_PER_S), end_ns=round((begin_s + duration_s) * NS_PER_S))
        while not book.idle:
            book.take(self._second(due, ended, busy=rate_per_s >= self._cpu_from_per_s))
            if not book.closed and self.now_s >= begin_s + duration_s + rest_s:
                book.close()
        return book

    def window(self, rate_per_s: float, duration_s: float) -> None:
        """Take note of the validation."""
        self.windows.append((rate_per_s, duration_s))

    def _second(self, due: list[float], ended: list[tuple[float, float]], *, busy: bool) -> Second:
        from_s, self.now_s = self.now_s, self.now_s + 1.0
        done = [took_s for end_s, took_s in ended if from_s < end_s <= self.now_s]
        asked = done if self._asked_s is None else [self._asked_s] * len(done)
        return Second(
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
    ) -> Book:
        """Serve a trial, or keep all that arrives."""
        before = self.left
        book = super().trial(rate_per_s, duration_s, phase, rest_s)
        if phase is Phase.WARMUP and self._warms_up:
            return book
        if before or rate_per_s >= self._from_per_s:
            book.carried, book.closed, book.left = before, True, book.arrivals
            book.seconds = [replace(one, by_endpoint={}, arrivals_completed=0) for one in book.seconds]
            self.left += book.arrivals
        return book


class Players(Queue):
    """Flows that make no request, and report how long each of them had to wait."""

    def _second(self, due: list[float], ended: list[tuple[float, float]], *, busy: bool) -> Second:
        told = super()._second(due, ended, busy=busy)
        return replace(told, by_endpoint={}, details={"play": {"wait_s": told.by_endpoint["wait"]}})


def _seeking(*texts: str, **changes: Any) -> Seeking:  # noqa: ANN401  (fields of Seeking)
    whole = Seeking(
        budgets=excess.divided([budgets.parse(text) for text in texts or ('p95 of "wait" < 100ms',)]),
        effort=EFFORT,
        warmup_s=2.0,
        validate_s=60.0,
        users=200,
        say=lambda _text: None,
    )
    return replace(whole, **changes)


def _played(seeking: Seeking, queue: Queue) -> list[Tried]:
    seeking.play(cast("Stage", queue))
    return seeking.tried


def test_the_ceiling_is_found_and_validated_below_the_bound() -> None:
    """100 a second; the warm-up is no trial, and the window is at 0.95 of the lower bound."""
    seeking, queue = _seeking(), Queue()

    tried = _played(seeking, queue)

    assert seeking.found is not None
    assert seeking.found.lower_per_s == pytest.approx(100, rel=0.08)
    assert queue.phases == [Phase.WARMUP] + [Phase.SETTLE] * len(tried)
    assert queue.windows == [(seeking.validated_per_s, 60.0)]
    assert seeking.validated_per_s == pytest.approx(0.95 * (seeking.found.lower_per_s or 0.0))
    assert len(tried) == len(seeking.found.trials)
    assert tried[0].arrivals == 8
    assert all(one.kept for one in tried if one.rate_per_s < 95)
    assert seeking.search_s == pytest.approx(queue.now_s - 103, abs=1.1)


def test_the_ceiling_of_a_detail_is_found() -> None:
    """No request is made; what the flows report is what the rate may not break."""
    for text in ("p95 wait_s of play < 100ms", "mean wait_s of play < 60ms"):
        seeking = _seeking(text)
        _played(seeking, Players())
        assert seeking.found is not None
        assert seeking.found.lower_per_s == pytest.approx(100, rel=0.08)
        assert seeking.silent == ""


def test_a_budget_of_a_detail_that_no_flow_reports_is_refused_after_the_warm_up() -> None:
    """Else any rate would keep it."""
    with pytest.raises(UsageError, match='p95 startup_s of "play"') as caught:
        _played(_seeking("p95 startup_s of play < 1s"), Players())

    assert "in the warm-up: wait_s of play" in caught.value.seen


def test_the_curve_rises_with_the_rate() -> None:
    """The percentile of the first budget of a latency, from the same trials."""
    seeking = _seeking("failures < 1%", 'p99 of "wait" < 100ms')

    tried = {one.rate_per_s: one for one in _played(seeking, Queue())}

    assert (seeking.percentile, seeking.of) == (99, "wait")
    assert tried[4.0].latency_ns == pytest.approx(0.02 * NS_PER_S, rel=0.02)
    assert (tried[128.0].latency_ns or 0) > 0.1 * NS_PER_S


def test_a_trial_that_the_generator_broke_is_not_the_stacks() -> None:
    """A busy generator is the reason why no higher rate could be tried; what was kept beside it stays kept."""
    seeking = _seeking()

    tried = _played(seeking, Queue(cpu_from_per_s=64.0))

    assert seeking.found is not None
    assert "of what it may" in seeking.found.limited_by
    assert tried[-1].invalid == seeking.found.limited_by
    assert [one.invalid for one in tried if one.rate_per_s == 64.0] == [""]
    assert seeking.found.lower_per_s == 64.0


def test_a_pool_that_is_too_small_is_not_the_stacks_limit() -> None:
    """Late arrivals tell it; here nobody was late, so the stack is what was slow."""
    assert not any(one.invalid for one in _played(_seeking(users=1), Queue()))


def test_without_validation_there_is_no_window() -> None:
    """`--validate 0s`."""
    queue = Queue()
    seeking = _seeking(validate_s=0.0)

    _played(seeking, queue)

    assert (queue.windows, seeking.validated_per_s) == ([], None)


def test_a_budget_of_a_request_that_is_never_made_is_refused_after_the_warm_up() -> None:
    """Else any rate would keep it; a budget of a flow is such a one."""
    with pytest.raises(UsageError, match="'pull'") as caught:
        _played(_seeking('p95 of "pull" < 1s'), Queue())

    assert "in the warm-up: wait" in caught.value.seen


def test_a_trial_shorter_than_the_gap_between_two_arrivals_says_nothing() -> None:
    """It must not count as kept."""
    seeking = _seeking(effort=replace(EFFORT, first_per_s=0.1))

    tried = _played(seeking, Queue())

    assert tried[0].invalid.startswith("no arrival was due")


@pytest.mark.parametrize(
    ("queue", "word", "reason"),
    [
        (Hung(), Word.NO_BOUNDS, "arrivals under way from the trial before"),
        (Hung(from_per_s=8.0), Word.NO_BOUNDS, "arrivals under way from the trial before"),
        (Hung(from_per_s=4.0), Word.INVALID, "arrivals under way from the trial before"),
        (Queue(cpu_from_per_s=64.0), Word.GENERATOR_LIMITED, "of what it may"),
    ],
)
def test_only_a_strained_generator_is_called_the_limit(
    tmp_path: Path, queue: Queue, word: Word, reason: str
) -> None:
    """A stack that hangs spoils the trials after it, too; that is the stack's doing."""
    seeking = _seeking(validate_s=0.0)
    _played(seeking, queue)

    found = campaigns._found(seeking, factories.run(tmp_path), "base")

    assert found.word is word
    assert reason in found.limited_by


def test_a_stack_that_answers_nothing_is_no_stack_without_capacity() -> None:
    """It hangs at the lowest rate already: that says nothing of what it carries, and no trial is made."""
    seeking = _seeking()

    with pytest.raises(MeasurementInvalid, match="does not answer") as caught:
        _played(seeking, Hung(from_per_s=4.0, warms_up=False))

    assert caught.value.exit_code == 5
    assert "8 arrivals: 0 requests failed, 8 arrivals never came to an end" in caught.value.seen
    assert seeking.tried == []


def test_a_rate_that_flows_do_not_keep_up_with_is_too_high() -> None:
    """Each request is answered in 20 ms; but 4 workers need 0.7 s for a flow, and carry 5.7 flows a second."""
    seeking = _seeking(effort=replace(EFFORT, trial_s=10.0, sum_s=40.0))

    tried = _played(seeking, Queue(workers=4, service_s=0.7, asked_s=SERVICE_S))

    assert seeking.found is not None
    assert seeking.found.lower_per_s == pytest.approx(4 / 0.7, rel=0.15)
    assert seeking.flow_s == pytest.approx(0.7, rel=0.01)
    assert {one.duration_s for one in tried} == {3.5, 10.0}
    assert seeking.too_high == pytest.approx(0.12, abs=0.02)
    broken = [one for one in tried if not one.kept]
    assert any(one.piled and "arrivals were under way" in one.text for one in broken)
    assert all(one.piled or one.lost for one in broken)


def test_trials_that_are_shorter_than_the_flows_are_refused() -> None:
    """Nothing of what they begin could end within them; the hint has trials that are long enough."""
    seeking = _seeking()

    with pytest.raises(UsageError, match="too short for the flows") as caught:
        _played(seeking, Queue(workers=100, service_s=3.0, asked_s=SERVICE_S))

    assert caught.value.seen == "a flow took 3 s; a trial takes 2 s"
    assert caught.value.hint.startswith("--trial 15s --sum 60s")
    assert seeking.tried == []


def test_long_flows_that_nothing_hinders_are_no_backlog() -> None:
    """A hundred workers and 40 arrivals a second of 1 s each: 40 are under way, and that is as it should be."""
    seeking = _seeking(effort=replace(EFFORT, trial_s=5.0, sum_s=20.0, most_per_s=40.0))

    tried = _played(seeking, Queue(workers=100, service_s=1.0, asked_s=SERVICE_S))

    assert all(one.kept for one in tried)
    assert seeking.found is not None
    assert seeking.found.lower_per_s == 40.0


class Interrupted(Queue):
    """Somebody presses Ctrl-C after so many trials, of which the warm-up is the first."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def trial(
        self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE, rest_s: float = REST_WITHIN_S
    ) -> Book:
        """Serve a trial, or end."""
        if len(self.phases) == self._after:
            raise KeyboardInterrupt
        return super().trial(rate_per_s, duration_s, phase, rest_s)


class _OnQueue(Seeking):
    after = 8

    def perform(self, orders: Orders, hooks: Hooks, *, spawn: Spawn) -> Driven:  # noqa: ARG002  (as Seeking)
        self.play(cast("Stage", Interrupted(self.after)))
        return Driven(spans=(), errors=0)


def _interrupted(root: Path, seeking: Seeking) -> Carries:
    """Return what is kept of a search that Ctrl-C ends."""
    orders = Orders(
        load=Load(locustfile=root, users=1, warmup_s=1, duration_s=1, drain_s=1),
        target="",
        folder=root,
        streams=root,
        log=root,
        secrets={},
    )
    hooks = Hooks(started=print, phases=print, second=print)
    with pytest.raises(KeyboardInterrupt):
        campaigns._performed(seeking, "base", orders, hooks, spawn=spawn)
    found = capacities.load(RunFolder(root))
    assert found is not None
    return found


def test_a_search_that_is_interrupted_leaves_its_trials_and_is_no_result(tmp_path: Path) -> None:
    """With the bounds that its single trials tell."""
    whole = _seeking()

    found = _interrupted(tmp_path, _OnQueue(**{name: getattr(whole, name) for name in GIVEN}))

    assert (found.status, found.word) == ("interrupted", Word.INTERRUPTED)
    assert (found.lower_per_s, found.upper_per_s) == (64.0, 128.0)
    assert len(found.trials) == 7
    assert found.search_s > 0


class _InTheWarmUp(_OnQueue):
    after = 0


def test_a_search_that_is_interrupted_in_its_warm_up_says_so(tmp_path: Path) -> None:
    """Of it nothing is known, and it is not taken for a run that never was a search."""
    whole = _seeking()

    found = _interrupted(tmp_path, _InTheWarmUp(**{name: getattr(whole, name) for name in GIVEN}))

    assert (found.word, found.trials) == (Word.INTERRUPTED, ())
    assert (found.lower_per_s, found.upper_per_s) == (None, None)
