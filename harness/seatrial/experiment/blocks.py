"""The block loop of an experiment: blocks in order, planned looks, time budget; and the design `runs`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from seatrial.analysis.experiment import analyse
from seatrial.analysis.stored_runs import RunCache
from seatrial.compare.comparison import Comparison, Next, next_step
from seatrial.errors import LoadFailed, PreflightFailed, SeatrialError, StackFailed
from seatrial.experiment.resume import ResumableExperiment
from seatrial.experiment.run_record import is_outcome
from seatrial.experiment.trial import RunContext, Trial
from seatrial.model import ExperimentPlan
from seatrial.progress import Progress, Steps, duration_text
from seatrial.record import documents
from seatrial.record.documents import LookTaken
from seatrial.record.folder import RunFolder
from seatrial.units import NS_PER_S

HOPELESS_BLOCKS = 2
"""An experiment ends if its base fails in each of so many blocks, the first ones."""
_HOPELESS: Mapping[type[SeatrialError], str] = {
    LoadFailed: "the load of the base never came to its end",
    PreflightFailed: "the base does not answer what the load's clients rely on",
}
"""Why it ends then, for the failures of a base that did come up."""
_DECIDED = frozenset(advice.value for advice in Next if advice is not Next.GO_ON)
"""An experiment that a look ended is not resumed: more blocks would give chance another try at a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTurn:
    """One block to be done: its number (from 1), how many there are, the variants that are left, in order.

    `left_s` is how long the experiment may still take, None while that is unknown.
    """

    number: int
    of: int
    variants: tuple[str, ...]
    left_s: float | None = None

    def text(self, variant: str) -> str:
        """Return where the experiment is, for the line of progress."""
        left = "" if self.left_s is None else f" · {duration_text(self.left_s)} left"
        return f"block {self.number} of {self.of}{left} · {variant}"


class ExperimentDesign(ABC):
    """How the blocks of an experiment are run, in its folder; `built` are the variants whose images are built."""

    def __init__(self, context: RunContext, experiment: Path, plan: ExperimentPlan, progress: Progress) -> None:
        self.context = context
        self.experiment = experiment
        self.plan = plan
        self.progress = progress
        self.built: set[str] = set()

    @abstractmethod
    def run_block(self, turn: BlockTurn) -> Mapping[str, SeatrialError]:
        """Run what is left of a block; return the errors of the runs that failed, by variant.

        Raises errors that are no outcome of a run (`is_outcome`), and Ctrl-C.
        """


class FreshStacks(ExperimentDesign):
    """The design `runs`: each trial on a fresh stack, one after the other; images are built once per variant."""

    def run_block(self, turn: BlockTurn) -> dict[str, SeatrialError]:
        """Run the trials that are left of a block; the others go on after one that fails."""
        failed: dict[str, SeatrialError] = {}
        for variant in turn.variants:
            began_s = time.monotonic()
            steps = Steps(self.progress, turn.text(variant))
            try:
                folder = self.run_trial(variant, turn.number, steps, images_built=variant in self.built)
            except SeatrialError as error:
                if not is_outcome(error):
                    raise
                failed[variant] = error
                seen = f": {error.seen.splitlines()[0]}" if error.seen else ""
                self.progress.say(f"{turn.text(variant)}: {error.what}{seen}")
                continue
            self.built.add(variant)
            lasted_s, spans = time.monotonic() - began_s, documents.load_document(folder).spans
            idle_s = lasted_s - ((spans[-1].until_ns - spans[0].from_ns) / NS_PER_S if spans else 0.0)
            where = f"block {turn.number} of {turn.of} · {variant}"
            self.progress.say(f"{where}: done in {lasted_s:.1f} s, {idle_s:.1f} s of it no load")
        return failed

    def run_trial(self, variant: str, block: int, progress: Progress, *, images_built: bool) -> RunFolder:
        """Run one trial."""
        command_ns = time.monotonic_ns()
        trial = Trial.prepare(self.context, variant, block)
        return trial.run(self.experiment, progress, command_ns=command_ns, images_built=images_built)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedExperiment:
    """How an experiment ended; `failure` is the error of a base that failed in every block."""

    folder: Path
    plan: ExperimentPlan
    stopped: str
    failure: SeatrialError | None = None


