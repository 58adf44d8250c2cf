"""The search on a stack that is up: trials asked for by MLRsearch, made by the load, and judged by the budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from seatrial.campaign import booked, warmed
from seatrial.judge import backlog, capacity, excess, strain
from seatrial.judge.backlog import Flows
from seatrial.judge.capacity import Capacity, Effort
from seatrial.judge.capacity import Trial as Made
from seatrial.judge.carrying import Tried
from seatrial.judge.excess import Divided, Excess
from seatrial.load.book import Book
from seatrial.load.orders import Driven, Hooks, Orders
from seatrial.load.stages import CALM_WITHIN_S, REST_WITHIN_S, Stage, perform
from seatrial.model import Phase, Spawn
from seatrial.units import NS_PER_S
from seatrial.wire import buckets

MARGIN = 0.95
"""The part of the lower bound that is validated: the bound is a median, below which a long window has to hold."""

_CURVE_PERCENT = 95
_REST_FLOWS = 2.0
"""A flow that began as the gate shut may take so many times as long as where nothing queues."""


def _nobody() -> None:
    """Keep nothing."""


@dataclass(slots=True, kw_only=True)
class Seeking:
    """One search; after `perform` it holds what was found.

    `say` tells a person of each trial; `keep` is called after each, and before the validation, so that what was
    done up to then is not lost.
    """

    budgets: Divided
    effort: Effort
    warmup_s: float
    validate_s: float
    users: int
    say: Callable[[str], None]
    keep: Callable[[], None] = _nobody
    tried: list[Tried] = field(default_factory=list)
    found: Capacity | None = None
    search_s: float = 0.0
    validated_per_s: float | None = None
    _strained: str = ""
    _hung: str = ""
    _answers: int = 0
    _warmup: Flows | None = None
    _kept: list[Flows] = field(default_factory=list)

    @property
    def flow_s(self) -> float | None:
        """How long a flow takes where nothing queues; None as long as none has ended."""
        return backlog.calm_s(self._warmup, self._kept, self.effort.first_per_s)

    @property
    def too_high(self) -> float:
        """By which share the bounds may be above what the stack carries, because flows are long; 0.1 is 10 %."""
        found = self.so_far()
        if found is None or found.lower_per_s is None or self.flow_s is None:
            return 0.0
        return backlog.too_high(found.lower_per_s, self.flow_s, self.budgets.wait_s, self.effort.trial_s)

    @property
    def silent(self) -> str:
        """Why nothing is known of a stack that kept no rate: it hung. Empty if it answered, though not in time."""
        if self.found is None or self.found.lower_per_s is not None or not self.tried:
            return ""
        if not self._answers:
            due = sum(one.arrivals for one in self.tried)
            return f"of {due} arrivals in {len(self.tried)} trials none ended well"
        return self._hung if self._hung == self.found.limited_by else ""

    @property
    def generator(self) -> bool:
        """Whether the load generator, or its pool of users, is why the search did not come to its end."""
        return self.found is not None and bool(self._strained) and self.found.limited_by == self._strained

    @property
    def percentile(self) -> int:
        """The percentile of the curve: that of the first budget of a latency."""
        told = self.budgets.latency
        return _CURVE_PERCENT if told is None else told.metric.percent or _CURVE_PERCENT

    @property
    def of(self) -> str | None:
        """The endpoint of the curve; None for all."""
        return None if self.budgets.latency is None else self.budgets.latency.metric.of

    def perform(self, orders: Orders, hooks: Hooks, *, spawn: Spawn) -> Driven:
        """Drive the load through warm-up, search and validation."""
        return perform(orders, hooks, spawn=spawn, play=self.play)

    def play(self, stage: Stage) -> None:
        """Warm up at the lowest rate, search, and validate what was found if there is a lower bound."""
        first_per_s = self.effort.first_per_s
        book = stage.trial(first_per_s, self.warmup_s, Phase.WARMUP, CALM_WITHIN_S)
        warmed.check(book, self.budgets, self.effort)
        self._warmup = booked.flows(book, first_per_s)
        probe_s = max(self.effort.probe_s, backlog.GOOD_FLOWS * (self.flow_s or 0.0))
        self.effort = replace(self.effort, probe_s=min(probe_s, self.effort.trial_s))
        began_ns = stage.clock()
        self.found = capacity.search(lambda rate, span: self._trial(stage, began_ns, rate, span), self.effort)
        if self.found.lower_per_s is None or not self.validate_s:
            return
        self.validated_per_s = MARGIN * self.found.lower_per_s
        self.keep()
        self.say(f"validating {self.validated_per_s:.4g}/s for {self.validate_s:g} s")
        stage.window(self.validated_per_s, self.validate_s)

    def so_far(self) -> Capacity | None:
        """Return what was found; while the search lasts, what its trials say up to now. None without a trial."""
        if self.found is not None or not self.tried:
            return self.found
        return capacity.so_far([booked.made(one) for one in self.tried], "")

    def _trial(self, stage: Stage, began_ns: int, rate_per_s: float, duration_s: float) -> Made:
        rest_s = min(max(REST_WITHIN_S, _REST_FLOWS * (self.flow_s or 0.0)), CALM_WITHIN_S)
        book = stage.trial(rate_per_s, duration_s, Phase.SETTLE, rest_s)
        tried = self._judged(book, rate_per_s, duration_s, (book.begin_ns - began_ns) / NS_PER_S)
        if tried.kept and not tried.invalid:
            self._kept.append(booked.flows(book, rate_per_s))
        self.tried.append(tried)
        self.search_s = (stage.clock() - began_ns) / NS_PER_S
        self.say(said(tried))
        self.keep()
        return booked.made(tried)

    def _judged(self, book: Book, rate_per_s: float, duration_s: float, after_s: float) -> Tried:
        seen = booked.observed(book)
        self._answers += seen.successes or (0 if seen.failed else book.completed)
        asked, backlogged = excess.excess(self.budgets.searched, seen), self._backlog(book, rate_per_s)
        piled = backlogged.value > max(asked.value, 1.0)
        beyond = backlogged if piled else asked
        return Tried(
            after_s=after_s,
            rate_per_s=rate_per_s,
            duration_s=duration_s,
            arrivals=seen.arrivals,
            completed_per_s=book.completed_per_s,
            failed=seen.failed,
            lost=seen.lost,
            latency_ns=buckets.percentile_ns(seen.of(self.of), self.percentile),
            excess=beyond.value,
            text=beyond.text,
            invalid=self._invalid(book, rate_per_s, broken=beyond.value > 1.0),
            carried=book.carried,
            piled=piled,
        )

    def _backlog(self, book: Book, rate_per_s: float) -> Excess:
        """Return how far the stack was from keeping up with the rate, whatever its requests took."""
        flow_s = backlog.calm_s(self._warmup, self._kept, rate_per_s)
        return backlog.excess(booked.flows(book, rate_per_s), flow_s, self.budgets.wait_s)

    def _invalid(self, book: Book, rate_per_s: float, *, broken: bool) -> str:
        """Return why a trial says nothing of the stack; what was kept is not doubted."""
        if not book.arrivals:
            return "no arrival was due: the trial is shorter than the gap between two"
        if not broken:
            return ""
        if book.carried:
            self._hung = f"it began with {book.carried} arrivals under way from the trial before"
            return self._hung
        strictest_ns = self.budgets.strictest_ns
        self._strained = strain.strained(
            booked.health(book), strictest_ns, self.budgets.share
        ) or strain.pool_short(
            rate_per_s=rate_per_s,
            late=book.late,
            users=self.users,
            strictest_ns=strictest_ns,
            flow_s=self.flow_s or 0.0,
        )
        return self._strained


def said(tried: Tried) -> str:
    """Return a trial in one line."""
    word = "invalid: " + tried.invalid if tried.invalid else "kept" if tried.kept else "broken"
    return f"{tried.rate_per_s:7.1f}/s for {tried.duration_s:g} s: {word}; {tried.text}"
