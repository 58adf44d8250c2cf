"""A block of slices: its order of turns, its stacks and loads, and the failure of one variant."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import experiments
import pytest

from seatrial.errors import Interrupted, LoadFailed, StackFailed, UsageError
from seatrial.experiment import slices
from seatrial.experiment.slices import SliceStack, run_concurrently, run_loads, take_down_early
from seatrial.experiment.trial import Trial
from seatrial.load.slices import Barrier, CalledOff
from seatrial.model import Design, Load
from seatrial.progress import Progress, Steps

BOTH = dict.fromkeys(("base", "other"), experiments.Truth())
PLAN = experiments.planned(BOTH, 2, design=Design.SLICES, slice_s=2.0, settle_s=0.3, slices=5)
QUIET = Progress(quiet=True)


def _load(warmup_s: float) -> Load:
    return Load(locustfile=Path("x.py"), users=1, warmup_s=warmup_s, duration_s=1.0, drain_s=1.0)


def test_the_warm_up_is_covered_by_whole_turns() -> None:
    """Each variant has as many as cover it, and as many judged ones as planned; the order depends on the block."""
    slicing = slices.slicing_of_block(PLAN, 1, _load(5.0))

    assert (slicing.warm, len(slicing.order), slicing.slice_s, slicing.settle_s) == (6, 16, 2.0, 0.3)
    assert slicing.order[:6].count("base") == 3
    assert slicing.order[6:].count("other") == 5
    orders = [slices.slicing_of_block(PLAN, block, _load(10.0)).order for block in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def _nothing() -> None:
    """Drive no load."""


def _raise(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@dataclass
class _Trial:
    """Stands for a trial: drives `load` once it is up; `steps` are what is done with it."""

    load: Callable[[], None] = _nothing
    up: BaseException | None = None
    variant: str = "base"
    down: Callable[[], object] = _nothing
    steps: list[str] = field(default_factory=list)

    @contextmanager
    def bring_up(self, _experiment: Path, _progress: Progress, **_: object) -> Iterator[_Trial]:
        """Come up, or fail to."""
        try:
            if self.up is not None:
                raise self.up  # noqa: TRY301  (sealed like every failure of a trial)
            try:
                yield self
            finally:
                self.steps.append("down")
                self.down()
        except KeyboardInterrupt as error:
            self.steps.append("interrupted")
            raise Interrupted("stopped") from error
        except BaseException as error:
            self.steps.append(f"failed: {error}")
            raise
        self.steps.append("complete")

    def drive_load(self, progress: Progress, **_: object) -> None:
        """Drive the load."""
        assert isinstance(progress, slices.BufferedProgress)
        self.load()


@pytest.fixture
def barrier() -> Barrier:
    """Begin a block of two variants."""
    return Barrier(slices.slicing_of_block(PLAN, 1, _load(0.0)), ("base", "other"))


def _up(trial: _Trial, barrier: Barrier) -> SliceStack:
    stack = SliceStack(cast("Trial", trial), barrier)
    stack.bring_up(Path(), QUIET, command_ns=1, images_built=True)
    return stack


def _take_down(stacks: Sequence[SliceStack]) -> None:
    run_concurrently([stack.take_down for stack in stacks])


def test_a_load_that_fails_fails_its_own_run_only(barrier: Barrier) -> None:
    """The error goes through its own contexts; the others do not wait for it, and are not called off."""
    trial = _Trial(_raise(LoadFailed("no load")))
    stack = _up(trial, barrier)
    barrier.arrive("other")

    run_loads([stack], barrier, QUIET)
    assert barrier.start_ns is not None
    assert not barrier.called_off
    stack.take_down()

    assert trial.steps == ["down", "failed: no load"]
    assert isinstance(stack.error, LoadFailed)


def test_a_stack_that_does_not_come_up_is_sealed_at_once(barrier: Barrier) -> None:
    """Once; its containers must not run beside those that are measured. An error that is no outcome is raised."""
    trial = _Trial(up=StackFailed("fell over"))

    stack = _up(trial, barrier)
    stack.take_down()

    assert (trial.steps, stack.is_up) == (["failed: fell over"], False)
    assert isinstance(stack.error, StackFailed)
    for error in (UsageError("refused"), Interrupted("stopped")):
        with pytest.raises(type(error)):
            _up(_Trial(up=error), barrier)


@pytest.mark.parametrize("why", [KeyboardInterrupt(), Interrupted("stopped")])
def test_an_interrupt_seals_the_stacks_that_are_up(barrier: Barrier, why: BaseException) -> None:
    """A failed one stays failed; a load that was called off is no failure; before `bring_up` there is no run."""
    up, failed, later = _Trial(_raise(CalledOff())), _Trial(up=StackFailed("fell over")), _Trial()
    stacks = [_up(up, barrier), _up(failed, barrier), SliceStack(cast("Trial", later), barrier)]
    stacks[0].run_load()

    assert isinstance(take_down_early(stacks, why), Interrupted)
    assert (up.steps, failed.steps, later.steps) == (["down", "interrupted"], ["failed: fell over"], [])
    assert isinstance(stacks[1].error, StackFailed)


@pytest.mark.parametrize(
    ("take_down", "word"),
    [(_take_down, "complete"), (partial(take_down_early, why=KeyboardInterrupt()), "interrupted")],
)
def test_every_stack_is_taken_down_although_one_raises_a_bug(
    barrier: Barrier, take_down: Callable[[Sequence[SliceStack]], object], word: str
) -> None:
    """Otherwise containers stay and runs are never sealed; the error is raised once all are down."""
    trials = [_Trial(load) for load in (_nothing, _raise(ZeroDivisionError()), _nothing)]
    stacks = [_up(trial, barrier) for trial in trials]
    for stack in stacks:
        stack.run_load()

    with pytest.raises(ZeroDivisionError):
        take_down(stacks)

    assert [trial.steps for trial in trials] == [["down", word], ["down", "failed: "], ["down", word]]


def test_an_error_that_is_no_outcome_ends_the_block_for_all(barrier: Barrier) -> None:
    """A locustfile that refuses its options will do so in the next block; the other loads have not failed."""

    def load() -> None:
        for _ in range(1000):
            if barrier.called_off:
                raise CalledOff
            threading.Event().wait(0.01)

    refusing, other = _Trial(_raise(UsageError("refused"))), _Trial(load, variant="other")
    stacks = [_up(refusing, barrier), _up(other, barrier)]
    with pytest.raises(UsageError) as caught:
        run_loads(stacks, barrier, QUIET)
    take_down_early(stacks, caught.value)

    assert barrier.called_off
    assert refusing.steps == ["down", "failed: refused"]
    assert other.steps == ["down", "failed: its block was ended before its end\n  seen:     refused"]
    assert isinstance(stacks[1].error, Interrupted)


@pytest.mark.parametrize("at_once", [True, False])
def test_stacks_come_up_at_once_unless_images_are_built(*, at_once: bool) -> None:
    """Each waits for the other, in vain if they come up one after the other."""
    both = threading.Barrier(2)

    def work() -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(10 if at_once else 0)

    slices.bring_up_all([work, work], at_once=at_once)

    assert both.broken is not at_once


def test_complete_stacks_are_torn_down_at_once_and_sealed(barrier: Barrier) -> None:
    """Each waits for the other; sealed last, because logs and the last samples belong to the run."""
    both = threading.Barrier(2)
    trials = [_Trial(variant=name, down=lambda: both.wait(10)) for name in ("base", "other")]
    stacks = [_up(trial, barrier) for trial in trials]
    stacks[0].run_load()
    assert stacks[0].is_up

    _take_down(stacks)

    assert [trial.steps for trial in trials] == [["down", "complete"]] * 2
    assert [(stack.error, stack.is_up) for stack in stacks] == [(None, False)] * 2


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("fail", [_raise(ZeroDivisionError()), _interrupt])
def test_errors_and_ctrl_c_wait_for_concurrent_tasks(fail: Callable[[], None]) -> None:
    """A stack that is half up can't be taken down."""
    failed, done = threading.Event(), []

    def fails() -> None:
        failed.set()
        fail()

    def lasts() -> None:
        assert failed.wait(10)
        threading.Event().wait(0.2)
        done.append("up")

    with pytest.raises((ZeroDivisionError, KeyboardInterrupt)):
        run_concurrently([fails, lasts])

    assert done == ["up"]


def test_lines_of_several_threads_are_shown_one_after_the_other() -> None:
    """A terminal has one running line."""
    showing = threading.Barrier(2)

    class Whole(Progress):
        clashed = False

        def live(self, _: str) -> None:
            with suppress(threading.BrokenBarrierError):
                showing.wait(0.1)
                self.clashed = True

    whole = Whole(quiet=True)
    shared = Steps(whole, "all")

    run_concurrently([partial(shared.live, text) for text in "abc"])

    assert not whole.clashed


def test_an_interrupt_between_two_loads_calls_the_first_one_off(barrier: Barrier) -> None:
    """It would go on while its stack is torn down."""
    endings, ended = [], threading.Event()

    def load() -> None:
        while not barrier.called_off and not ended.wait(0.01):
            pass
        endings.append(barrier.called_off)

    class _Interrupting(SliceStack):
        @property
        def run_load(self) -> Callable[[], None]:
            raise KeyboardInterrupt

    first = _up(_Trial(load), barrier)
    second = _Interrupting(cast("Trial", _Trial(variant="other")), barrier)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_loads([first, second], barrier, QUIET)
    finally:
        ended.set()

    assert endings == [True]
