"""A variant's part of a block: its warm-up lasts until its own latency is stable."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from seatrial.load.child import LoadSettings
from seatrial.load.driver import LoadObserver
from seatrial.load.slices import Barrier, SliceDriver, Slicing
from seatrial.model import Load, LoadSecond, NoteKind, Phase, Span
from seatrial.wire.histogram import bucket

S = 1_000_000_000
ROUNDS, WARM = 25, 20


class _Block(LoadObserver):
    """Two variants by turns of a second, on a clock of its own; `planned` are the phases that `a` reported."""

    def __init__(self, *, stable: bool = True) -> None:
        self.now_ns = 0
        self.planned: list[tuple[Span, ...]] = []
        self.seconds: list[Phase] = []
        self.notes: list[tuple[NoteKind, str]] = []
        slicing = Slicing(order=("a", "b") * ROUNDS, warm=2 * WARM, slice_s=1.0, settle_s=0.2, stable=stable)
        self.barrier = Barrier(slicing, "ab", clock=lambda: self.now_ns)
        for name in "ab":
            self.barrier.arrive(name)
        self.start_ns = self.barrier.start_ns or 0
        load = Load(locustfile=Path("x"), users=1, warmup_s=WARM, duration_s=1, drain_s=1, stable=stable)
        here = Path()
        settings = LoadSettings(load=load, target="", folder=here, streams=here, log=here, secrets={})
        nothing = cast("Any", None)  # neither socket nor process: no message is sent or received
        self.driver = SliceDriver(
            settings, self, nothing, nothing, lambda: self.now_ns, name="a", barrier=self.barrier
        )
        self.driver.update_turns()

    def phases_known(self, spans: tuple[Span, ...]) -> None:
        """Keep them."""
        self.planned.append(spans)

    def second(self, phase: Phase, _second: LoadSecond) -> None:
        """Keep its phase."""
        self.seconds.append(phase)

    def note(self, kind: NoteKind, text: str) -> None:
        """Keep it."""
        self.notes.append((kind, text))

    def through(self, latencies_ms: list[float]) -> None:
        """Tell one latency for each turn of `a`, at the end of that second, and nothing in the turns of `b`."""
        for second, whose in enumerate(self.barrier.slicing.order, start=1):
            self.now_ns = self.start_ns + second * S
            number = second // 2
            if number >= len(latencies_ms):
                return
            latency = {bucket(round(latencies_ms[number] * 1e6)): 9} if whose == "a" else {}
            self.driver.take_second(LoadSecond(t_ns=self.now_ns, latency=latency))
            self.driver.update_turns()


def test_the_spans_are_of_the_variants_own_turns() -> None:
    """Two spans of five own seconds have to agree: after ten turns it is stable, and waits for the other."""
    early, block = _Block(), _Block()

    early.through([5.0] * 9)
    block.through([5.0] * 10)

    assert (early.driver.stable, block.driver.stable) == (False, True)
    assert block.barrier.slicing.warm == 2 * WARM
    assert len(block.planned) == 1


def test_once_all_are_stable_the_phases_are_told_anew() -> None:
    """The judged turns move to where the warm-up ends, and nothing of them is lost."""
    block = _Block()
    block.barrier.report_stable("b")

    block.through([5.0] * 12)

    assert block.driver.stable
    first, last = block.planned[0], block.planned[-1]
    windows = [sum(one.phase is Phase.WINDOW for one in spans) for spans in (first, last)]
    assert windows == [ROUNDS - WARM] * 2
    assert last[0].until_ns < first[0].until_ns
    end_ns = block.driver.update_turns().end_ns
    warmed = block.driver.warmup(end_ns)
    assert warmed is not None
    assert (warmed.stable, warmed.after_s) == (True, 11.0)
    assert block.notes == []


def test_a_latency_that_goes_on_falling_is_noted_at_the_limit() -> None:
    """With its last medians; all turns of the warm-up were used."""
    block = _Block()
    block.barrier.report_stable("b")

    block.through([100 * 0.9**turn for turn in range(ROUNDS)])

    warmed = block.driver.warmup(block.driver.update_turns().end_ns)
    assert warmed is not None
    assert (warmed.stable, warmed.after_s, len(warmed.medians_ns)) == (False, WARM, WARM // 5)
    assert [kind for kind, _ in block.notes] == [NoteKind.WARMUP_UNSTABLE]


@pytest.mark.parametrize("latencies_ms", [[5.0] * ROUNDS])
def test_a_warm_up_of_fixed_length_is_left_alone(latencies_ms: list[float]) -> None:
    """However stable latency is."""
    block = _Block(stable=False)
    block.barrier.report_stable("b")

    block.through(latencies_ms)

    assert (block.driver.warmup(block.now_ns), len(block.planned)) == (None, 1)
    assert set(block.seconds) == {Phase.WARMUP, Phase.IDLE, Phase.WINDOW}
