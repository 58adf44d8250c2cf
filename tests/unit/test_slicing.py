"""A block of slices: its turns, the room it needs, and that one variant's failure is its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from seatrial.errors import Interrupted, LoadFailed, StackFailed, UsageError
from seatrial.experiment.slices import (
    BufferedProgress,
    LockedProgress,
    SliceStack,
    bring_up_all,
    run_concurrently,
    run_loads,
    slicing_of_block,
    take_down_early,
)
from seatrial.experiment.trial import Trial
from seatrial.load.slices import Barrier, CalledOff
from seatrial.model import Design, ExperimentPlan, Load
from seatrial.progress import Progress

PLAN = ExperimentPlan(
    command="compare",
    scenario="s",
    question="",
    seed=3,
    blocks=(("base", "other"), ("other", "base")),
    design=Design.SLICES,
    slice_s=2.0,
    settle_s=0.3,
    slices=5,
)


def _load(warmup_s: float) -> Load:
    return Load(locustfile=Path("x.py"), users=1, warmup_s=warmup_s, duration_s=1.0, drain_s=1.0)


def test_the_warm_up_is_covered_by_whole_rounds() -> None:
    """Each variant gets as many turns to warm up as cover it, and as many judged ones as the plan says."""
    one = slicing_of_block(PLAN, 1, _load(5.0))

    assert (one.warm, len(one.order), one.slice_s, one.settle_s) == (6, 16, 2.0, 0.3)
    assert one.order[:6].count("base") == 3
    assert one.order[6:].count("other") == 5


def test_blocks_have_orders_of_their_own_that_the_seed_tells() -> None:
    """The same plan does the same again; another block does not."""
    orders = [slicing_of_block(PLAN, block, _load(10.0)).order for block in (1, 1, 2)]

    assert orders[0] == orders[1] != orders[2]


class _Trial:
    """Stands for a trial: drives `load` once it is up, and says how it is torn down and sealed."""

    def __init__(
        self,
        said: list[str],
        load: Callable[[], None],
        up: BaseException | None = None,
        name: str = "base",
        down: Callable[[], None] = lambda: None,
    ) -> None:
        self.said, self.load, self.up, self.variant, self.down = said, load, up, name, down

    @contextmanager
    def bring_up(self, _experiment: Path, _progress: Progress, **_: object) -> Iterator[_Trial]:
        """Stand up, or fail to."""
        try:
            if self.up is not None:
                raise self.up  # noqa: TRY301  (sealed as what fails in a trial)
            try:
                yield self
            finally:
                self.said.append("down")
                self.down()
        except KeyboardInterrupt as error:
            self.said.append("sealed as interrupted")
            raise Interrupted("stopped") from error
        except BaseException as error:
            self.said.append(f"sealed as failed: {error}")
            raise
        self.said.append("sealed as complete")

    def drive_load(self, progress: Progress, **_: object) -> None:
        """Drive the load."""
        assert isinstance(progress, BufferedProgress)
        self.load()


def _stack(
    said: list[str],
    load: Callable[[], None],
    up: BaseException | None = None,
    *,
    name: str = "base",
    down: Callable[[], None] = lambda: None,
    barrier: Barrier | None = None,
) -> SliceStack:
    barrier = barrier or Barrier(slicing_of_block(PLAN, 1, _load(0.0)), ("base", "other"))
    return SliceStack(cast("Trial", _Trial(said, load, up, name, down)), barrier)


def _up(stack: SliceStack) -> SliceStack:
    stack.bring_up(Path(), Progress(quiet=True), command_ns=1, images_built=True)
    return stack


def _take_down(stacks: Sequence[SliceStack]) -> None:
    run_concurrently([stack.take_down for stack in stacks])


def _nothing() -> None:
    """Drive no load."""


def _fails() -> None:
    raise LoadFailed("no load")


def test_what_ends_well_is_torn_down_and_sealed() -> None:
    """In this order: logs and the last samples belong to the run."""
    said = list[str]()
    stack = _up(_stack(said, _nothing))

    stack.run_load()
    assert stack.is_up
    stack.take_down()

    assert (said, stack.error, stack.is_up) == (["down", "sealed as complete"], None, False)


def test_a_load_that_fails_in_its_thread_fails_its_run_alone() -> None:
    """The error goes through the variant's own contexts, and no further; the others don't wait for it."""
    said, barrier = list[str](), Barrier(slicing_of_block(PLAN, 1, _load(0.0)), ("base", "other"))
    stack = _up(_stack(said, _fails, barrier=barrier))
    barrier.arrive("other")

    stack.run_load()
    assert barrier.start_ns is not None
    stack.take_down()

    assert said == ["down", "sealed as failed: no load"]
    assert isinstance(stack.error, LoadFailed)


def test_a_stack_that_does_not_come_up_is_sealed_at_once() -> None:
    """Its containers must not stand beside those that are measured; it is sealed once."""
    said = list[str]()

    stack = _up(_stack(said, _nothing, up=StackFailed("fell over")))
    stack.take_down()

    assert (said, stack.is_up) == (["sealed as failed: fell over"], False)
    assert isinstance(stack.error, StackFailed)


def test_what_would_end_every_run_is_raised_while_a_stack_comes_up() -> None:
    """Also an interrupt while a variant that failed is torn down: no other one is brought up after it."""
    for error in (UsageError("refused"), Interrupted("stopped")):
        with pytest.raises(type(error)):
            _up(_stack([], _nothing, up=error))


def test_an_interrupt_seals_what_stands_as_interrupted_and_no_run_twice() -> None:
    """What has failed stays failed; what was not brought up yet has nothing to seal."""
    said: dict[str, list[str]] = {"up": [], "failed": [], "not yet": []}
    stacks = [
        _up(_stack(said["up"], _nothing)),
        _up(_stack(said["failed"], _nothing, up=StackFailed("fell over"))),
        _stack(said["not yet"], _nothing),
    ]

    interrupted = take_down_early(stacks, KeyboardInterrupt())

    assert isinstance(interrupted, Interrupted)
    assert said == {
        "up": ["down", "sealed as interrupted"],
        "failed": ["sealed as failed: fell over"],
        "not yet": [],
    }
    assert isinstance(stacks[1].error, StackFailed)


def test_an_interrupt_of_one_run_interrupts_the_others() -> None:
    """It comes while the second stack is brought up: the first one is sealed as the user's own doing, too."""
    said = list[str]()
    first = _up(_stack(said, _nothing))

    take_down_early([first], Interrupted("stopped"))

    assert said == ["down", "sealed as interrupted"]


