"""Handing arrivals to idle users; late and dropped arrivals.

An arrival that finds an idle user is begun at once. One that finds none waits, first come, first served: it is
late. One that has waited LATE_LIMIT_S is dropped, and so is all that waits when the run ends: both are recorded,
none is forgotten. What would be due while the gate is shut does not exist: it is neither counted nor served later.
What still waits when the gate shuts is dropped at that moment, so that nothing of one turn is served in the next.
"""

from __future__ import annotations

import math
import time
from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import Waiter

from seatrial.units import NS_PER_S
from seatrial.user.gate import Gate, InterruptibleSleep
from seatrial.user.schedule import ArrivalFeed

COUNTS = ("arrivals", "arrivals_completed", "arrivals_late", "arrivals_dropped")
TOOK = "arrivals_took_ns"
"""Told with the counts, and no column: the time from moment to end, summed over the completed."""


class ArrivalCounts:
    """Counts nothing until `begin`: in the closed model there are no arrivals that could have been late."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._slips_ns: list[int] = []

    def begin(self) -> None:
        """Count from now on; again does nothing."""
        self._counts = self._counts or dict.fromkeys((*COUNTS, TOOK), 0)

    def add(self, name: str, number: int = 1) -> None:
        """Count one more of `COUNTS`, or so much of `TOOK`."""
        self._counts[name] += number

    def slipped(self, slip_ns: int) -> None:
        """Note how late an arrival was begun that found an idle user at its moment."""
        self._slips_ns.append(slip_ns)

    def take(self) -> tuple[dict[str, int | None], int | None]:
        """Return the counts and the 99th percentile (nearest rank) of the slip, and begin anew.

        The counts are None where nothing began; the slip is None where no arrival found an idle user.
        """
        if not self._counts:
            return dict.fromkeys(COUNTS), None
        counts: dict[str, int | None] = {**self._counts}
        self._counts = dict.fromkeys((*COUNTS, TOOK), 0)
        slips_ns, self._slips_ns = sorted(self._slips_ns), []
        return counts, slips_ns[-(-99 * len(slips_ns) // 100) - 1] if slips_ns else None


LATE_LIMIT_S = 10.0
GRACE_NS = 5_000_000
"""So long after the gate shut an arrival is still given to an idle user: loop and timers may be so late."""


class Arrivals:
    """Hands arrivals to idle users; `dropped` is told the moment of each that is given up, and when that was.

    A user serves one arrival from `wait` to `completed`. `run` has to be run in a greenlet.
    """

    def __init__(
        self,
        feed: ArrivalFeed,
        gate: Gate,
        dropped: Callable[[int, int], None],
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        late_limit_s: float = LATE_LIMIT_S,
    ) -> None:
        self.feed = feed
        self.on = False
        self._gate = gate
        self._dropped = dropped
        self._clock = clock
        self._limit_ns = round(late_limit_s * NS_PER_S)
        self._idle: OrderedDict[Any, int] = OrderedDict()
        self._handed: dict[Any, tuple[int, bool]] = {}
        self._waiting: deque[int] = deque()
        self._tally = ArrivalCounts()
        self._changed = False
        self._alarm = InterruptibleSleep(clock)
        gate.on_change(before=self._catch_up, after=self._catch_up)

    def begin(self) -> None:
        """Drive users by arrivals from now on."""
        self.on = True
        self._tally.begin()
        self.look()

    def end(self) -> None:
        """Have no arrivals any more, and give up what waits."""
        if not self.on:
            return
        now_ns = self._clock()
        self.tick(now_ns)
        self.on = False
        self.feed.end()
        while self._waiting:
            self._drop(self._waiting.popleft(), now_ns)

    def look(self) -> None:
        """Look again at once: feed or gate have changed."""
        self._changed = True
        self._alarm.ring()

    def wait(self) -> int:
        """Wait in the calling user's greenlet for an arrival, and return its moment."""
        self._give_up(self._clock())
        if self._waiting:
            return self._waiting.popleft()
        while True:
            due_ns, at_once = self._await()
            now_ns = self._clock()
            if not self._shut_since(due_ns, now_ns - GRACE_NS):
                break
            self._drop(due_ns, now_ns)
        if at_once:
            self._tally.slipped(now_ns - due_ns)
        return due_ns

    def _await(self) -> tuple[int, bool]:
        """Wait to be handed an arrival; also return whether that was at its moment, without any wait before."""
        waiter: Any = Waiter()
        self._idle[waiter] = 0
        try:
            waiter.get()
        except BaseException:
            self._idle.pop(waiter, None)
            if waiter in self._handed:
                self.give_back(self._handed.pop(waiter)[0])
            raise
        return self._handed.pop(waiter)

    def give_back(self, due_ns: int) -> None:
        """Take back an arrival whose user ends before it begun; it is the next one's."""
        now_ns = self._clock()
        if not self.on:
            self._drop(due_ns, now_ns)
            return
        insort(self._waiting, due_ns)
        self._serve(now_ns)
        self.look()

    def completed(self, due_ns: int) -> None:
        """Count an arrival whose task has ended, and how long after its moment that was."""
        self._tally.add("arrivals_completed")
        self._tally.add(TOOK, self._clock() - due_ns)

    def take(self) -> tuple[dict[str, int | None], int | None]:
        """Return the counts and the 99th percentile of the slip since the last call, and begin anew.

        What waited for a user, or in one that was ended, has no slip: that was no fault of this process.
        """
        return self._tally.take()

    def run(self) -> None:
        """Hand out arrivals until killed."""
        while True:
            self._changed = False
            now_ns = self._clock()
            self.tick(now_ns)
            next_ns = self._next_ns(now_ns)
            if not self._changed:
                self._alarm.sleep_until(next_ns)

    def tick(self, now_ns: int) -> None:
        """Hand out, or let wait, what is due by now; give up what has waited too long."""
        if not self.on:
            return
        self._serve(now_ns)
        for due_ns in self.feed.due(now_ns):
            if self._gate.open_at(due_ns):
                self._tally.add("arrivals")
                self._begin_or_keep(due_ns, now_ns)

    def _begin_or_keep(self, due_ns: int, now_ns: int) -> None:
        if self._idle and not self._waiting and not self._shut_since(due_ns, now_ns - GRACE_NS):
            self._hand(due_ns, at_once=True)
            return
        self._tally.add("arrivals_late")
        if self._shut_since(due_ns, now_ns):
            self._drop(due_ns, now_ns)
        else:
            self._waiting.append(due_ns)

    def _catch_up(self) -> None:
        self.tick(self._clock())
        self.look()

    def _serve(self, now_ns: int) -> None:
        """Give what waits to who is idle."""
        self._give_up(now_ns)
        while self._waiting and self._idle:
            self._hand(self._waiting.popleft(), at_once=False)

    def _hand(self, due_ns: int, *, at_once: bool) -> None:
        waiter, _ = self._idle.popitem(last=False)
        self._handed[waiter] = (due_ns, at_once)
        gevent.get_hub().loop.run_callback(waiter.switch, None)

    def _shut_since(self, due_ns: int, now_ns: int) -> bool:
        """Tell whether the gate has shut since an arrival's moment, though it may be open again."""
        shuts_ns = self._gate.shuts_ns(due_ns)
        return shuts_ns is None or shuts_ns <= now_ns

    def _give_up(self, now_ns: int) -> None:
        while self._waiting and self._is_over(self._waiting[0], now_ns):
            self._drop(self._waiting.popleft(), now_ns)

    def _is_over(self, due_ns: int, now_ns: int) -> bool:
        return now_ns - due_ns > self._limit_ns or self._shut_since(due_ns, now_ns)

    def _drop(self, due_ns: int, now_ns: int) -> None:
        """Give an arrival up: now, or when the gate shut on it, which a blocked loop hears of later."""
        shuts_ns = self._gate.shuts_ns(due_ns)
        self._tally.add("arrivals_dropped")
        self._dropped(due_ns, now_ns if shuts_ns is None else min(now_ns, shuts_ns))

    def _next_ns(self, now_ns: int) -> float:
        if not self.on:
            return math.inf
        next_ns = self.feed.next_ns(now_ns)
        if self._waiting:
            shuts_ns = self._gate.shuts_ns(self._waiting[0])
            next_ns = min(next_ns, self._waiting[0] + self._limit_ns + 1, shuts_ns or now_ns)
        return next_ns
