"""A block of slices: its turns, the room it needs, and that one variant's failure is its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from seatrial.campaign import room
from seatrial.campaign.manner import Manner
from seatrial.campaign.sides import Kept, OneAtATime, Side, close_all, drive, end_all, together
from seatrial.campaign.slicing import _bring_up, sliced
from seatrial.campaign.trial import TrialRun
from seatrial.errors import Interrupted, LoadFailed, StackFailed, UsageError
from seatrial.load.meeting import Meeting
from seatrial.load.turning import CalledOff
from seatrial.model import Design, EngineName, ExperimentPlan, Load
from seatrial.report.progress import Progress
from seatrial.scenario import reading
from seatrial.scenario.design import SERVICE_BYTES
from seatrial.stack.engine import Choice

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
    one = sliced(PLAN, 1, _load(5.0))

    assert (one.warm, len(one.order), one.slice_s, one.settle_s) == (6, 16, 2.0, 0.3)
    assert one.order[:6].count("base") == 3
    assert one.order[6:].count("other") == 5


def test_blocks_have_orders_of_their_own_that_the_seed_tells() -> None:
    """The same plan does the same again; another block does not."""
    orders = [sliced(PLAN, block, _load(10.0)).order for block in (1, 1, 2)]

    assert orders[0] == orders[1] != orders[2]


class _Trial:
    """Stands for a trial: `ready` gives its load, and says when it is torn down."""

    def __init__(self, said: list[str], load: Callable[[], None], up: BaseException | None = None) -> None:
        self.said, self.load, self.up = said, load, up

    @contextmanager
    def ready(self, live: object) -> Iterator[Callable[[], None]]:
        """Stand up, or fail to."""
        assert isinstance(live, Kept)
        if self.up is not None:
            raise self.up
        try:
            yield self.load
        finally:
            self.said.append("down")


def _opening(said: list[str], trial: _Trial) -> Any:  # noqa: ANN401  (a context, as `running.opened` gives it)
    @contextmanager
    def opened(_: Manner) -> Iterator[TrialRun]:
        try:
            yield cast("TrialRun", trial)
        except KeyboardInterrupt as error:
            said.append("sealed as interrupted")
            raise Interrupted("stopped") from error
        except BaseException as error:
            said.append(f"sealed as failed: {error}")
            raise
        said.append("sealed as complete")

    return opened


def _side(name: str = "base") -> Side:
    return Side(name=name, meeting=Meeting(sliced(PLAN, 1, _load(0.0)), ("base", "other")), kept=Kept())


def _nothing() -> None:
    """Drive no load."""


def _fails() -> None:
    raise LoadFailed("no load")


def test_what_ends_well_is_torn_down_and_sealed() -> None:
    """In this order: logs and the last samples belong to the run."""
    side, said = _side(), list[str]()

    side.bring_up(_opening(said, _Trial(said, _nothing)))
    side.drive()
    side.close()

    assert (said, side.error) == (["down", "sealed as complete"], None)


def test_a_load_that_fails_in_its_thread_fails_its_run_alone() -> None:
    """The error goes through the variant's own contexts, and no further; the others don't wait for it."""
    side, said = _side(), list[str]()
    side.bring_up(_opening(said, _Trial(said, _fails)))
    side.meeting.arrive("other")

    side.drive()
    assert side.meeting.start_ns is not None
    side.close()

    assert said == ["down", "sealed as failed: no load"]
    assert isinstance(side.error, LoadFailed)


def test_a_stack_that_does_not_come_up_is_sealed_at_once() -> None:
    """Its containers must not stand beside those that are measured."""
    side, said = _side(), list[str]()

    side.bring_up(_opening(said, _Trial(said, _nothing, up=StackFailed("fell over"))))

    assert (said, side.stands) == (["sealed as failed: fell over"], False)
    assert isinstance(side.error, StackFailed)


def test_an_interrupt_seals_what_stands_as_interrupted_and_no_run_twice() -> None:
    """What has failed stays failed; who was not brought up yet has nothing to seal."""
    said: dict[str, list[str]] = {"up": [], "failed": [], "not yet": []}
    sides = {name: _side(name) for name in said}
    sides["up"].bring_up(_opening(said["up"], _Trial(said["up"], _nothing)))
    sides["failed"].bring_up(
        _opening(said["failed"], _Trial(said["failed"], _nothing, up=StackFailed("fell over")))
    )

    told = end_all(list(sides.values()), KeyboardInterrupt())

    assert isinstance(told, Interrupted)
    assert said == {
        "up": ["down", "sealed as interrupted"],
        "failed": ["sealed as failed: fell over"],
        "not yet": [],
    }


def test_an_interrupt_while_a_variant_that_failed_is_torn_down_ends_the_block() -> None:
    """No other variant is brought up after it."""
    side, said = _side(), list[str]()

    @contextmanager
    def opened(_: Manner) -> Iterator[TrialRun]:
        try:
            yield cast("TrialRun", _Trial(said, _nothing, up=StackFailed("fell over")))
        except StackFailed as error:
            raise Interrupted("stopped") from error  # as `sealed` does for a KeyboardInterrupt of `shielded`

    with pytest.raises(Interrupted):
        side.bring_up(opened)


def test_an_interrupt_keeps_what_its_variant_was_torn_down_for() -> None:
    """The failure is the interrupt's cause, by which the run is sealed."""
    interrupt, seen = KeyboardInterrupt(), list[BaseException]()

    @contextmanager
    def opened(_: Manner) -> Iterator[TrialRun]:
        try:
            yield cast("TrialRun", _Trial([], _nothing, up=interrupt))
        except KeyboardInterrupt as error:
            seen.append(error)
            raise Interrupted("stopped") from error

    side = _side()
    with pytest.raises(KeyboardInterrupt):
        side.bring_up(opened)

    assert isinstance(end_all([side], interrupt), Interrupted)
    assert seen == [interrupt]


