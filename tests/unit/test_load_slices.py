"""Whose turn it is in the design `slices`, and the phases of one variant's load."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from process.scripted_child import RecordingObserver, settings

from seatrial.load.driver import Warmup
from seatrial.load.slices import GAP_NS, Barrier, SliceDriver, Slicing, with_drain
from seatrial.model import LoadSecond, NoteKind, Phase
from seatrial.record.tables import PHASES, phase_codes
from seatrial.scenario import plan
from seatrial.wire.histogram import bucket

S = 1_000_000_000
ROUNDS, WARM = 25, 20
SLICING = Slicing(order=("a", "b", "b", "a", "a", "b"), warm=2, slice_s=1.0, settle_s=0.25)


def _barrier(slicing: Slicing, clock: Callable[[], int]) -> Barrier:
    """Return a barrier at which all loads have arrived."""
    barrier = Barrier(slicing, set(slicing.order), clock=clock)
    for name in sorted(set(slicing.order)):
        barrier.arrive(name)
    return barrier


def test_a_turn_settles_and_is_judged_and_all_before_the_first_is_warm_up() -> None:
    """Each turn settles first, so that all turns are alike."""
    spans = SLICING.turns("a", 100 * S).spans()

    shut = S - GAP_NS
    assert [(span.phase, span.from_ns - 100 * S, span.until_ns - 100 * S) for span in spans] == [
        (Phase.WARMUP, 0, 3 * S),
        (Phase.SETTLE, 3 * S, 3 * S + S // 4),
        (Phase.WINDOW, 3 * S + S // 4, 3 * S + shut),
        (Phase.IDLE, 3 * S + shut, 4 * S),
        (Phase.SETTLE, 4 * S, 4 * S + S // 4),
        (Phase.WINDOW, 4 * S + S // 4, 4 * S + shut),
        (Phase.IDLE, 4 * S + shut, 6 * S),
    ]


@given(
    st.integers(1, 4), st.integers(0, 3), st.integers(1, 6), st.floats(0.1, 3), st.floats(0, 0.9), st.integers(0)
)
def test_phases_leave_no_gap_and_are_never_the_window_of_two(
    variants: int, warm: int, count: int, slice_s: float, settled: float, seed: int
) -> None:
    """Every moment has one phase, every variant as many windows, and no two of them at once."""
    names = tuple("abcd"[:variants])
    turns = plan.slice_turns(names, warm + count, seed)
    slicing = Slicing(order=turns, warm=warm * variants, slice_s=slice_s, settle_s=settled * slice_s)
    windows = []
    for name in names:
        own = slicing.turns(name, 7 * S)
        spans = own.spans()
        assert (spans[0].from_ns, spans[-1].until_ns) == (own.start_ns, own.end_ns)
        assert all(one.until_ns == next_.from_ns for one, next_ in itertools.pairwise(spans))
        judged = [(span.from_ns, span.until_ns) for span in spans if span.phase is Phase.WINDOW]
        assert len(judged) in {0, count}  # none if settling takes the whole turn
        windows += judged
    windows.sort()
    assert all(one[1] < next_[0] for one, next_ in itertools.pairwise(windows))


def test_the_phases_of_the_run_are_those_of_its_turns() -> None:
    """The turns of others are idle, the begin of a turn settles; where the block ends early, all is cut."""
    spans = with_drain(SLICING.turns("b", 0).spans(), 6 * S, 7 * S)

    moments = np.array([S // 2, 2 * S + 1, 2 * S + S // 2, 3 * S, 5 * S, 6 * S - 1, 6 * S, 8 * S], dtype=np.int64)

    assert [PHASES[code] for code in phase_codes(moments, spans)] == [
        *(Phase.WARMUP, Phase.SETTLE, Phase.WINDOW, Phase.IDLE),
        *(Phase.SETTLE, Phase.IDLE, Phase.DRAIN, Phase.DRAIN),
    ]
    spans = with_drain(SLICING.turns("a", 0).spans(), 3 * S + S // 2, 5 * S)

    assert [one.phase for one in spans] == [Phase.WARMUP, Phase.SETTLE, Phase.WINDOW, Phase.DRAIN]
    assert (spans[2].until_ns, spans[3].until_ns) == (3 * S + S // 2, 5 * S)


def test_a_second_of_the_load_belongs_to_the_turn_in_it() -> None:
    """Seconds of the load don't begin where turns do; a rule that counts them needs those with load."""
    turns = SLICING.turns("a", 0)

    halves = [turns.phase(half * S // 2 - S, half * S // 2) for half in (1, 3, 5, 7, 11, 15)]

    assert halves == [Phase.WARMUP, Phase.WARMUP, Phase.IDLE, Phase.WINDOW, Phase.WINDOW, Phase.DRAIN]


def test_slices_lose_a_variant_or_their_warm_up_except_the_fixed_ones() -> None:
    """The time of removed turns goes, too; judged turns stay when only the warm-up ends."""
    assert SLICING.without("b", 4) == replace(SLICING, order=("a", "b", "b", "a", "a"))
    assert SLICING.without("b", 0) == replace(SLICING, order=("a", "a", "a"), warm=1)
    assert SLICING.without("b", 99) == SLICING
    assert SLICING.without_warmup(1) == replace(SLICING, order=("a", "b", "a", "a", "b"), warm=1)
    assert SLICING.without_warmup(0) == replace(SLICING, order=("b", "a", "a", "b"), warm=0)
    assert SLICING.without_warmup(3) == SLICING


def test_the_clock_of_a_warm_up_stands_still_in_the_turns_of_others() -> None:
    """Ten seconds of load are ten seconds, however many variants there are."""
    turns = replace(SLICING, warm=4).turns("a", 100 * S)

    loaded_ns = [turns.warmed_ns(100 * S + moment) for moment in (-S, 0, S // 2, S, 3 * S, 3 * S + S // 4, 9 * S)]

    assert loaded_ns == [0, 0, S // 2, S, S, S + S // 4, 2 * S]


def test_a_turn_is_sent_once_and_not_changed_then() -> None:
    """Turns are sent two seconds ahead; a variant that leaves moves only the turns after those."""
    now_ns = [0]
    slicing = replace(SLICING, order=("a", "b") * 5)
    with pytest.raises(ValueError, match="before all are ready"):
        Barrier(slicing, "ab").due("a")
    barrier = _barrier(slicing, lambda: now_ns[0])
    start_ns = barrier.start_ns or 0
    now_ns[0] = start_ns + S // 10

    assert [(from_ns - start_ns) // S for from_ns, _ in barrier.due("a")] == [0, 2]
    assert barrier.due("a") == ()
    assert [(from_ns - start_ns) // S for from_ns, _ in barrier.due("b")] == [1]
    barrier.leave("b")

    assert barrier.slicing.order == ("a", "b", "a", "a", "a", "a")
    now_ns[0] = start_ns + 2 * S
    assert [(from_ns - start_ns) // S for from_ns, _ in barrier.due("a")] == [3]


@given(st.integers(0, 11 * S), st.floats(0.1, 3))
def test_no_sent_turn_is_changed(moment_ns: int, slice_s: float) -> None:
    """Whenever a variant leaves or the warm-up ends, and however long a slice is."""
    now_ns = [0]
    slicing = Slicing(order=("a", "b", "c", "b", "a") * 4, warm=10, slice_s=slice_s, settle_s=0)
    barrier = _barrier(slicing, lambda: now_ns[0])
    now_ns[0] = (barrier.start_ns or 0) + moment_ns
    sent = {name: barrier.due(name) for name in "ac"}

    barrier.leave("b")
    barrier.report_stable("a")
    barrier.report_stable("c")

    for name, windows in sent.items():
        assert barrier.turns(name).windows[: len(windows)] == windows


@pytest.mark.parametrize("leaving", ["c", ""])
def test_the_warm_up_ends_once_all_that_are_left_are_stable(leaving: str) -> None:
    """A variant that has left is not waited for."""
    order = ("a", "b", "c") * 6
    barrier = _barrier(replace(SLICING, order=order, warm=12, stable=True), lambda: 0)
    barrier.report_stable("a")
    barrier.report_stable("b")
    assert barrier.slicing.warm == 12
    if leaving:
        barrier.leave("c")
    else:
        barrier.report_stable("c")

    assert (barrier.slicing.order[:2], barrier.slicing.warm) == (("a", "b"), 2)
    assert barrier.slicing.order[2:] == tuple(name for name in order[12:] if name != leaving)


def test_one_start_is_set_once_all_that_are_left_are_ready() -> None:
    """It lies ahead of all; a variant that leaves while others wait has no turns, and alone nothing begins."""
    barrier = Barrier(SLICING, "ab", clock=lambda: 5 * S)
    barrier.arrive("a")
    assert (barrier.start_ns, barrier.now()) == (None, (0, ""))
    barrier.leave("b")
    assert barrier.start_ns is not None
    assert barrier.start_ns > 5 * S
    assert barrier.slicing.order == ("a", "a", "a")

    deserted = Barrier(SLICING, "ab")
    deserted.leave("a")
    deserted.leave("b")
    assert deserted.start_ns is None


def test_the_current_slice_is_known() -> None:
    """Before the first and after the last there is none."""
    now_ns = [0]
    barrier = _barrier(SLICING, lambda: now_ns[0])
    for after_s, current in ((-0.1, (0, "")), (0, (1, "a")), (2.5, (3, "b")), (6, (0, ""))):
        now_ns[0] = (barrier.start_ns or 0) + round(after_s * S)
        assert barrier.now() == current


class _Block(RecordingObserver):
    """The load of `a` beside `b`, which is stable or not, in turns of a second on a scripted clock."""

    def __init__(self, *, stable: bool = True, other_stable: bool = True) -> None:
        super().__init__()
        self.now_ns = 0
        slicing = Slicing(order=("a", "b") * ROUNDS, warm=2 * WARM, slice_s=1.0, settle_s=0.2, stable=stable)
        self.barrier = _barrier(slicing, lambda: self.now_ns)
        if other_stable:
            self.barrier.report_stable("b")
        load = settings(Path(), users=1, warmup_s=WARM, duration_s=1, drain_s=1, stable=stable)
        nothing = cast("Any", None)  # neither socket nor process: no message is sent or received
        self.driver = SliceDriver(
            load, self, nothing, nothing, lambda: self.now_ns, name="a", barrier=self.barrier
        )
        self.driver.update_turns()

    def run(self, latencies_ms: list[float]) -> Warmup | None:
        """Report one latency for each turn of `a`, and none in the turns of `b`; return how the warm-up went."""
        start_ns = self.barrier.start_ns or 0
        for second, name in enumerate(self.barrier.slicing.order, start=1):
            self.now_ns = start_ns + second * S
            number = second // 2
            if number >= len(latencies_ms):
                break
            latency = {bucket(round(latencies_ms[number] * 1e6)): 9} if name == "a" else {}
            self.driver.take_second(LoadSecond(t_ns=self.now_ns, latency=latency))
            self.driver.update_turns()
        return self.driver.warmup(self.driver.update_turns().end_ns)


def test_a_warm_up_is_stable_after_two_equal_spans_of_own_turns() -> None:
    """Spans of five own seconds: ten turns; it lasts until the other variant is stable, too."""
    early, block = _Block(other_stable=False), _Block(other_stable=False)

    early.run([5.0] * 9)
    block.run([5.0] * 10)

    assert (early.driver.stable, block.driver.stable) == (False, True)
    assert block.barrier.slicing.warm == 2 * WARM
    assert len(block.phases) == 1


def test_the_phases_are_reported_again_once_all_are_stable() -> None:
    """The judged turns move to the end of the warm-up, and none is lost."""
    block = _Block()

    warmup = block.run([5.0] * 12)

    planned, last = block.phases[0], block.phases[-1]
    assert [sum(span.phase is Phase.WINDOW for span in spans) for spans in (planned, last)] == [ROUNDS - WARM] * 2
    assert last[0].until_ns < planned[0].until_ns
    assert warmup is not None
    assert (warmup.stable, warmup.after_s, block.notes) == (True, 11.0, [])


def test_a_latency_that_keeps_falling_is_noted_at_the_limit() -> None:
    """With its medians; all turns of the warm-up are used."""
    block = _Block()

    warmup = block.run([100 * 0.9**turn for turn in range(ROUNDS)])

    assert warmup is not None
    assert (warmup.stable, warmup.after_s, len(warmup.medians_ns)) == (False, WARM, WARM // 5)
    assert [kind for kind, _ in block.notes] == [NoteKind.WARMUP_UNSTABLE]


def test_a_warm_up_of_fixed_length_is_not_cut() -> None:
    """However stable latency is."""
    block = _Block(stable=False)

    assert (block.run([5.0] * ROUNDS), len(block.phases)) == (None, 1)
    assert {phase for phase, _ in block.seconds} == {Phase.WARMUP, Phase.IDLE, Phase.WINDOW}
