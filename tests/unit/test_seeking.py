"""The search on a stage that is scripted: a queue of two workers, seen second by second as the load tells it."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import factories
import pytest

from seatrial.campaign import capacity as campaigns
from seatrial.campaign.seeking import Seeking
from seatrial.errors import UsageError
from seatrial.judge import budgets, excess
from seatrial.judge.capacity import Effort
from seatrial.judge.carrying import Tried, Word
from seatrial.load.book import Book
from seatrial.load.seconds import Second
from seatrial.load.stages import Stage
from seatrial.model import Phase
from seatrial.units import NS_PER_S
from seatrial.wire.buckets import bucket

SERVICE_S = 0.02
EFFORT = Effort(trial_s=2.0, sum_s=8.0, width=0.06)


class Queue:
    """Plays the stage: the stack serves first come, first served, and says each second what it did."""

    def __init__(self, *, cpu_from_per_s: float = float("inf"), workers: int = 2) -> None:
        self.now_s = 100.0
        self.windows: list[tuple[float, float]] = []
        self.phases: list[Phase] = []
        self._workers = workers
        self._cpu_from_per_s = cpu_from_per_s

    def clock(self) -> int:
        """Return the time of the script."""
        return round(self.now_s * NS_PER_S)

    def trial(self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE) -> Book:
        """Serve a trial, and return what the load would have told."""
        self.phases.append(phase)
        begin_s = self.now_s + 0.2
        free = [begin_s] * self._workers
        ended: list[tuple[float, float]] = []
        due = [begin_s + number / rate_per_s for number in range(int(rate_per_s * duration_s))]
        for due_s in due:
            end_s = max(due_s, heapq.heappop(free)) + SERVICE_S
            heapq.heappush(free, end_s)
            ended.append((end_s, end_s - due_s))
        book = Book(begin_ns=round(begin_s * NS_PER_S), end_ns=round((begin_s + duration_s) * NS_PER_S))
        while not book.idle:
            book.take(self._second(due, ended, busy=rate_per_s >= self._cpu_from_per_s))
        return book

    def window(self, rate_per_s: float, duration_s: float) -> None:
        """Take note of the validation."""
        self.windows.append((rate_per_s, duration_s))

    def _second(self, due: list[float], ended: list[tuple[float, float]], *, busy: bool) -> Second:
        from_s, self.now_s = self.now_s, self.now_s + 1.0
        done = [took_s for end_s, took_s in ended if from_s < end_s <= self.now_s]
        return Second(
            t_ns=self.clock(),
            t_least_ns=self.clock(),
            in_flight=sum(one <= self.now_s for one in due) - sum(end_s <= self.now_s for end_s, _ in ended),
            arrivals=sum(from_s < one <= self.now_s for one in due),
            arrivals_completed=len(done),
            by_endpoint={"wait": Counter(bucket(round(took_s * NS_PER_S)) for took_s in done)},
            cpu_fraction=0.99 if busy else 0.1,
            loop_lag_p50_ns=1000,
            loop_lag_p99_ns=1000,
            slip_p99_ns=1000,
        )


class Hung(Queue):
    """A stack that answers nothing more once it was asked for 64 a second: its arrivals stay under way."""

    def trial(self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE) -> Book:
        """Serve a trial, or keep all that arrives."""
        before = self.left
        book = super().trial(rate_per_s, duration_s, phase)
        if before or rate_per_s >= 64:
            book.carried, book.closed, book.left = before, True, book.arrivals
            self.left += book.arrivals
        return book

    left = 0


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
