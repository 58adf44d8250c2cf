"""A sequence of short trials on one running load, for the capacity search."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from seatrial.compare.capacity_trial import TrialCounts
from seatrial.load.channel import Channel
from seatrial.load.child import Child, LoadSettings
from seatrial.load.driver import LEAD_NS, LoadDriver, LoadObserver, LoadResult
from seatrial.model import LoadSecond, Phase, Span
from seatrial.units import NS_PER_S
from seatrial.wire.rates import Rate

REST_WITHIN_S = 4.0
"""How long requests in flight may take to end when a trial is over: 200 of them at 50 a second."""
CALM_WITHIN_S = 40.0
"""How long the next trial waits for the others: 100 pulls in flight on two cores took 15 s."""
SETTLE_S = 1.0
_SECOND_S = 1.5
"""A second of the load is reported once it is over, and may be late."""


class _Enough(Exception):
    """Ends a sequence once the observer has had enough."""


class TrialSequence(LoadDriver):
    """Drives a load through trials that begin and end at rest, and one window at the end.

    Rates are arrivals a second, spaced like the rate of the load, which must have one. `play` runs the trials;
    once the observer has had enough, they end, and the load drains.
    """

    def __init__(
        self,
        settings: LoadSettings,
        observer: LoadObserver,
        control: Channel,
        process: Child,
        *,
        play: Callable[[TrialSequence], None],
    ) -> None:
        super().__init__(settings, observer, control, process)
        self._play = play
        self._spans: tuple[Span, ...] = ()
        self._counts: TrialCounts | None = None

    def run(self) -> LoadResult:
        """Wait until the load is ready, run the trials of `play`, and drain."""
        self.await_ready()
        self.begin(self.clock() + LEAD_NS)
        with suppress(_Enough):
            self._play(self)
        begin_ns = self.clock()
        self.drain()
        self._enter(Phase.DRAIN, begin_ns, self.clock())
        return LoadResult(spans=self._spans, errors=self.messages.workers.errors)

    def take_second(self, second: LoadSecond) -> None:
        """Count a second of the load for the current trial."""
        if self._counts is not None:
            self._counts.take(second)
        self.observer.second(self.phase, second)

    def trial(
        self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE, rest_s: float = REST_WITHIN_S
    ) -> TrialCounts:
        """Open the gate for `duration_s` at this rate, and wait for rest.

        Arrivals that wait for a user when the gate shuts are dropped; those in flight may end within `rest_s`, and
        are lost to the trial after that. The next trial waits for them, at most CALM_WITHIN_S: the leftovers of a
        flood would break the budgets of any rate.
        """
        begin_ns = self._set_rate(rate_per_s)
        end_ns = begin_ns + round(duration_s * NS_PER_S)
        carried = 0 if self._counts is None else max(self._counts.under_way, 0)
        counts = TrialCounts(rate_per_s=rate_per_s, begin_ns=begin_ns, end_ns=end_ns, carried=carried)
        self._counts = counts
        self.commands.gate(begin_ns, end_ns)
        self._enter(phase, begin_ns, end_ns)
        self._wait(end_ns)
        rested_ns = end_ns + round(rest_s * NS_PER_S)
        limit_ns = rested_ns + round(_SECOND_S * NS_PER_S)
        while not counts.at_rest and self.clock() < limit_ns:
            if counts.seconds and counts.seconds[-1].t_least_ns >= rested_ns:
                break
            self._step(limit_ns)
        counts.close()
        calm_ns = end_ns + round(CALM_WITHIN_S * NS_PER_S)
        while not counts.at_rest and self.clock() < calm_ns:
            self._step(calm_ns)
        return counts

    def window(self, rate_per_s: float, duration_s: float) -> None:
        """Let the load run at this rate: it settles, then comes the window. The gate stays open."""
        begin_ns = self._set_rate(rate_per_s)
        window_ns = begin_ns + round(SETTLE_S * NS_PER_S)
        end_ns = window_ns + round(duration_s * NS_PER_S)
        self._counts = None
        self.commands.gate(begin_ns)
        self._enter(Phase.SETTLE, begin_ns, window_ns)
        self._wait(window_ns)
        self._enter(Phase.WINDOW, window_ns, end_ns)
        self._wait(end_ns)

    def _set_rate(self, rate_per_s: float) -> int:
        """Send the rate, with other random arrivals each time; return when it begins."""
        begin_ns, rate = self.clock() + LEAD_NS, self.load.rate
        arrivals = Rate.steady(rate_per_s, poisson=rate is not None and rate.poisson)
        self.commands.set_rate(arrivals, begin_ns, seed=self.seed + len(self._spans))
        return begin_ns

    def _enter(self, phase: Phase, from_ns: int, until_ns: int) -> None:
        self.phase = phase
        self._spans = (*self._spans, Span(phase=phase, from_ns=from_ns, until_ns=max(until_ns, from_ns)))
        self.observer.phases_known(self._spans)

    def _wait(self, until_ns: int) -> None:
        while self.clock() < until_ns:
            self._step(until_ns)

    def _step(self, until_ns: int) -> None:
        if self.observer.enough():
            raise _Enough
        self.step(until_ns)
