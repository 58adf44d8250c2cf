"""Load by turns: several stacks are up at once, each with its own load process, and one at a time is loaded.

A turn ends GAP_NS before the next one begins. That is longer than a load process takes to start what its gate let
in, so that no flow of one variant begins in the turn of another. What runs then may end: the first part of the
next turn, in which the stack settles, is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from seatrial.model import Phase, Span
from seatrial.units import NS_PER_S

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
    def lasts_s(self) -> float:
        """How long all slices take."""
        return len(self.order) * self.slice_s

    def text(self) -> str:
        """Return in one line what is about to be done."""
        variants = len(set(self.order))
        each, warm = len(self.order) // variants, self.warm // variants
        most = "at most " if self.stable else ""
        return (
            f"{variants} variants by turns of {self.slice_s:g} s, each {each - warm} times after {most}{warm} "
            f"for the warm-up; {most}{self.lasts_s:.0f} s in all"
        )

    def without(self, name: str, kept: int) -> Slicing:
        """Return the slices without those of one variant, and without their time; the first `kept` stay."""
        order = self.order[:kept] + tuple(turn for turn in self.order[kept:] if turn != name)
        return replace(self, order=order, warm=self.warm - self.order[kept : self.warm].count(name))

    def warmed(self, kept: int) -> Slicing:
        """Return the slices without what is left of the warm-up; the first `kept` stay."""
        warm = min(max(kept, 0), self.warm)
        return replace(self, order=self.order[:warm] + self.order[self.warm :], warm=warm)

    def turns(self, name: str, start_ns: int) -> Turns:
        """Return one variant's turns, if the first slice begins at `start_ns`."""
        slice_ns = round(self.slice_s * NS_PER_S)
        windows = tuple(
            (start_ns + number * slice_ns, start_ns + (number + 1) * slice_ns - GAP_NS)
            for number, turn in enumerate(self.order)
            if turn == name
        )
        return Turns(
            start_ns=start_ns,
            windows=windows,
            warm=self.order[: self.warm].count(name),
            settle_ns=round(self.settle_s * NS_PER_S),
            end_ns=start_ns + len(self.order) * slice_ns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
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


def ended(spans: tuple[Span, ...], drain_ns: int, end_ns: int) -> tuple[Span, ...]:
    """Return the phases of a block whose drain began at one moment and ended at another."""
    kept = [replace(span, until_ns=min(span.until_ns, drain_ns)) for span in spans if span.from_ns < drain_ns]
    return (*kept, Span(phase=Phase.DRAIN, from_ns=drain_ns, until_ns=max(end_ns, drain_ns)))
