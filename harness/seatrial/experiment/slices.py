"""The design `slices`: all variants of a block are up at once, and loaded in turns."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from seatrial.errors import Interrupted, SeatrialError
from seatrial.experiment.blocks import BlockTurn, ExperimentDesign
from seatrial.experiment.run_record import is_outcome
from seatrial.experiment.trial import RunningTrial, Trial
from seatrial.load.driver import drive
from seatrial.load.slices import Barrier, CalledOff, SliceDriver, Slicing
from seatrial.model import ExperimentPlan, Load
from seatrial.progress import Progress, Steps
from seatrial.scenario import plan as plans
from seatrial.stack.processes import shielded

_TICK_S = 0.25
_CALLED_OFF_WITHIN_S = 30.0


class Slices(ExperimentDesign):
    """The design `slices`; a block that was begun is done again with all its variants."""

    def run_block(self, turn: BlockTurn) -> Mapping[str, SeatrialError]:
        """Run the block with all of its variants; return the errors of those that failed.

        Each variant has its own run folder, stack, sampler and load process. One that fails is torn down, and the
        others go on. Images count as built after a block without a failure. All runs are sealed when this returns
        or raises; if it raises, those that had not failed are sealed as interrupted.
        """
        command_ns, names = time.monotonic_ns(), self.plan.blocks[turn.number - 1]
        progress = Steps(self.progress, turn.text("all variants"))
        barrier = Barrier(slicing_of_block(self.plan, turn.number, self.context.request.scenario.load), names)
        stacks = [SliceStack(Trial.prepare(self.context, name, turn.number), barrier) for name in names]
        try:
            self._bring_up(stacks, progress, command_ns)
            if loaded := [stack for stack in stacks if stack.is_up]:
                progress.say(barrier.slicing.text())
                run_loads(loaded, barrier, progress)
            run_concurrently([stack.take_down for stack in stacks])
        except BaseException as error:
            interrupted = take_down_early(stacks, error)
            if isinstance(error, KeyboardInterrupt) and interrupted is not None:
                raise interrupted from error
            raise
        failed = {stack.name: stack.error for stack in stacks if stack.error is not None}
        for variant, failure in failed.items():
            if not is_outcome(failure):
                raise failure
            self.progress.say(f"{turn.text(variant)}: {failure.what}")
        if not failed:
            self.built.update(names)
        return failed

    def _bring_up(self, stacks: Sequence[SliceStack], progress: Progress, command_ns: int) -> None:
        built = all(stack.name in self.built for stack in stacks)
        steps = {stack.name: Steps(progress, stack.name) for stack in stacks}
        work = [
            partial(stack.bring_up, self.experiment, steps[stack.name], command_ns=command_ns, images_built=built)
            for stack in stacks
        ]
        bring_up_all(work, at_once=built)


def slicing_of_block(plan: ExperimentPlan, block: int, load: Load) -> Slicing:
    """Return the slices of a block: as many turns of each variant as cover the warm-up, then those that count."""
    slice_s = plan.slice_s or 1.0
    names, warm = plan.blocks[block - 1], math.ceil(load.warmup_s / slice_s)
    return Slicing(
        order=plans.slice_turns(names, warm + (plan.slices or 1), plan.seed * 1_000_003 + block),
        warm=warm * len(names),
        slice_s=slice_s,
        settle_s=plan.settle_s or 0.0,
        stable=load.stable,
    )


class SliceStack:
    """One variant of a block of slices: its stack, up from `bring_up` to `take_down`, and its load.

    `load_failure` is the error that ended its load, `error` that of its run, once sealed.
    """

    def __init__(self, trial: Trial, barrier: Barrier) -> None:
        self.name = trial.variant
        self.progress = BufferedProgress()
        self.load_failure: BaseException | None = None
        self.error: SeatrialError | None = None
        self._trial = trial
        self._barrier = barrier
        self._running: RunningTrial | None = None
        self._contexts = ExitStack()

    @property
    def is_up(self) -> bool:
        """Whether the stack is up."""
        return self._running is not None

    def bring_up(self, experiment: Path, progress: Progress, *, command_ns: int, images_built: bool) -> None:
        """Bring the stack up, seed and sample it; a failed one is torn down and sealed at once.

        Raises only errors that are no outcome of this variant.
        """
        trial = self._trial.bring_up(
            experiment,
            progress,
            command_ns=command_ns,
            images_built=images_built,
            extra_s=2 * self._barrier.slicing.duration_s,
        )
        try:
            self._running = self._contexts.enter_context(trial)
        except SeatrialError as error:
            self.error = error
            self._barrier.leave(self.name)
            if not is_outcome(error):
                raise

    def run_load(self) -> None:
        """Drive the load in its turns, in a thread of its own; an error is kept in `load_failure`.

        The others go on: this variant has no more turns, and its idle stack stays up until the block ends, because
        its removal would use processors that are measured. An error that is no outcome ends the block.
        """
        if self._running is None:
            return
        in_turns = partial(drive, driver=partial(SliceDriver, name=self.name, barrier=self._barrier))
        try:
            self._running.drive_load(self.progress, run_load=in_turns, description=self._barrier.slicing.text())
        except CalledOff:
            return  # the error that ended the block is raised where it was called off
        except BaseException as error:  # noqa: BLE001  (raised again in the main thread)
            self.load_failure = error
            if not is_outcome(error):
                self._barrier.call_off()
        finally:
            self._barrier.leave(self.name)

    def take_down(self, ended_by: BaseException | None = None) -> None:
        """Tear the stack down, if it is up, and seal its run: with its load's failure, else with `ended_by`.

        `ended_by` is the error that ended the block; without both the run is complete. Raises errors that are
        neither `ended_by` nor a SeatrialError.
        """
        failure, self.load_failure, self._running = self.load_failure or ended_by, None, None
        try:
            with self._contexts:  # empty where nothing is up
                if failure is not None:
                    raise failure  # noqa: TRY301  (through every context of this stack)
        except SeatrialError as error:
            self.error = self.error or error
        except BaseException as error:
            if error is not ended_by:
                raise


def bring_up_all(work: Sequence[Callable[[], None]], *, at_once: bool) -> None:
    """Bring all stacks up: at once, or one after the other, because they may have to build the same images."""
    if at_once:
        run_concurrently(work)
        return
    for bring_up in work:
        bring_up()


def run_loads(stacks: Sequence[SliceStack], barrier: Barrier, progress: Progress) -> None:
    """Drive all loads concurrently, each in a thread; the main thread shows progress and takes Ctrl-C.

    Raises a failure that is no outcome of its variant.
    """
    by_name = {stack.name: stack for stack in stacks}
    threads: list[threading.Thread] = []
    try:
        for stack in stacks:
            thread = threading.Thread(target=stack.run_load, name=f"load of {stack.name}")
            threads.append(thread)
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_TICK_S)
                number, name = barrier.now()
                if name in by_name:
                    where = f"slice {number} of {len(barrier.slicing.order)} · {name}"
                    progress.live(f"{where} · {by_name[name].progress.last}")
    except BaseException:
        barrier.call_off()
        for thread in threads:
            if thread.ident is not None:  # the last one may not have been started
                thread.join(_CALLED_OFF_WITHIN_S)
        raise
    for stack in stacks:
        if stack.load_failure is not None and not is_outcome(stack.load_failure):
            raise stack.load_failure


def take_down_early(stacks: Sequence[SliceStack], why: BaseException) -> Interrupted | None:
    """Take down the stacks that are still up after the error `why`; return the Interrupted of a run, if any."""

    def ended_by() -> BaseException:  # a new one for each stack: each is raised in its own thread
        if isinstance(why, KeyboardInterrupt | Interrupted):
            return KeyboardInterrupt()
        return Interrupted("its block was ended before its end", seen=str(why))

    run_concurrently([partial(stack.take_down, ended_by()) for stack in stacks])
    return next((stack.error for stack in reversed(stacks) if isinstance(stack.error, Interrupted)), None)


def run_concurrently(work: Sequence[Callable[[], None]]) -> None:
    """Do all tasks concurrently, in threads; wait for all, even at Ctrl-C, then raise the first error."""
    errors: list[BaseException] = []

    def do(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001  (raised once no stack is left up)
            errors.append(error)

    threads = [threading.Thread(target=do, args=(task,)) for task in work]
    with shielded():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


class BufferedProgress(Progress):
    """Keeps the newest line of one variant's load, which is shown in its turn."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.last = ""

    def live(self, text: str) -> None:
        """Keep it."""
        self.last = text
