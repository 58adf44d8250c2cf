"""An experiment that goes on: block by block in the plan's order, with its looks, until it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from seatrial.errors import LoadFailed, SeatrialError, StackFailed
from seatrial.judge import looks
from seatrial.judge.comparison import Comparison
from seatrial.judge.looks import Next
from seatrial.model import ExperimentPlan, Look
from seatrial.record import courses
from seatrial.record.courses import Course, Looked
from seatrial.report.progress import Progress, duration_text

HOPELESS_BLOCKS = 2
"""A base that has failed in so many blocks, and in no other, will not come up in the next one."""

_ENDED = frozenset(one.value for one in Next if one is not Next.GO_ON)
"""What a look has ended, is over: blocks after it would be a second chance for chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is left to do of one block: its number (from 1), how many there are, the variants in their order.

    `left_s` is how long the whole may still take, None while nobody knows.
    """

    number: int
    of: int
    variants: tuple[str, ...]
    left_s: float | None = None

    def text(self, variant: str) -> str:
        """Return where the experiment is, for the line of progress."""
        left = "" if self.left_s is None else f" · {duration_text(self.left_s)} left"
        return f"block {self.number} of {self.of}{left} · {variant}"


class Block(Protocol):
    """Does what is left of a block, and returns what failed, by variant.

    It raises what makes all further blocks senseless: a wrong usage, a full disk, an engine that has gone, Ctrl-C.
    """

    def __call__(self, turn: Turn) -> Mapping[str, SeatrialError]:
        """Do it."""
        ...


class Told(Protocol):
    """What a look is told by weighing; without a comparison there is nothing to decide."""

    @property
    def comparison(self) -> Comparison | None:
        """The comparison, if there is one."""
        ...


Weigh = Callable[[Path, float], Told]
"""Weighs the experiment in a folder at a level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How an experiment ended; `failure` is why its base never came up, or its load never ended well."""

    folder: Path
    plan: ExperimentPlan
    stopped: str
    failure: SeatrialError | None = None


@dataclass(slots=True, kw_only=True)
class Experiment:
    """A planned experiment in its folder; `finished` are the (variant, block) that need not be done again.

    `course` is what became of it before, if it is resumed; `base_failed` the blocks in which its base failed then.
    """

    folder: Path
    plan: ExperimentPlan
    progress: Progress
    finished: Collection[tuple[str, int]] = ()
    course: Course = field(default_factory=lambda: Course(blocks=0))
    base_failed: set[int] = field(default_factory=set)
    clock: Callable[[], float] = time.monotonic
    _origin_s: float = 0.0

    def through(self, block: Block, weigh: Weigh) -> Done:
        """Do every block that is left; stop when a look decides, or where the next one would not fit."""
        if self.course.stopped in _ENDED:
            self.progress.say(f"it had ended before: {self.course.stopped}")
            return Done(folder=self.folder, plan=self.plan, stopped=self.course.stopped)
        self.course = replace(self.course, stopped="")
        self._origin_s = self.clock() - self.course.lasted_s
        for number, names in enumerate(self.plan.blocks, 1):
            left = tuple(name for name in names if (name, number) not in self.finished)
            if left:
                if self._would_not_fit():
                    return self._end(f"the budget of {duration_text(self.plan.time_s or 0)} is used up")
                failure = self._do(block, number, left)
                if failure is not None:
                    return self._end(_hopeless(failure), failure)
            if stopped := self._look(number, weigh):
                return self._end(stopped)
        return self._end(Next.OVER.value)

    def _do(self, block: Block, number: int, left: tuple[str, ...]) -> SeatrialError | None:
        """Do one block; return the base's error if there is no hope for it."""
        turn = Turn(number=number, of=len(self.plan.blocks), variants=left, left_s=self._left_s(number))
        began_s = self.clock()
        try:
            failed = block(turn)
        except BaseException:
            with suppress(SeatrialError):  # what ended the block is the one to tell
                self._keep(lasted_s=self.clock() - self._origin_s)
            raise
        ended_s = self.clock()
        blocks_s = (*self.course.blocks_s, ended_s - began_s)
        self._keep(blocks=number, lasted_s=ended_s - self._origin_s, blocks_s=blocks_s)
        error = failed.get(self.plan.base)
        if not isinstance(error, StackFailed | LoadFailed):
            return None
        self.base_failed.add(number)
        tried = min(HOPELESS_BLOCKS, len(self.plan.blocks))
        return error if number >= tried and self.base_failed >= set(range(1, tried + 1)) else None

    def _would_not_fit(self) -> bool:
        """Tell whether the next block would end after the budget of time; the first one is always begun."""
        spent_s = self.clock() - self._origin_s
        return self.plan.time_s is not None and spent_s + (self._block_s() or 0) > self.plan.time_s

    def _block_s(self) -> float | None:
        """Return how long a block takes: the longest so far, without the first, in which images are built."""
        return max(self.course.blocks_s[1:] or self.course.blocks_s, default=None)

    def _left_s(self, number: int) -> float | None:
        one_s = self._block_s()
        if one_s is None:
            return None
        blocks_s = one_s * (len(self.plan.blocks) - number + 1)
        most_s = self.plan.time_s
        return blocks_s if most_s is None else min(blocks_s, max(most_s - self.course.lasted_s, 0))

    def _look(self, number: int, weigh: Weigh) -> str:
        """Look, if that is planned after this block and was not done; return why to stop, or nothing."""
        due = next((one for one in self.plan.looks if one.blocks == number), None)
        if due is None or number in {one.blocks for one in self.course.looks}:
            return ""
        advice = self._advice(due, weigh(self.folder, due.alpha).comparison)
        looked = Looked(blocks=number, alpha=due.alpha, advice=advice.value)
        self._keep(looks=(*self.course.looks, looked))
        self.progress.say(f"look after block {number}: {advice.value}")
        return "" if advice is Next.GO_ON else advice.value

    def _advice(self, due: Look, comparison: Comparison | None) -> Next:
        most = len(self.plan.blocks)
        if comparison is None:
            return Next.OVER if due.blocks >= most else Next.GO_ON
        return looks.advice(comparison, due.blocks, most)

    def _end(self, stopped: str, failure: SeatrialError | None = None) -> Done:
        self._keep(stopped=stopped)
        return Done(folder=self.folder, plan=self.plan, stopped=stopped, failure=failure)

    def _keep(self, **changes: object) -> None:
        self.course = replace(self.course, **changes)  # type: ignore[arg-type]  # fields of Course
        courses.save(self.folder, self.course)


def _hopeless(failure: SeatrialError) -> str:
    up = isinstance(failure, LoadFailed)
    return "the load of the base never came to its end" if up else "the base never came up"