class ExperimentLoop:
    """Runs the blocks that are left of an experiment; with a `cache` no look analyses a run again."""

    def __init__(
        self,
        experiment: ResumableExperiment,
        progress: Progress,
        *,
        cache: RunCache | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = experiment.folder
        self.plan = experiment.plan
        self.progress = progress
        self._finished = experiment.finished
        self._state = experiment.state
        self._base_failed = set(experiment.base_failed)
        self._cache = cache
        self._clock = clock
        self._origin_s = 0.0

    def run(self, design: ExperimentDesign) -> FinishedExperiment:
        """Run every block that is left; stop when a look decides, or before a block that would not fit."""
        if self._state.stopped in _DECIDED:
            self.progress.say(f"it had ended before: {self._state.stopped}")
            return FinishedExperiment(folder=self.folder, plan=self.plan, stopped=self._state.stopped)
        self._state = replace(self._state, stopped="")
        self._origin_s = self._clock() - self._state.lasted_s
        for number, names in enumerate(self.plan.blocks, 1):
            left = tuple(name for name in names if (name, number) not in self._finished)
            if left:
                if self._would_not_fit():
                    return self._end(f"the budget of {duration_text(self.plan.time_s or 0)} is used up")
                failure = self._run_block(design, number, left)
                if failure is not None:
                    return self._end(_HOPELESS.get(type(failure), "the base never came up"), failure)
            if stopped := self._look(number):
                return self._end(stopped)
        return self._end(Next.OVER.value)

    def compare(self, alpha: float) -> Comparison | None:
        """Compare the stored runs at this level; None if there is nothing to compare."""
        return analyse(self.folder, alpha=alpha, cache=self._cache).comparison

    def _run_block(self, design: ExperimentDesign, number: int, left: tuple[str, ...]) -> SeatrialError | None:
        """Run one block; return the base's error if it has failed in all of HOPELESS_BLOCKS."""
        turn = BlockTurn(number=number, of=len(self.plan.blocks), variants=left, left_s=self._left_s(number))
        began_s = self._clock()
        try:
            failed = design.run_block(turn)
        except BaseException:
            with suppress(SeatrialError):  # the error that ended the block is the one to raise
                self._save(lasted_s=self._clock() - self._origin_s)
            raise
        ended_s = self._clock()
        blocks_s = (*self._state.blocks_s, ended_s - began_s)
        self._save(blocks=number, lasted_s=ended_s - self._origin_s, blocks_s=blocks_s)
        error = failed.get(self.plan.base)
        if not isinstance(error, StackFailed | LoadFailed):
            return None
        self._base_failed.add(number)
        tried = min(HOPELESS_BLOCKS, turn.of)
        return error if number >= tried and self._base_failed >= set(range(1, tried + 1)) else None

    def _would_not_fit(self) -> bool:
        """Return whether the next block would end after the time budget; the first one is always begun."""
        spent_s = self._clock() - self._origin_s
        return self.plan.time_s is not None and spent_s + (self._block_s() or 0) > self.plan.time_s

    def _block_s(self) -> float | None:
        """Return the longest time of a block so far, without the first, in which images are built."""
        return max(self._state.blocks_s[1:] or self._state.blocks_s, default=None)

    def _left_s(self, number: int) -> float | None:
        block_s = self._block_s()
        if block_s is None:
            return None
        left_s = block_s * (len(self.plan.blocks) - number + 1)
        budget_s = self.plan.time_s
        return left_s if budget_s is None else min(left_s, max(budget_s - self._state.lasted_s, 0))

    def _look(self, number: int) -> str:
        """Take the look that is planned after this block, if it is due; return why to stop, or nothing."""
        due = next((look for look in self.plan.looks if look.blocks == number), None)
        if due is None or number in {look.blocks for look in self._state.looks}:
            return ""
        comparison, last = self.compare(due.alpha), len(self.plan.blocks)
        if comparison is None:
            advice = Next.OVER if number >= last else Next.GO_ON
        else:
            advice = next_step(comparison, number, last)
        taken = LookTaken(blocks=number, alpha=due.alpha, advice=advice.value)
        self._save(looks=(*self._state.looks, taken))
        self.progress.say(f"look after block {number}: {advice.value}")
        return "" if advice is Next.GO_ON else advice.value

    def _end(self, stopped: str, failure: SeatrialError | None = None) -> FinishedExperiment:
        self._save(stopped=stopped)
        return FinishedExperiment(folder=self.folder, plan=self.plan, stopped=stopped, failure=failure)

    def _save(self, **changes: object) -> None:
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]  # fields of ExperimentProgress
        documents.save_progress(self.folder, self._state)