def test_a_load_that_was_called_off_has_not_failed() -> None:
    """What called it off is why the run ended: Ctrl-C is no error of ours."""

    def called_off() -> None:
        raise CalledOff

    side, said = _side(), list[str]()
    side.bring_up(_opening(said, _Trial(said, called_off)))
    side.drive()

    assert isinstance(end_all([side], KeyboardInterrupt()), Interrupted)
    assert said == ["down", "sealed as interrupted"]


def test_a_bug_in_a_load_is_not_hidden() -> None:
    """It is no error of ours on purpose: it goes on to whoever prints tracebacks."""

    def broken() -> None:
        raise ZeroDivisionError

    side, said = _side(), list[str]()
    side.bring_up(_opening(said, _Trial(said, broken)))
    side.drive()

    with pytest.raises(ZeroDivisionError):
        side.close()


def test_every_variant_is_torn_down_although_one_can_not_be() -> None:
    """Else its containers stay, and its run is never sealed; the error is told once all are closed."""

    def broken() -> None:
        raise ZeroDivisionError

    said: list[list[str]] = [[], [], []]
    ended = partial(end_all, why=KeyboardInterrupt())
    for close, word in ((close_all, "complete"), (ended, "interrupted")):
        sides = [_side() for _ in said]
        for side, heard, load in zip(sides, said, (_nothing, broken, _nothing), strict=True):
            heard.clear()
            side.bring_up(_opening(heard, _Trial(heard, load)))
            side.drive()

        with pytest.raises(ZeroDivisionError):
            close(sides)

        assert said == [
            ["down", f"sealed as {word}"],
            ["down", "sealed as failed: "],
            ["down", f"sealed as {word}"],
        ]


