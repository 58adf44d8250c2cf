"""The search on a stack that is up: trials asked for by MLRsearch, made by the load, and judged by the budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from seatrial.errors import UsageError
from seatrial.judge import capacity, excess, strain
from seatrial.judge.capacity import Capacity, Effort
from seatrial.judge.capacity import Trial as Made
from seatrial.judge.carrying import Tried
from seatrial.judge.excess import Divided, Observed
from seatrial.judge.strain import Health
from seatrial.load.book import Book
from seatrial.load.orders import Driven, Hooks, Orders
from seatrial.load.stages import Stage, perform
from seatrial.model import Phase, Spawn
from seatrial.units import NS_PER_S
from seatrial.wire import buckets

MARGIN = 0.95
"""The part of the lower bound that is validated: the bound is a median, below which a long window has to hold."""

_CURVE_PERCENT = 95


@dataclass(slots=True, kw_only=True)
class Seeking:
    """One search; after `perform` it holds what was found. `say` tells a person of each trial."""

    budgets: Divided
    effort: Effort
    warmup_s: float
    validate_s: float
    users: int
    say: Callable[[str], None]
    tried: list[Tried] = field(default_factory=list)
    found: Capacity | None = None
    search_s: float = 0.0
    validated_per_s: float | None = None
    _strained: str = ""

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
        self._check(stage.trial(self.effort.first_per_s, self.warmup_s, Phase.WARMUP))
        began_ns = stage.clock()
        self.found = capacity.search(lambda rate, span: self._trial(stage, began_ns, rate, span), self.effort)
        self.search_s = (stage.clock() - began_ns) / NS_PER_S
        if self.found.lower_per_s is None or not self.validate_s:
            return
        self.validated_per_s = MARGIN * self.found.lower_per_s
        self.say(f"validating {self.validated_per_s:.4g}/s for {self.validate_s:g} s")
        stage.window(self.validated_per_s, self.validate_s)

    def _check(self, book: Book) -> None:
        """Refuse a budget of what is never asked for: it would be kept by every rate."""
        asked = sorted({*book.latency, *book.failures})
        strangers = excess.unknown(self.budgets.searched, asked)
        if asked and strangers:
            raise UsageError(
                f"no request is named {', '.join(map(repr, strangers))}",
                where="budgets",
                seen=f"in the warm-up: {', '.join(asked)}",
                expected="the endpoints of requests: a trial is judged by requests, not by flows",
            )

    def _trial(self, stage: Stage, began_ns: int, rate_per_s: float, duration_s: float) -> Made:
        book = stage.trial(rate_per_s, duration_s)
        tried = self._judged(book, rate_per_s, duration_s, (book.begin_ns - began_ns) / NS_PER_S)
        self.tried.append(tried)
        self.say(said(tried))
        return Made(
            rate_per_s=rate_per_s,
            duration_s=duration_s,
            excess=tried.excess,
            completed_per_s=tried.completed_per_s,
            invalid=tried.invalid,
        )

    def _judged(self, book: Book, rate_per_s: float, duration_s: float, after_s: float) -> Tried:
        seen = Observed(arrivals=book.arrivals, lost=book.lost, failures=book.failures, latency=book.latency)
        beyond = excess.excess(self.budgets.searched, seen)
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
        )

    def _invalid(self, book: Book, rate_per_s: float, *, broken: bool) -> str:
        """Return why a trial says nothing of the stack; what was kept is not doubted."""
        if not book.arrivals:
            return "no arrival was due: the trial is shorter than the gap between two"
        if not broken:
            return ""
        if book.carried:
            return f"it began with {book.carried} arrivals under way from the trial before"
        strictest_ns = self.budgets.strictest_ns
        self._strained = strain.strained(_health(book), strictest_ns, self.budgets.share) or strain.pool_short(
            rate_per_s=rate_per_s, late=book.late, users=self.users, strictest_ns=strictest_ns
        )
        return self._strained


def said(tried: Tried) -> str:
    """Return a trial in one line."""
    word = "invalid: " + tried.invalid if tried.invalid else "kept" if tried.kept else "broken"
    return f"{tried.rate_per_s:7.1f}/s for {tried.duration_s:g} s: {word}; {tried.text}"


def _health(book: Book) -> list[Health]:
    """Return how the load did in the seconds in which the gate was open."""
    return [
        Health(
            arrivals=one.arrivals,
            cpu_fraction=one.cpu_fraction,
            loop_lag_p50_ns=one.loop_lag_p50_ns,
            loop_lag_p99_ns=one.loop_lag_p99_ns,
            slip_p99_ns=one.slip_p99_ns,
        )
        for one in book.seconds
        if one.arrivals
    ]