def test_a_load_that_was_called_off_has_not_failed() -> None:
    """What called it off is why the run ended: Ctrl-C is no error of ours."""

    def called_off() -> None:
        raise CalledOff

    said = list[str]()
    stack = _up(_stack(said, called_off))
    stack.run_load()

    assert isinstance(take_down_early([stack], KeyboardInterrupt()), Interrupted)
    assert said == ["down", "sealed as interrupted"]


def _broken() -> None:
    raise ZeroDivisionError


def test_a_bug_in_a_load_is_not_hidden() -> None:
    """It is no error of ours on purpose: it goes on to where tracebacks are printed."""
    stack = _up(_stack([], _broken))
    stack.run_load()

    with pytest.raises(ZeroDivisionError):
        stack.take_down()


def test_every_variant_is_torn_down_although_one_can_not_be() -> None:
    """Else its containers stay, and its run is never sealed; the error is raised once all are down."""
    said: list[list[str]] = [[], [], []]
    early = partial(take_down_early, why=KeyboardInterrupt())
    for down, word in ((_take_down, "complete"), (early, "interrupted")):
        loads = (_nothing, _broken, _nothing)
        stacks = [_up(_stack(heard, load)) for heard, load in zip(said, loads, strict=True)]
        for stack, heard in zip(stacks, said, strict=True):
            heard.clear()
            stack.run_load()

        with pytest.raises(ZeroDivisionError):
            down(stacks)

        assert said == [
            ["down", f"sealed as {word}"],
            ["down", "sealed as failed: "],
            ["down", f"sealed as {word}"],
        ]


