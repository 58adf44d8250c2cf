"""A variant's part of a block: its warm-up lasts until its own latency is stable."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.load.meeting import Meeting
from seatrial.load.orders import Hooks
from seatrial.load.turning import TurnedLoad
from seatrial.load.turns import Slicing
from seatrial.model import Load, LoadSecond, NoteKind, Phase, Span
from seatrial.wire.buckets import bucket

S = 1_000_000_000
ROUNDS, WARM = 25, 20


class _Block:
    """Two variants by turns of a second, on a clock of its own; `told` are the phases that `a` was told."""

    def __init__(self, *, stable: bool = True) -> None:
        self.now_ns = 0
        self.told: list[tuple[Span, ...]] = []
        self.seconds: list[Phase] = []
        self.notes: list[tuple[NoteKind, str]] = []
        slicing = Slicing(order=("a", "b") * ROUNDS, warm=2 * WARM, slice_s=1.0, settle_s=0.2, stable=stable)
        self.meeting = Meeting(slicing, "ab", clock=lambda: self.now_ns)
        for name in "ab":
            self.meeting.arrive(name)
        self.start_ns = self.meeting.start_ns or 0
        load = Load(locustfile=Path("x"), users=1, warmup_s=WARM, duration_s=1, drain_s=1, stable=stable)
        hooks = Hooks(
            started=lambda _: None,
            phases=self.told.append,
            second=lambda phase, _: self.seconds.append(phase),
            noted=lambda kind, text: self.notes.append((kind, text)),
        )
        self.part = TurnedLoad(load, hooks, name="a", meeting=self.meeting, clock=lambda: self.now_ns)
        self.part.follow()

    def through(self, latencies_ms: list[float]) -> None:
        """Tell one latency for each turn of `a`, at the end of that second, and nothing in the turns of `b`."""
        for second, whose in enumerate(self.meeting.slicing.order, start=1):
            self.now_ns = self.start_ns + second * S
            number = second // 2
            if number >= len(latencies_ms):
                return
            latency = {bucket(round(latencies_ms[number] * 1e6)): 9} if whose == "a" else {}
            self.part.second(Phase.WARMUP, LoadSecond(t_ns=self.now_ns, latency=latency))
            self.part.follow()


def test_the_spans_are_of_the_variants_own_turns() -> None:
    """Two spans of five own seconds have to agree: after ten turns it is stable, and waits for the other."""
    early, block = _Block(), _Block()

    early.through([5.0] * 9)
    block.through([5.0] * 10)

    assert (early.part.stable, block.part.stable) == (False, True)
    assert block.meeting.slicing.warm == 2 * WARM
    assert len(block.told) == 1


def test_once_all_are_stable_the_phases_are_told_anew() -> None:
    """The judged turns move to where the warm-up ends, and nothing of them is lost."""
    block = _Block()
    block.meeting.warmed("b")

    block.through([5.0] * 12)

    assert block.part.stable
    first, last = block.told[0], block.told[-1]
    windows = [sum(one.phase is Phase.WINDOW for one in spans) for spans in (first, last)]
    assert windows == [ROUNDS - WARM] * 2
    assert last[0].until_ns < first[0].until_ns
    end_ns = block.part.follow().end_ns
    warmed = block.part.warmup(end_ns)
    assert warmed is not None
    assert (warmed.stable, warmed.after_s) == (True, 11.0)
    assert block.notes == []


def test_a_latency_that_goes_on_falling_is_noted_at_the_limit() -> None:
    """With its last medians; all turns of the warm-up were used."""
    block = _Block()
    block.meeting.warmed("b")

    block.through([100 * 0.9**turn for turn in range(ROUNDS)])

    warmed = block.part.warmup(block.part.follow().end_ns)
    assert warmed is not None
    assert (warmed.stable, warmed.after_s, len(warmed.medians_ns)) == (False, WARM, WARM // 5)
    assert [kind for kind, _ in block.notes] == [NoteKind.WARMUP_UNSTABLE]


@pytest.mark.parametrize("latencies_ms", [[5.0] * ROUNDS])
def test_a_warm_up_of_fixed_length_is_left_alone(latencies_ms: list[float]) -> None:
    """However stable latency is."""
    block = _Block(stable=False)
    block.meeting.warmed("b")

    block.through(latencies_ms)

    assert (block.part.warmup(block.now_ns), len(block.told)) == (None, 1)
    assert set(block.seconds) == {Phase.WARMUP, Phase.IDLE, Phase.WINDOW}
