"""The arrival queue of an open model: hands due arrivals to idle users; late and dropped arrivals.

An arrival that finds an idle user is begun at once. One that finds none waits, first come, first served: it is
late. One that has waited LATE_LIMIT_S is dropped, and so are all that wait when the run ends: both are recorded.
An arrival that would be due while the gate is shut does not exist: it is neither counted nor served later. What
still waits when the gate shuts is dropped then, so that no arrival of one window is served in the next.
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
"""The time from due to the end of the task, summed over the completed; sent with the counts, and no column."""
LATE_LIMIT_S = 10.0
GRACE_NS = 5_000_000
"""For so long after the gate shut an arrival still goes to an idle user: loop and timers may be so late."""


class Arrivals:
    """Hands arrivals to idle users; `dropped` is called with due time and drop time of each that is dropped.

    A user serves one arrival from `wait` to `completed`. `run` has to run in a greenlet of its own.
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
        self._idle: OrderedDict[Any, None] = OrderedDict()
        self._handed: dict[Any, tuple[int, bool]] = {}
        self._waiting: deque[int] = deque()
        self._counts: dict[str, int] = {}
        self._slips_ns: list[int] = []
        self._changed = False
        self._sleep = InterruptibleSleep(clock)
        gate.on_change = self._on_gate_change

    def begin(self) -> None:
        """Drive users by arrivals from now on."""
        self.on = True
        self._counts = self._counts or dict.fromkeys((*COUNTS, TOOK), 0)
        self.wake()

    def end(self) -> None:
        """Have no more arrivals, and drop those that wait."""
        if not self.on:
            return
        now_ns = self._clock()
        self.tick(now_ns)
        self.on = False
        self.feed.end()
        while self._waiting:
            self._drop(self._waiting.popleft(), now_ns)

    def wake(self) -> None:
        """Have `run` look again at once: feed or gate have changed."""
        self._changed = True
        self._sleep.interrupt()

    def wait(self) -> int:
        """Wait in the calling user's greenlet for an arrival, and return its moment."""
        self._drop_overdue(self._clock())
        if self._waiting:
            return self._waiting.popleft()
        while True:
            due_ns, at_once = self._await_handover()
            now_ns = self._clock()
            if not self._shut_since(due_ns, now_ns - GRACE_NS):
                break
            self._drop(due_ns, now_ns)
        if at_once:
            self._slips_ns.append(now_ns - due_ns)
        return due_ns

    def give_back(self, due_ns: int) -> None:
        """Take back an arrival whose user ends before it began; the next user gets it."""
        now_ns = self._clock()
        if not self.on:
            self._drop(due_ns, now_ns)
            return
        insort(self._waiting, due_ns)
        self._serve_waiting(now_ns)
        self.wake()

    def completed(self, due_ns: int) -> None:
        """Count an arrival whose task has ended, and the time since its moment."""
        self._counts["arrivals_completed"] += 1
        self._counts[TOOK] += self._clock() - due_ns

    def take(self) -> tuple[dict[str, int | None], int | None]:
        """Return the counts and the 99th percentile (nearest rank) of the slip since the last call.

        The slip is how late an arrival was begun that found an idle user at its moment; None where none did: one
        that waited for a user, or was given back by one that ended, was late through no fault of this process.
        In the closed model, where no arrival could have been late, the counts are None.
        """
        if not self._counts:
            return dict.fromkeys(COUNTS), None
        counts: dict[str, int | None] = {**self._counts}
        self._counts = dict.fromkeys(self._counts, 0)
        slips_ns, self._slips_ns = sorted(self._slips_ns), []
        return counts, slips_ns[-(-99 * len(slips_ns) // 100) - 1] if slips_ns else None

    def run(self) -> None:
        """Hand out arrivals until killed."""
        while True:
            self._changed = False
            now_ns = self._clock()
            self.tick(now_ns)
            next_ns = self._next_ns(now_ns)
            if not self._changed:
                self._sleep.sleep_until(next_ns)

    def tick(self, now_ns: int) -> None:
        """Hand out or queue the arrivals that are due by now; drop those that have waited too long."""
        if not self.on:
            return
        self._serve_waiting(now_ns)
        for due_ns in self.feed.due(now_ns):
            if not self._gate.open_at(due_ns):
                continue
            self._counts["arrivals"] += 1
            if self._idle and not self._waiting and not self._shut_since(due_ns, now_ns - GRACE_NS):
                self._hand(due_ns, at_once=True)
                continue
            self._counts["arrivals_late"] += 1
            if self._shut_since(due_ns, now_ns):
                self._drop(due_ns, now_ns)
            else:
                self._waiting.append(due_ns)

    def _on_gate_change(self) -> None:
        self.tick(self._clock())
        self.wake()

    def _await_handover(self) -> tuple[int, bool]:
        """Wait to be handed an arrival; also return whether that was at its moment, without any wait before."""
        waiter: Any = Waiter()
        self._idle[waiter] = None
        try:
            waiter.get()
        except BaseException:
            self._idle.pop(waiter, None)
            if waiter in self._handed:
                self.give_back(self._handed.pop(waiter)[0])
            raise
        return self._handed.pop(waiter)

    def _serve_waiting(self, now_ns: int) -> None:
        self._drop_overdue(now_ns)
        while self._waiting and self._idle:
            self._hand(self._waiting.popleft(), at_once=False)

    def _hand(self, due_ns: int, *, at_once: bool) -> None:
        waiter, _ = self._idle.popitem(last=False)
        self._handed[waiter] = (due_ns, at_once)
        gevent.get_hub().loop.run_callback(waiter.switch, None)

    def _shut_since(self, due_ns: int, now_ns: int) -> bool:
        """Return whether the gate has shut since an arrival's moment, though it may be open again."""
        shuts_ns = self._gate.shuts_ns(due_ns)
        return shuts_ns is None or shuts_ns <= now_ns

    def _drop_overdue(self, now_ns: int) -> None:
        while self._waiting and (
            now_ns - self._waiting[0] > self._limit_ns or self._shut_since(self._waiting[0], now_ns)
        ):
            self._drop(self._waiting.popleft(), now_ns)

    def _drop(self, due_ns: int, now_ns: int) -> None:
        """Drop an arrival: now, or at the moment when the gate shut on it, which a blocked loop notices late."""
        shuts_ns = self._gate.shuts_ns(due_ns)
        self._counts["arrivals_dropped"] += 1
        self._dropped(due_ns, now_ns if shuts_ns is None else min(now_ns, shuts_ns))

    def _next_ns(self, now_ns: int) -> float:
        if not self.on:
            return math.inf
        next_ns = self.feed.next_ns(now_ns)
        if self._waiting:
            shuts_ns = self._gate.shuts_ns(self._waiting[0])
            next_ns = min(next_ns, self._waiting[0] + self._limit_ns + 1, shuts_ns or now_ns)
        return next_ns
