"""The load of one variant of a block of slices: driven through its turns, beside those of the others."""

from __future__ import annotations

import time
from collections.abc import Callable

from seatrial.load.channel import Channel
from seatrial.load.child import Child, LoadSettings
from seatrial.load.driver import LoadDriver, LoadObserver, LoadResult, started
from seatrial.load.meeting import Meeting
from seatrial.load.turns import Turns, ended
from seatrial.load.warmup import Spans, Warmup
from seatrial.model import LoadSecond, NoteKind, Spawn
from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate

_LISTEN_NS = 50_000_000


class CalledOff(Exception):
    """The block was ended from outside."""


def drive_in_turns(
    settings: LoadSettings,
    observer: LoadObserver,
    *,
    spawn: Spawn,
    name: str,
    meeting: Meeting,
    clock: Callable[[], int] = time.monotonic_ns,
) -> LoadResult:
    """Drive the load of one variant through its turns; raises what `driving.drive` does, and CalledOff."""
    with started(settings, observer, spawn) as (control, process):
        return SliceDriver(settings, observer, control, process, clock, name=name, meeting=meeting).run()


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
        meeting: Meeting,
    ) -> None:
        super().__init__(settings, observer, control, process, clock)
        self.name = name
        self.meeting = meeting
        self.turns: Turns | None = None
        self.stable = False
        self._spans = Spans(0)

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
        spans = ended(self.follow().spans(), drain_ns, self.clock())
        self.observer.phases_known(spans)
        return LoadResult(spans=spans, errors=self.hearing.workers.errors, warmup=warmed)

    def take_second(self, second: LoadSecond) -> None:
        """Take the counts of one second, in the phase that this variant was in."""
        if self.turns is not None:
            self.phase = self.turns.phase(second.t_ns - NS_PER_S, second.t_ns)
            self._warm(self.turns, second)
        self.observer.second(self.phase, second)

    def follow(self) -> Turns:
        """Return the turns as they are now; the observer gets the phases where they have changed."""
        turns = self.meeting.turns(self.name)
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

    def _warm(self, turns: Turns, second: LoadSecond) -> None:
        """Look whether latency is stable, on a clock that stands still while others have their turn."""
        begun = turns.warmed_ns(second.t_ns - NS_PER_S) < turns.warmed_ns(turns.end_ns)
        if not self.load.stable or self.stable or not begun:
            return
        self.stable = self._spans.take(turns.warmed_ns(second.t_ns), second.latency)
        if self.stable:
            self.meeting.warmed(self.name)

    def _await_start(self) -> int:
        """Wait until all loads of the block are ready; return the moment at which the first slice begins."""
        self.meeting.arrive(self.name)
        while self.meeting.start_ns is None:
            self._refuse_called_off()
            self.step(self.clock() + _LISTEN_NS)
        return self.meeting.start_ns

    def _take_turns(self) -> int:
        """Open the gate for each turn, told ahead, until all are over or it is enough; return when that was."""
        while self.clock() < (end_ns := self.follow().end_ns):
            self._refuse_called_off()
            if self.observer.enough():
                return self.clock()
            for window in self.meeting.due(self.name):
                self.commands.gate(*window)
            self.step(end_ns)
        return end_ns

    def _refuse_called_off(self) -> None:
        if self.meeting.called_off:
            raise CalledOff
