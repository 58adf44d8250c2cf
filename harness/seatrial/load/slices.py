"""The turns of several loads, for the design `slices`: their order, the start barrier, and a driver for each.

A turn ends GAP_NS before the next one begins: longer than a load process takes to start the flows that its gate
let in, so that no flow of one variant begins in the turn of another. Flows that run then may end in the next turn,
whose first part, in which the stack settles, is not judged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from seatrial.load.channel import Channel
from seatrial.load.child import Child, LoadSettings
from seatrial.load.driver import LoadDriver, LoadObserver, LoadResult, Warmup, WarmupSpans
from seatrial.model import LoadSecond, Phase, Span
from seatrial.units import NS_PER_S

GAP_NS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicing:
    """The variant of each slice, in order; the first `warm` slices are the warm-up.

    A slice lasts `slice_s`, of which the first `settle_s` are not judged. With `stable` the warm-up ends once the
    latency of every variant is stable.
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
        """Describe the slices in one line."""
        variants = len(set(self.order))
        turns, warm = len(self.order) // variants, self.warm // variants
        most = "at most " if self.stable else ""
        return (
            f"{variants} variants by turns of {self.slice_s:g} s, each {turns - warm} times after {most}{warm} "
            f"for the warm-up; {most}{self.duration_s:.0f} s in all"
        )

    def without(self, name: str, fixed: int) -> Slicing:
        """Return the slices without those of one variant, except the first `fixed`."""
        order = self.order[:fixed] + tuple(turn for turn in self.order[fixed:] if turn != name)
        return replace(self, order=order, warm=self.warm - self.order[fixed : self.warm].count(name))

    def without_warmup(self, fixed: int) -> Slicing:
        """Return the slices without the rest of the warm-up, except the first `fixed`."""
        warm = min(max(fixed, 0), self.warm)
        return replace(self, order=self.order[:warm] + self.order[self.warm :], warm=warm)

    def turns(self, name: str, start_ns: int) -> SliceTurns:
        """Return the turns of one variant, with the first slice at `start_ns`."""
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
    """The times, (from, until), at which one variant's gate is open; the first `warm` are its warm-up.

    `start_ns` and `end_ns` are those of the whole block.
    """

    start_ns: int
    windows: tuple[tuple[int, int], ...]
    warm: int
    settle_ns: int
    end_ns: int

    def spans(self) -> tuple[Span, ...]:
        """Return the phases of the block without gaps, up to its drain.

        Up to the first judged turn it is warm-up. A turn settles and is then judged; until the next one the stack
        idles.
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
        """Return how long this variant has been loaded in its warm-up by a moment."""
        own = self.windows[: self.warm]
        return sum(min(max(moment_ns - from_ns, 0), until_ns + GAP_NS - from_ns) for from_ns, until_ns in own)

    def phase(self, from_ns: int, until_ns: int) -> Phase:
        """Return the phase of a second of the load: that of the turn it overlaps, if any."""
        for number, (opens_ns, shuts_ns) in enumerate(self.windows):
            if opens_ns < until_ns and from_ns < shuts_ns:
                return Phase.WARMUP if number < self.warm else Phase.WINDOW
        return Phase.IDLE if until_ns <= self.end_ns else Phase.DRAIN


def with_drain(spans: tuple[Span, ...], drain_ns: int, end_ns: int) -> tuple[Span, ...]:
    """Cut the phases of a block at its drain, and add that."""
    cut = [replace(span, until_ns=min(span.until_ns, drain_ns)) for span in spans if span.from_ns < drain_ns]
    return (*cut, Span(phase=Phase.DRAIN, from_ns=drain_ns, until_ns=max(end_ns, drain_ns)))


AHEAD_NS = 2 * NS_PER_S
"""How long before it begins a turn is sent to the load: a harness that is held up must not shorten it."""
_START_LEAD_NS = 500_000_000
"""Each load sees within `_LISTEN_NS` that the start is set, and then sends it to its processes."""


class Barrier:
    """Sets one start for all loads once all are ready, and holds the order of the slices; thread-safe.

    A variant that leaves is not waited for, and has no more turns. Slices that begin within AHEAD_NS may have been
    sent, and are not changed.
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
        """Count a variant's load as ready; once all are, set the start."""
        with self._lock:
            self._ready.add(name)
            self._advance()

    def leave(self, name: str) -> None:
        """Remove a variant and its turns."""
        with self._lock:
            self._awaited.discard(name)
            self._ready.discard(name)
            self.slicing = self.slicing.without(name, self._fixed())
            self._advance()

    def report_stable(self, name: str) -> None:
        """Count a variant's latency as stable; once all are, end the warm-up."""
        with self._lock:
            self._stable.add(name)
            self._advance()

    def call_off(self) -> None:
        """End the block for all loads."""
        self.called_off = True

    def turns(self, name: str) -> SliceTurns:
        """Return one variant's turns as they are now; ValueError before the start is set."""
        if self.start_ns is None:
            raise ValueError("there are no turns before all are ready")
        return self.slicing.turns(name, self.start_ns)

    def due(self, name: str) -> tuple[tuple[int, int], ...]:
        """Return the turns of a variant, (from, until), that are to be sent now; each is returned once."""
        with self._lock:
            limit_ns = self._clock() + AHEAD_NS
            sent = self._sent.get(name, 0)
            due = tuple(window for window in self.turns(name).windows[sent:] if window[0] < limit_ns)
            self._sent[name] = sent + len(due)
            return due

    def now(self) -> tuple[int, str]:
        """Return the number (from 1) and variant of the current slice; 0 and "" if there is none."""
        if self.start_ns is None:
            return 0, ""
        number, order = self._number(self._clock(), self.start_ns), self.slicing.order
        return (number + 1, order[number]) if 0 <= number < len(order) else (0, "")

    def _number(self, moment_ns: int, start_ns: int) -> int:
        return (moment_ns - start_ns) // round(self.slicing.slice_s * NS_PER_S)

    def _fixed(self) -> int:
        """Return how many slices may have been sent, and so can't be changed."""
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
    """The block was ended by another load, or by Ctrl-C."""


