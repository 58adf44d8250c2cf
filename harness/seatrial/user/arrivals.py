"""The open model in one process: arrivals come when they are due, whatever the server does, and users serve them.

An arrival that finds an idle user is begun at once. One that finds none waits, first come, first served: it is
late. One that has waited LATE_LIMIT_S is dropped, and so is all that waits when the gate shuts or the run ends:
each is recorded, none is forgotten. What would be due while the gate is shut does not exist: it is neither counted
nor served later. So every arrival is served, or given up, in the turn of the gate in which it was due.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import Waiter

from seatrial.user.feed import Feed
from seatrial.user.gate import Gate

LATE_LIMIT_S = 10.0
_NS = 1_000_000_000
COUNTS = ("arrivals", "arrivals_completed", "arrivals_late", "arrivals_dropped")


class Arrivals:
    """Hands arrivals to idle users; `dropped` is told the moment of each that is given up, and when that was.

    A user serves one arrival from `wait` to `completed`. `run` has to be run in a greenlet.
    """

    def __init__(
        self,
        feed: Feed,
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
        self._limit_ns = round(late_limit_s * _NS)
        self._idle: OrderedDict[Any, int] = OrderedDict()
        self._handed: dict[Any, int] = {}
        self._waiting: deque[int] = deque()
        self._counts: dict[str, int] = {}
        self._slips_ns: list[int] = []
        self._changed = False
        self._sleeper: Any = None
        gate.on_change(self.look)

    def begin(self) -> None:
        """Drive users by arrivals from now on."""
        self.on = True
        self._counts = self._counts or dict.fromkeys(COUNTS, 0)
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
            self._drop(now_ns)

    def look(self) -> None:
        """Look again at once: feed or gate have changed."""
        self._changed = True
        if self._sleeper is not None:
            gevent.get_hub().loop.run_callback(self._sleeper.switch, None)

    def wait(self) -> int:
        """Wait in the calling user's greenlet for an arrival, and return its moment."""
        now_ns = self._clock()
        if self._waiting and self._gate.open_at(now_ns):
            self._drop_late(now_ns)
            if self._waiting:
                return self._waiting.popleft()
        waiter: Any = Waiter()
        self._idle[waiter] = 0
        try:
            waiter.get()
        except BaseException:
            self._idle.pop(waiter, None)
            if waiter in self._handed:
                self.give_back(self._handed.pop(waiter))
            raise
        due_ns = self._handed.pop(waiter)
        self._slips_ns.append(self._clock() - due_ns)
        return due_ns

    def give_back(self, due_ns: int) -> None:
        """Take back an arrival whose user ends before it begun; it is the next one's."""
        now_ns = self._clock()
        self._waiting.appendleft(due_ns)
        if self.on and self._gate.open_at(now_ns):
            self._serve(now_ns)
        else:
            self._drop(now_ns)

    def completed(self) -> None:
        """Count an arrival whose task has ended."""
        self._counts["arrivals_completed"] += 1

    def take(self) -> tuple[dict[str, int | None], int | None]:
        """Return the counts and the 99th percentile of the slip since the last call, and begin anew.

        The counts are None in the closed model; the slip is None where no arrival found an idle user.
        """
        if not self._counts:
            return dict.fromkeys(COUNTS), None
        counts: dict[str, int | None] = {**self._counts}
        self._counts = dict.fromkeys(COUNTS, 0)
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
                self._sleep_until(next_ns)

    def _sleep_until(self, t_ns: float) -> None:
        """Sleep until a moment, or until `look` is called; a timer alone is cheaper than an Event's wait."""
        self._sleeper = Waiter()
        timer: Any = None
        if t_ns != math.inf:
            timer = gevent.get_hub().loop.timer(max(t_ns - self._clock(), 0) / _NS)
            timer.start(self._sleeper.switch, None, update=True)
        try:
            self._sleeper.get()
        finally:
            self._sleeper = None
            if timer is not None:
                timer.stop()
                timer.close()

    def tick(self, now_ns: int) -> None:
        """Hand out, or let wait, what is due by now; give up what has waited too long, or longer than the gate.

        What was due before the gate shut is begun although the loop only looks now, if a user is idle.
        """
        if not self.on:
            return
        self._drop_late(now_ns)
        self._serve(now_ns)
        for due_ns in self.feed.due(now_ns):
            if not self._gate.open_at(due_ns):
                continue
            self._counts["arrivals"] += 1
            if self._idle and not self._waiting:
                self._hand(due_ns)
            else:
                self._counts["arrivals_late"] += 1
                self._waiting.append(due_ns)
        while self._waiting and not self._gate.open_at(now_ns):
            self._drop(now_ns)

    def _serve(self, now_ns: int) -> None:
        """Give what waits to who is idle: users that the gate has held back."""
        if self._gate.open_at(now_ns):
            while self._waiting and self._idle:
                self._hand(self._waiting.popleft())

    def _hand(self, due_ns: int) -> None:
        waiter, _ = self._idle.popitem(last=False)
        self._handed[waiter] = due_ns
        gevent.get_hub().loop.run_callback(waiter.switch, None)

    def _drop_late(self, now_ns: int) -> None:
        while self._waiting and now_ns - self._waiting[0] > self._limit_ns:
            self._drop(now_ns)

    def _drop(self, now_ns: int) -> None:
        self._counts["arrivals_dropped"] += 1
        self._dropped(self._waiting.popleft(), now_ns)

    def _next_ns(self, now_ns: int) -> float:
        if not self.on:
            return math.inf
        next_ns = self.feed.next_ns(now_ns)
        if self._waiting:
            closing_ns = self._gate.next_closing_ns(now_ns)
            next_ns = min(next_ns, self._waiting[0] + self._limit_ns + 1, closing_ns or math.inf)
        return next_ns