def test_what_makes_every_run_senseless_ends_the_block_for_all() -> None:
    """A locustfile that refuses its options will refuse them in the next block; the others have not failed."""

    def refuses() -> None:
        raise UsageError("refused")

    refused, other = _side(), _side("other")
    other.meeting = refused.meeting

    def load() -> None:
        for _ in range(1000):
            if other.meeting.called_off:
                raise CalledOff
            threading.Event().wait(0.01)

    said: dict[str, list[str]] = {"refused": [], "other": []}
    refused.bring_up(_opening(said["refused"], _Trial(said["refused"], refuses)))
    other.bring_up(_opening(said["other"], _Trial(said["other"], load)))
    with pytest.raises(UsageError) as caught:
        drive([refused, other], refused.meeting, Progress(quiet=True))
    end_all([refused, other], caught.value)

    assert other.meeting.called_off
    assert said == {
        "refused": ["down", "sealed as failed: refused"],
        "other": ["down", "sealed as failed: its block was ended before its end\n  seen:     refused"],
    }
    assert isinstance(other.error, Interrupted)


def test_a_load_that_fails_does_not_call_the_others_off() -> None:
    """It is how this variant's run ended."""
    side, said = _side(), list[str]()
    side.bring_up(_opening(said, _Trial(said, _fails)))

    drive([side], side.meeting, Progress(quiet=True))

    assert not side.meeting.called_off


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

    _bring_up([work, work], at_once=at_once)

    assert broken == ([] if at_once else ["alone", "alone"])


def test_all_stacks_are_taken_down_at_once() -> None:
    """Each waits here for the other: on two cores that is 1 s for each block."""
    both, said = threading.Barrier(2), list[str]()

    class Down(_Trial):
        @contextmanager
        def ready(self, live: object) -> Iterator[Callable[[], None]]:
            with super().ready(live) as load:
                yield load
            both.wait(10)

    sides = [_side("base"), _side("other")]
    for side in sides:
        side.bring_up(_opening(said, Down(said, _nothing)))

    close_all(sides)

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
        together([fails, lasts])

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
    shared = OneAtATime(whole)

    together([lambda: shared.live("a"), lambda: shared.live("b"), lambda: shared.live("c")])

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
        together([interrupted, lasts])

    assert done == ["up"]


class _Interrupting(Side):
    """Ctrl-C comes when the load of this variant is about to be driven."""

    def drive(self) -> None:
        """Stand for a load."""

    def __getattribute__(self, name: str) -> object:
        """Interrupt whoever asks for the load."""
        if name == "drive":
            raise KeyboardInterrupt
        return super().__getattribute__(name)


def test_an_interrupt_between_two_loads_calls_the_first_one_off() -> None:
    """A load that nobody calls off would go on while its stack is torn down."""
    first, said, ended = _side(), list[str](), threading.Event()

    def load() -> None:
        while not first.meeting.called_off and not ended.wait(0.01):
            pass
        said.append("called off" if first.meeting.called_off else "ended by the test")

    first.bring_up(_opening(said, _Trial(said, load)))
    second = _Interrupting(name="other", meeting=first.meeting, kept=Kept())
    try:
        with pytest.raises(KeyboardInterrupt):
            drive([first, second], first.meeting, Progress(quiet=True))
    finally:
        ended.set()

    assert said == ["called off"]


def test_the_room_is_what_the_host_and_the_compose_file_say(tmp_path: Path) -> None:
    """The shipped stack has two services without a limit; a host without the line knows nothing."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    scenario = reading.read("known-cpu")

    found = room.memory(scenario, ("base", "plus5"), meminfo=meminfo)

    assert found.available_bytes == 2 << 20
    assert found.stacks_bytes == {"base": 2 * SERVICE_BYTES, "plus5": 2 * SERVICE_BYTES}
    assert room.memory(scenario, (), meminfo=tmp_path / "none").available_bytes is None


def test_only_containers_without_a_fixed_port_can_be_up_together() -> None:
    """Two stacks can't publish one port; the embedded engine has one stack at a time."""
    compose, local = (Choice(engine=one, reason="") for one in (EngineName.COMPOSE, EngineName.LOCAL))

    assert room.hindrance(compose, 0) == ""
    assert "port 5000" in room.hindrance(compose, 5000)
    assert "local" in room.hindrance(local, 0)
