"""A drive of many trials on one stack: the gate opens for each, and everything comes to rest in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from seatrial.load.book import Book
from seatrial.load.child import LoadSettings
from seatrial.load.driving import LoadDriver, LoadObserver, LoadResult, started
from seatrial.load.seconds import Second
from seatrial.load.steering import LEAD_NS, steady
from seatrial.model import Phase, Span, Spawn
from seatrial.units import NS_PER_S

REST_WITHIN_S = 4.0
"""How long a stack may take to end what is in flight when a trial is over: 200 requests at 50 a second."""

CALM_WITHIN_S = 40.0
"""How long the next trial waits for what did not end by then: 100 pulls in flight on two cores took 15 s."""

SETTLE_S = 1.0
_GATE_LEAD_NS = LEAD_NS
_SECOND_S = 1.5
"""A second of the load is told when it is over, and may be late."""


class _Enough(Exception):
    """Ends a play where the observer has seen enough."""


@dataclass(slots=True)
class Stage:
    """What a play may do with the load: trials that begin and end at rest, and one window at the end.

    Rates are arrivals a second, `poisson` says how they are spaced.
    """

    drive: LoadDriver
    observer: LoadObserver
    poisson: bool
    seed: int
    clock: Callable[[], int]
    spans: list[Span]
    book: Book | None = None
    phase: Phase = Phase.WARMUP

    def second(self, second: Second) -> None:
        """Take in a second of the load."""
        if self.book is not None:
            self.book.take(second)
        self.observer.second(self.phase, second)

    def trial(
        self, rate_per_s: float, duration_s: float, phase: Phase = Phase.SETTLE, rest_s: float = REST_WITHIN_S
    ) -> Book:
        """Open the gate for so long at this rate, and wait for rest.

        What still waits for a user when the gate shuts is dropped; what is in flight may end within `rest_s`, and
        is lost to the trial after that. The next trial waits for it all the same, at most CALM_WITHIN_S: what
        a flood has left would break the budgets of any rate.
        """
        begin_ns = self._at_rate(rate_per_s)
        end_ns = begin_ns + round(duration_s * NS_PER_S)
        self.book = book = Book(begin_ns=begin_ns, end_ns=end_ns, carried=self._under_way())
        self.drive.commands.gate(begin_ns, end_ns)
        self._began(phase, begin_ns, end_ns)
        self._pass(end_ns)
        limit_ns = end_ns + round((rest_s + _SECOND_S) * NS_PER_S)
        while not book.idle and self.clock() < limit_ns and not _rested_long(book, rest_s):
            self._step(limit_ns)
        book.close()
        calm_ns = end_ns + round(CALM_WITHIN_S * NS_PER_S)
        while not book.idle and self.clock() < calm_ns:
            self._step(calm_ns)
        return book

    def window(self, rate_per_s: float, duration_s: float) -> None:
        """Let the load run at this rate: it settles first, then comes the window. The gate stays open."""
        begin_ns = self._at_rate(rate_per_s)
        window_ns = begin_ns + round(SETTLE_S * NS_PER_S)
        end_ns = window_ns + round(duration_s * NS_PER_S)
        self.book = None
        self.drive.commands.gate(begin_ns)
        self._began(Phase.SETTLE, begin_ns, window_ns)
        self._pass(window_ns)
        self._began(Phase.WINDOW, window_ns, end_ns)
        self._pass(end_ns)

    def end(self) -> LoadResult:
        """Ask the load to end, and return how it went."""
        begin_ns = self.clock()
        self.phase = Phase.DRAIN
        self.drive.drain()
        self._began(Phase.DRAIN, begin_ns, self.clock())
        return LoadResult(spans=tuple(self.spans), errors=self.drive.hearing.workers.errors)

    def _at_rate(self, rate_per_s: float) -> int:
        """Tell the rate; return the moment from which it holds. Each time other random arrivals come."""
        begin_ns = self.clock() + _GATE_LEAD_NS
        rate = steady(rate_per_s, poisson=self.poisson)
        self.drive.commands.set_rate(rate, begin_ns, seed=self.seed + len(self.spans))
        return begin_ns

    def _under_way(self) -> int:
        return 0 if self.book is None else max(self.book.under_way, 0)

    def _began(self, phase: Phase, from_ns: int, until_ns: int) -> None:
        self.phase = phase
        self.spans.append(Span(phase=phase, from_ns=from_ns, until_ns=max(until_ns, from_ns)))
        self.observer.phases_known(tuple(self.spans))

    def _pass(self, until_ns: int) -> None:
        while self.clock() < until_ns:
            self._step(until_ns)

    def _step(self, until_ns: int) -> None:
        if self.observer.enough():
            raise _Enough
        self.drive.step(until_ns)


Play = Callable[[Stage], None]
"""What is done on a stage, once all users are ready and nothing was begun yet."""


class StageDriver(LoadDriver):
    """The driver of a load that is played on a stage, which takes its seconds."""

    stage: Stage | None = None

    def take_second(self, second: Second) -> None:
        """Take the counts of one second of all processes."""
        if self.stage is not None:
            self.stage.second(second)


def perform(
    settings: LoadSettings,
    observer: LoadObserver,
    *,
    spawn: Spawn,
    play: Play,
    clock: Callable[[], int] = time.monotonic_ns,
) -> LoadResult:
    """Drive the load as the play wants it; raises what `driving.drive` does.

    The users must be able to follow a rate: `settings.load` has one, whose spacing is kept. Once the observer has
    `enough`, the play ends where it is, and the load drains.
    """
    with started(settings, observer, spawn) as (control, process):
        drive = StageDriver(settings, observer, control, process, clock)
        drive.await_ready()
        rate = settings.load.rate
        stage = Stage(drive, observer, rate is not None and rate.poisson, settings.seed, clock, [])
        drive.stage = stage
        drive.begin(clock() + _GATE_LEAD_NS)
        with suppress(_Enough):
            play(stage)
        return stage.end()


def _rested_long(book: Book, rest_s: float) -> bool:
    last = book.seconds[-1].t_least_ns if book.seconds else 0
    return last >= book.end_ns + round(rest_s * NS_PER_S)