class SliceDriver(LoadDriver):
    """Drives the load of one variant of a block through its turns; `turns` is None until all loads are ready.

    An open load keeps its first rate, without the arrivals between two turns. A warm-up until latency is stable
    watches the variant's own turns, and ends for all variants together. CalledOff if the block is ended.
    """

    def __init__(
        self,
        settings: LoadSettings,
        observer: LoadObserver,
        control: Channel,
        process: Child,
        clock: Callable[[], int] = time.monotonic_ns,
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
        """Wait for the other loads, take the turns, drain."""
        self.await_ready()
        start_ns = self._await_start()
        self.begin(start_ns)
        self.update_turns()
        self.set_first_rate(start_ns)
        drain_ns = self._take_turns()
        warmup = self.warmup(drain_ns)
        self.drain()
        spans = with_drain(self.update_turns().spans(), drain_ns, self.clock())
        self.observer.phases_known(spans)
        return LoadResult(spans=spans, errors=self.messages.workers.errors, warmup=warmup)

    def take_second(self, second: LoadSecond) -> None:
        """Take the counts of one second, in this variant's phase."""
        if self.turns is not None:
            self.phase = self.turns.phase(second.t_ns - NS_PER_S, second.t_ns)
            self._warm_up_by(self.turns, second)
        self.observer.second(self.phase, second)

    def update_turns(self) -> SliceTurns:
        """Return the turns as they are now; report the phases if they have changed."""
        turns = self.barrier.turns(self.name)
        if turns != self.turns:
            self.turns = turns
            self.observer.phases_known(turns.spans())
        return turns

    def warmup(self, drain_ns: int) -> Warmup | None:
        """Return how a warm-up until latency is stable went; None for any other."""
        if not self.load.stable or self.turns is None:
            return None
        return self.warmup_result(self._spans, self.turns.warmed_ns(drain_ns) / NS_PER_S, stable=self.stable)

    def _warm_up_by(self, turns: SliceTurns, second: LoadSecond) -> None:
        """Report latency as stable once it is, on a clock that stands still in the turns of others."""
        begun = turns.warmed_ns(second.t_ns - NS_PER_S) < turns.warmed_ns(turns.end_ns)
        if not self.load.stable or self.stable or not begun:
            return
        self.stable = self._spans.take(turns.warmed_ns(second.t_ns), second.latency)
        if self.stable:
            self.barrier.report_stable(self.name)

    def _await_start(self) -> int:
        """Wait until all loads of the block are ready; return when the first slice begins."""
        self.barrier.arrive(self.name)
        while self.barrier.start_ns is None:
            self._refuse_called_off()
            self.step(self.clock() + _LISTEN_NS)
        return self.barrier.start_ns

    def _take_turns(self) -> int:
        """Open the gate for each turn until all are over or the observer has had enough; return when."""
        while self.clock() < (end_ns := self.update_turns().end_ns):
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
