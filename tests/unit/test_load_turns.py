"""Whose turn it is, and what phase that makes of every moment of a run."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.load.slices import GAP_NS, Barrier, Slicing, with_drain
from seatrial.model import Phase
from seatrial.record.tables import PHASES, phase_codes
from seatrial.scenario import plan

S = 1_000_000_000
SLICING = Slicing(order=("a", "b", "b", "a", "a", "b"), warm=2, slice_s=1.0, settle_s=0.25)


def test_a_turn_settles_and_is_judged_and_all_before_the_first_is_warm_up() -> None:
    """The next turn of the same variant begins anew, so that all turns are alike."""
    spans = SLICING.turns("a", 100 * S).spans()

    shut = S - GAP_NS
    assert [(one.phase, one.from_ns - 100 * S, one.until_ns - 100 * S) for one in spans] == [
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
        mine = [(one.from_ns, one.until_ns) for one in spans if one.phase is Phase.WINDOW]
        assert len(mine) in {0, count}  # none, where settling takes the whole turn
        windows += mine
    windows.sort()
    assert all(one[1] < next_[0] for one, next_ in itertools.pairwise(windows))


def test_the_phases_of_the_run_are_those_of_its_turns() -> None:
    """What began in another's turn is idle, what began while the gate had just opened is settling."""
    spans = with_drain(SLICING.turns("b", 0).spans(), 6 * S, 7 * S)

    moments = np.array([S // 2, 2 * S + 1, 2 * S + S // 2, 3 * S, 5 * S, 6 * S - 1, 6 * S, 8 * S], dtype=np.int64)

    assert [PHASES[code] for code in phase_codes(moments, spans)] == [
        *(Phase.WARMUP, Phase.SETTLE, Phase.WINDOW, Phase.IDLE),
        *(Phase.SETTLE, Phase.IDLE, Phase.DRAIN, Phase.DRAIN),
    ]


def test_a_block_that_ends_early_is_cut_there() -> None:
    """A window that was not over ends with it, what was still to come does not exist."""
    spans = with_drain(SLICING.turns("a", 0).spans(), 3 * S + S // 2, 5 * S)

    assert [one.phase for one in spans] == [Phase.WARMUP, Phase.SETTLE, Phase.WINDOW, Phase.DRAIN]
    assert (spans[2].until_ns, spans[3].until_ns) == (3 * S + S // 2, 5 * S)


def test_a_second_of_the_load_belongs_to_the_turn_in_it() -> None:
    """Seconds of the load don't begin where turns do; a rule that counts them needs those with load."""
    turns = SLICING.turns("a", 0)

    halves = [turns.phase(half * S // 2 - S, half * S // 2) for half in (1, 3, 5, 7, 11, 15)]

    assert halves == [Phase.WARMUP, Phase.WARMUP, Phase.IDLE, Phase.WINDOW, Phase.WINDOW, Phase.DRAIN]


def test_slices_without_one_variant_keep_those_that_are_settled() -> None:
    """Its later turns go, and their time with them; the warm-up loses what it had of them."""
    assert SLICING.without("b", 4) == replace(SLICING, order=("a", "b", "b", "a", "a"))
    assert SLICING.without("b", 0) == replace(SLICING, order=("a", "a", "a"), warm=1)
    assert SLICING.without("b", 99) == SLICING


def test_a_warm_up_that_ends_leaves_the_judged_turns_as_they_were() -> None:
    """Each variant has as many of them as before."""
    assert SLICING.without_warmup(1) == replace(SLICING, order=("a", "b", "a", "a", "b"), warm=1)
    assert SLICING.without_warmup(0) == replace(SLICING, order=("b", "a", "a", "b"), warm=0)
    assert SLICING.without_warmup(3) == SLICING


def test_the_clock_of_a_warm_up_stands_still_in_the_turns_of_others() -> None:
    """Ten seconds of load are ten seconds, however many variants there are."""
    slicing = replace(SLICING, order=("a", "b", "b", "a", "a", "b"), warm=4)
    turns = slicing.turns("a", 100 * S)

    had = [turns.warmed_ns(100 * S + moment) for moment in (-S, 0, S // 2, S, 3 * S, 3 * S + S // 4, 9 * S)]

    assert had == [0, 0, S // 2, S, S, S + S // 4, 2 * S]


def test_a_turn_is_told_once_and_then_holds() -> None:
    """What is told lies within the next two seconds; who leaves shifts only what comes after all that was told."""
    now_ns = [0]
    barrier = Barrier(replace(SLICING, order=("a", "b") * 5), "ab", clock=lambda: now_ns[0])
    with pytest.raises(ValueError, match="before all are ready"):
        barrier.due("a")
    barrier.arrive("a")
    barrier.arrive("b")
    start_ns = barrier.start_ns or 0
    now_ns[0] = start_ns + S // 10

    assert [(one - start_ns) // S for one, _ in barrier.due("a")] == [0, 2]
    assert barrier.due("a") == ()
    assert [(one - start_ns) // S for one, _ in barrier.due("b")] == [1]
    barrier.leave("b")

    assert barrier.slicing.order == ("a", "b", "a", "a", "a", "a")
    now_ns[0] = start_ns + 2 * S
    assert [(one - start_ns) // S for one, _ in barrier.due("a")] == [3]


@given(st.integers(0, 11 * S), st.floats(0.1, 3))
def test_nothing_that_was_told_is_changed(moment_ns: int, slice_s: float) -> None:
    """Whenever a variant leaves, and however long a slice is."""
    now_ns = [0]
    slicing = Slicing(order=("a", "b", "c", "b", "a") * 4, warm=10, slice_s=slice_s, settle_s=0)
    barrier = Barrier(slicing, "abc", clock=lambda: now_ns[0])
    for name in "abc":
        barrier.arrive(name)
    now_ns[0] = (barrier.start_ns or 0) + moment_ns
    told = {name: barrier.due(name) for name in "ac"}

    barrier.leave("b")
    barrier.report_stable("a")
    barrier.report_stable("c")

    for name, windows in told.items():
        assert barrier.turns(name).windows[: len(windows)] == windows


def test_the_warm_up_ends_once_all_that_are_left_are_stable() -> None:
    """One that is stable waits for the others, and for nobody that has left."""
    order_ = ("a", "b", "c") * 6
    for leaving in ("c", ""):
        barrier = Barrier(replace(SLICING, order=order_, warm=12, stable=True), "abc", clock=lambda: 0)
        for name in "abc":
            barrier.arrive(name)
        barrier.report_stable("a")
        barrier.report_stable("b")
        assert barrier.slicing.warm == 12
        if leaving:
            barrier.leave("c")
        else:
            barrier.report_stable("c")
        assert barrier.slicing.order[:2] == ("a", "b")
        assert barrier.slicing.warm == 2
        assert barrier.slicing.order[2:] == tuple(name for name in order_[12:] if name != leaving)


def test_one_moment_is_set_once_all_are_ready() -> None:
    """Who is ready first waits; the moment lies ahead of all."""
    barrier = Barrier(SLICING, "ab", clock=lambda: 5 * S)
    barrier.arrive("a")
    assert (barrier.start_ns, barrier.now()) == (None, (0, ""))
    barrier.arrive("b")
    assert barrier.start_ns is not None
    assert barrier.start_ns > 5 * S


def test_who_failed_is_not_waited_for() -> None:
    """The others go on without it, also if it leaves while they wait; nobody at all begins nothing."""
    barrier = Barrier(SLICING, "ab")
    barrier.arrive("a")
    barrier.leave("b")
    assert barrier.start_ns is not None
    assert barrier.slicing.order == ("a", "a", "a")

    deserted = Barrier(SLICING, "ab")
    deserted.leave("a")
    deserted.leave("b")
    assert deserted.start_ns is None


@pytest.mark.parametrize(("after_s", "seen"), [(-0.1, (0, "")), (0, (1, "a")), (2.5, (3, "b")), (6, (0, ""))])
def test_the_slice_that_is_on_is_known(after_s: float, seen: tuple[int, str]) -> None:
    """For the line that is shown; before the first and after the last there is none."""
    now_ns = [0]
    barrier = Barrier(SLICING, "a", clock=lambda: now_ns[0])
    barrier.arrive("a")
    assert barrier.start_ns is not None
    now_ns[0] = barrier.start_ns + round(after_s * S)

    assert barrier.now() == seen
