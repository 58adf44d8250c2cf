"""The turns of several loads, for the design `slices`.

A turn ends GAP_NS before the next one begins. That is longer than a load process takes to start what its gate let
in, so that no flow of one variant begins in the turn of another. What runs then may end: the first part of the
next turn, in which the stack settles, is not judged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from seatrial.load.channel import Channel
from seatrial.load.child import Child, LoadSettings
from seatrial.load.driver import LoadDriver, LoadObserver, LoadResult, Warmup, WarmupSpans, started
from seatrial.model import LoadSecond, NoteKind, Phase, Span, Spawn
from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate

GAP_NS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicing:
    """Whose turn each slice is, the first `warm` of them in the warm-up.

    A slice lasts `slice_s`, of which the first `settle_s` are not judged. With `stable` the warm-up ends sooner,
    once the latency of every variant is stable.
    """

    order: tuple[str, ...]
    warm: int
    slice_s: float
    settle_s: float
    stable: bool = False

    @property
    def duration_s(self) -> float:
        """How long all slices take."""
        return len(self.order) * self.slice_s

    def text(self) -> str:
        """Return in one line what is about to be done."""
        variants = len(set(self.order))
        each, warm = len(self.order) // variants, self.warm // variants
        most = "at most " if self.stable else ""
        return (
            f"{variants} variants by turns of {self.slice_s:g} s, each {each - warm} times after {most}{warm} "
            f"for the warm-up; {most}{self.duration_s:.0f} s in all"
        )

    def without(self, name: str, kept: int) -> Slicing:
        """Return the slices without those of one variant, and without their time; the first `kept` stay."""
        order = self.order[:kept] + tuple(turn for turn in self.order[kept:] if turn != name)
        return replace(self, order=order, warm=self.warm - self.order[kept : self.warm].count(name))

    def without_warmup(self, kept: int) -> Slicing:
        """Return the slices without what is left of the warm-up; the first `kept` stay."""
        warm = min(max(kept, 0), self.warm)
        return replace(self, order=self.order[:warm] + self.order[self.warm :], warm=warm)

    def turns(self, name: str, start_ns: int) -> SliceTurns:
        """Return one variant's turns, if the first slice begins at `start_ns`."""
        slice_ns = round(self.slice_s * NS_PER_S)
        windows = tuple(
            (start_ns + number * slice_ns, start_ns + (number + 1) * slice_ns - GAP_NS)
            for number, turn in enumerate(self.order)
            if turn == name
        )
        return SliceTurns(
            start_ns=start_ns,
            windows=windows,
            warm=self.order[: self.warm].count(name),
            settle_ns=round(self.settle_s * NS_PER_S),
            end_ns=start_ns + len(self.order) * slice_ns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceTurns:
    """When one variant's gate is open, (from, until), the first `warm` times for its warm-up.

    `start_ns` and `end_ns` are those of the whole block.
    """

    start_ns: int
    windows: tuple[tuple[int, int], ...]
    warm: int
    settle_ns: int
    end_ns: int

    def spans(self) -> tuple[Span, ...]:
        """Return the phases from start to end, each beginning where the one before ends; the drain comes after.

        A turn settles and is then judged; until the next own one the stack idles. All up to the first turn that is
        judged is warm-up.
        """
        edges = [(Phase.WARMUP, self.start_ns)]
        for from_ns, until_ns in self.windows[self.warm :]:
            settled_ns = min(from_ns + self.settle_ns, until_ns)
            edges += [(Phase.SETTLE, from_ns), (Phase.WINDOW, settled_ns), (Phase.IDLE, until_ns)]
        ends = [from_ns for _, from_ns in edges[1:]] + [self.end_ns]
        return tuple(
            Span(phase=phase, from_ns=from_ns, until_ns=until_ns)
            for (phase, from_ns), until_ns in zip(edges, ends, strict=True)
            if until_ns > from_ns
        )

    def warmed_ns(self, moment_ns: int) -> int:
        """Return how long this variant has been loaded in its warm-up by then."""
        own = self.windows[: self.warm]
        return sum(min(max(moment_ns - from_ns, 0), until_ns + GAP_NS - from_ns) for from_ns, until_ns in own)

    def phase(self, from_ns: int, until_ns: int) -> Phase:
        """Return the phase of a second of the load: that of the turn in it, if there is any."""
        for number, (opens_ns, shuts_ns) in enumerate(self.windows):
            if opens_ns < until_ns and from_ns < shuts_ns:
                return Phase.WARMUP if number < self.warm else Phase.WINDOW
        return Phase.IDLE if until_ns <= self.end_ns else Phase.DRAIN


def with_drain(spans: tuple[Span, ...], drain_ns: int, end_ns: int) -> tuple[Span, ...]:
    """Return the phases of a block whose drain began at one moment and ended at another."""
    kept = [replace(span, until_ns=min(span.until_ns, drain_ns)) for span in spans if span.from_ns < drain_ns]
    return (*kept, Span(phase=Phase.DRAIN, from_ns=drain_ns, until_ns=max(end_ns, drain_ns)))


AHEAD_NS = 2 * NS_PER_S
"""How long before its beginning a turn is sent to the load: a harness that is held up must not shorten it."""
_START_LEAD_NS = 500_000_000
"""Each load looks every 50 ms whether a moment is set, and then sends it to its processes."""


class Barrier:
    """Sets one moment for all loads once all are ready, and keeps the order of the slices.

    A variant that leaves is not waited for, and has no more turns. A turn that was sent is not changed: slices
    that begin within AHEAD_NS stay where they are. May be used from several threads.
    """

    def __init__(
        self, slicing: Slicing, names: Collection[str], *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.slicing = slicing
        self.called_off = False
        self.start_ns: int | None = None
        self._awaited = set(names)
        self._ready: set[str] = set()
        self._stable: set[str] = set()
        self._sent: dict[str, int] = {}
        self._clock = clock
        self._lock = threading.Lock()

    def arrive(self, name: str) -> None:
        """Count a variant's load as ready; once all are, the start is set."""
        with self._lock:
            self._ready.add(name)
            self._advance()

    def leave(self, name: str) -> None:
        """Take a variant out, and its turns."""
        with self._lock:
            self._awaited.discard(name)
            self._ready.discard(name)
            self.slicing = self.slicing.without(name, self._fixed())
            self._advance()

    def report_stable(self, name: str) -> None:
        """Count a variant's latency as stable; once all are, the warm-up ends."""
        with self._lock:
            self._stable.add(name)
            self._advance()

    def call_off(self) -> None:
        """End the block for all loads, as soon as they look."""
        self.called_off = True

    def turns(self, name: str) -> SliceTurns:
        """Return one variant's turns, as far as is known now; ValueError before the start is set."""
        if self.start_ns is None:
            raise ValueError("there are no turns before all are ready")
        return self.slicing.turns(name, self.start_ns)

    def due(self, name: str) -> tuple[tuple[int, int], ...]:
        """Return those of a variant's turns, (from, until), that are to be sent now, each once."""
        with self._lock:
            limit_ns = self._clock() + AHEAD_NS
            sent = self._sent.get(name, 0)
            due = tuple(window for window in self.turns(name).windows[sent:] if window[0] < limit_ns)
            self._sent[name] = sent + len(due)
            return due

    def now(self) -> tuple[int, str]:
        """Return the number (from 1) of the slice that is on now, and its variant; 0 and "" if there is none."""
        if self.start_ns is None:
            return 0, ""
        number, order = self._number(self._clock(), self.start_ns), self.slicing.order
        return (number + 1, order[number]) if 0 <= number < len(order) else (0, "")

    def _number(self, moment_ns: int, start_ns: int) -> int:
        return (moment_ns - start_ns) // round(self.slicing.slice_s * NS_PER_S)

    def _fixed(self) -> int:
        """Return how many slices can't be changed any more: all that may have been sent."""
        if self.start_ns is None:
            return 0
        return max(self._number(self._clock() + AHEAD_NS, self.start_ns) + 1, 0)

    def _advance(self) -> None:
        """End the warm-up if all are stable, set the start if all are ready."""
        if self._stable and self._stable >= self._awaited:
            self.slicing = self.slicing.without_warmup(self._fixed())
        if self.start_ns is None and self._ready and self._ready >= self._awaited:
            self.start_ns = self._clock() + _START_LEAD_NS


_LISTEN_NS = 50_000_000


class CalledOff(Exception):
    """The block was ended from outside."""


def drive_in_turns(
    settings: LoadSettings,
    observer: LoadObserver,
    *,
    spawn: Spawn,
    name: str,
    barrier: Barrier,
    clock: Callable[[], int] = time.monotonic_ns,
) -> LoadResult:
    """Drive the load of one variant through its turns; raises what `driving.drive` does, and CalledOff."""
    with started(settings, observer, spawn) as (control, process):
        return SliceDriver(settings, observer, control, process, clock, name=name, barrier=barrier).run()


class SliceDriver(LoadDriver):
    """The load of one variant of the block; `turns` are there once all loads are ready.

    An open load keeps its first rate throughout; what would arrive between two turns does not exist. A warm-up
    that lasts until latency is stable looks at the variant's own turns, and ends for all at once.
    """

    def __init__(
        self,
        settings: LoadSettings,
        observer: LoadObserver,
        control: Channel,
        process: Child,
        clock: Callable[[], int],
        *,
        name: str,
        barrier: Barrier,
    ) -> None:
        super().__init__(settings, observer, control, process, clock)
        self.name = name
        self.barrier = barrier
        self.turns: SliceTurns | None = None
        self.stable = False
        self._spans = WarmupSpans(0)

    def run(self) -> LoadResult:
        """Wait for the others, take the turns, drain."""
        self.await_ready()
        start_ns = self._await_start()
        self.begin(start_ns)
        self.follow()
        if (rate := self.load.rate) is not None:
            self.commands.set_rate(Rate.steady(rate.first_per_s, poisson=rate.poisson), start_ns)
        drain_ns = self._take_turns()
        warmed = self.warmup(drain_ns)
        self.drain()
        spans = with_drain(self.follow().spans(), drain_ns, self.clock())
        self.observer.phases_known(spans)
        return LoadResult(spans=spans, errors=self.messages.workers.errors, warmup=warmed)

    def take_second(self, second: LoadSecond) -> None:
        """Take the counts of one second, in the phase that this variant was in."""
        if self.turns is not None:
            self.phase = self.turns.phase(second.t_ns - NS_PER_S, second.t_ns)
            self._warm(self.turns, second)
        self.observer.second(self.phase, second)

    def follow(self) -> SliceTurns:
        """Return the turns as they are now; the observer gets the phases where they have changed."""
        turns = self.barrier.turns(self.name)
        if turns != self.turns:
            self.turns = turns
            self.observer.phases_known(turns.spans())
        return turns

    def warmup(self, drain_ns: int) -> Warmup | None:
        """Return how the warm-up went, if it was to last until latency is stable; a note says that it was not."""
        if not self.load.stable or self.turns is None:
            return None
        after_s = self.turns.warmed_ns(drain_ns) / NS_PER_S
        warmed = Warmup(stable=self.stable, after_s=after_s, medians_ns=tuple(self._spans.medians_ns))
        if not warmed.stable:
            self.observer.note(NoteKind.WARMUP_UNSTABLE, warmed.text())
        return warmed

    def _warm(self, turns: SliceTurns, second: LoadSecond) -> None:
        """Look whether latency is stable, on a clock that stands still while others have their turn."""
        begun = turns.warmed_ns(second.t_ns - NS_PER_S) < turns.warmed_ns(turns.end_ns)
        if not self.load.stable or self.stable or not begun:
            return
        self.stable = self._spans.take(turns.warmed_ns(second.t_ns), second.latency)
        if self.stable:
            self.barrier.report_stable(self.name)

    def _await_start(self) -> int:
        """Wait until all loads of the block are ready; return the moment at which the first slice begins."""
        self.barrier.arrive(self.name)
        while self.barrier.start_ns is None:
            self._refuse_called_off()
            self.step(self.clock() + _LISTEN_NS)
        return self.barrier.start_ns

    def _take_turns(self) -> int:
        """Open the gate for each turn, told ahead, until all are over or it is enough; return when that was."""
        while self.clock() < (end_ns := self.follow().end_ns):
            self._refuse_called_off()
            if self.observer.enough():
                return self.clock()
            for window in self.barrier.due(self.name):
                self.commands.gate(*window)
            self.step(end_ns)
        return end_ns

    def _refuse_called_off(self) -> None:
        if self.barrier.called_off:
            raise CalledOff