def test_what_makes_every_run_senseless_ends_the_block_for_all() -> None:
    """A locustfile that refuses its options will refuse them in the next block; the others have not failed."""
    barrier = Barrier(slicing_of_block(PLAN, 1, _load(0.0)), ("base", "other"))

    def refuses() -> None:
        raise UsageError("refused")

    def load() -> None:
        for _ in range(1000):
            if barrier.called_off:
                raise CalledOff
            threading.Event().wait(0.01)

    said: dict[str, list[str]] = {"refused": [], "other": []}
    refused = _up(_stack(said["refused"], refuses, barrier=barrier))
    other = _up(_stack(said["other"], load, name="other", barrier=barrier))
    with pytest.raises(UsageError) as caught:
        run_loads([refused, other], barrier, Progress(quiet=True))
    take_down_early([refused, other], caught.value)

    assert barrier.called_off
    assert said == {
        "refused": ["down", "sealed as failed: refused"],
        "other": ["down", "sealed as failed: its block was ended before its end\n  seen:     refused"],
    }
    assert isinstance(other.error, Interrupted)


def test_a_load_that_fails_does_not_call_the_others_off() -> None:
    """It is how this variant's run ended."""
    barrier = Barrier(slicing_of_block(PLAN, 1, _load(0.0)), ("base", "other"))

    run_loads([_up(_stack([], _fails, barrier=barrier))], barrier, Progress(quiet=True))

    assert not barrier.called_off


@pytest.mark.parametrize("at_once", [True, False])
def test_stacks_that_are_built_come_up_at_once(*, at_once: bool) -> None:
    """Each waits here for the other, which those that come one after the other would do in vain."""
    both = threading.Barrier(2)
    broken = []

    def work() -> None:
        try:
            both.wait(10 if at_once else 0)
        except threading.BrokenBarrierError:
            broken.append("alone")

    bring_up_all([work, work], at_once=at_once)

    assert broken == ([] if at_once else ["alone", "alone"])


def test_all_stacks_are_taken_down_at_once() -> None:
    """Each waits here for the other: on two cores that is 1 s for each block."""
    both, said = threading.Barrier(2), list[str]()

    def down() -> None:
        both.wait(10)

    stacks = [_up(_stack(said, _nothing, name=name, down=down)) for name in ("base", "other")]
    _take_down(stacks)

    assert sorted(said) == ["down", "down", "sealed as complete", "sealed as complete"]


def test_an_error_of_one_waits_for_the_end_of_the_others() -> None:
    """What is half up can't be taken down."""
    failed, done = threading.Event(), list[str]()

    def fails() -> None:
        failed.set()
        raise ZeroDivisionError

    def lasts() -> None:
        assert failed.wait(10)
        done.append("up")

    with pytest.raises(ZeroDivisionError):
        run_concurrently([fails, lasts])

    assert done == ["up"]


def test_what_two_threads_say_is_shown_one_after_the_other() -> None:
    """A terminal has one running line: a second one that is begun meanwhile raises."""
    speaking = threading.Barrier(2)

    class Whole(Progress):
        clashed = False

        def live(self, _: str) -> None:
            with suppress(threading.BrokenBarrierError):
                speaking.wait(0.1)
                self.clashed = True

    whole = Whole(quiet=True)
    shared = LockedProgress(whole)

    run_concurrently([lambda: shared.live("a"), lambda: shared.live("b"), lambda: shared.live("c")])

    assert not whole.clashed


def test_ctrl_c_waits_for_what_is_done_at_once() -> None:
    """A stack that is half up in a thread of its own could not be taken down by anybody."""
    done = []

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def lasts() -> None:
        threading.Event().wait(0.2)
        done.append("up")

    with pytest.raises(KeyboardInterrupt):
        run_concurrently([interrupted, lasts])

    assert done == ["up"]


class _Interrupting(SliceStack):
    """Ctrl-C comes when the load of this variant is about to be driven."""

    def __getattribute__(self, name: str) -> object:
        """Interrupt when the load is asked for."""
        if name == "run_load":
            raise KeyboardInterrupt
        return super().__getattribute__(name)


def test_an_interrupt_between_two_loads_calls_the_first_one_off() -> None:
    """A load that is not called off would go on while its stack is torn down."""
    said, ended = list[str](), threading.Event()
    barrier = Barrier(slicing_of_block(PLAN, 1, _load(0.0)), ("base", "other"))

    def load() -> None:
        while not barrier.called_off and not ended.wait(0.01):
            pass
        said.append("called off" if barrier.called_off else "ended by the test")

    first = _up(_stack(said, load, barrier=barrier))
    second = _Interrupting(cast("Trial", _Trial([], _nothing, name="other")), barrier)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_loads([first, second], barrier, Progress(quiet=True))
    finally:
        ended.set()

    assert said == ["called off"]
