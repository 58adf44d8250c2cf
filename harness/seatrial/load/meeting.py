"""Where the load processes of a block wait for each other, and learn whose turn is when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from seatrial.load.turns import Slicing, Turns
from seatrial.units import NS_PER_S

AHEAD_NS = 2 * NS_PER_S
"""How long before its beginning a turn is told: a harness that is held up must not shorten it."""

_START_LEAD_NS = 500_000_000
"""Each load looks every 50 ms whether a moment is set, and then tells its processes."""


class Meeting:
    """Sets one moment for all once all are ready, and keeps the order of the slices.

    Who leaves is not waited for, and has no more turns. What was told of a turn holds: slices that begin within
    AHEAD_NS stay where they are. May be used from several threads.
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
        self._told: dict[str, int] = {}
        self._clock = clock
        self._lock = threading.Lock()

    def arrive(self, name: str) -> None:
        """Say that a variant's load is ready."""
        with self._lock:
            self._ready.add(name)
            self._begin_if_all()

    def leave(self, name: str) -> None:
        """Say that a variant does not take part, or no more."""
        with self._lock:
            self._awaited.discard(name)
            self._ready.discard(name)
            self.slicing = self.slicing.without(name, self._kept())
            self._end_warmup_if_all()
            self._begin_if_all()

    def warmed(self, name: str) -> None:
        """Say that a variant's latency is stable; once all are, the warm-up ends."""
        with self._lock:
            self._stable.add(name)
            self._end_warmup_if_all()

    def call_off(self) -> None:
        """End it for all, as soon as they look."""
        self.called_off = True

    def turns(self, name: str) -> Turns:
        """Return one variant's turns, as far as is known now; ValueError before a moment is set."""
        if self.start_ns is None:
            raise ValueError("there are no turns before all are ready")
        return self.slicing.turns(name, self.start_ns)

    def due(self, name: str) -> tuple[tuple[int, int], ...]:
        """Return those of a variant's turns, (from, until), that are to be told now, each once."""
        with self._lock:
            limit_ns = self._clock() + AHEAD_NS
            told = self._told.get(name, 0)
            found = tuple(one for one in self.turns(name).windows[told:] if one[0] < limit_ns)
            self._told[name] = told + len(found)
            return found

    def now(self) -> tuple[int, str]:
        """Return the number (from 1) of the slice that is on now and whose it is; 0 and "" if there is none."""
        start_ns, order = self.start_ns, self.slicing.order
        if start_ns is None:
            return 0, ""
        number = self._number(self._clock(), start_ns)
        return (number + 1, order[number]) if 0 <= number < len(order) else (0, "")

    def _number(self, moment_ns: int, start_ns: int) -> int:
        return (moment_ns - start_ns) // round(self.slicing.slice_s * NS_PER_S)

    def _kept(self) -> int:
        """Return how many slices can't be changed any more: all that anybody can have been told of."""
        if self.start_ns is None:
            return 0
        return max(self._number(self._clock() + AHEAD_NS, self.start_ns) + 1, 0)

    def _end_warmup_if_all(self) -> None:
        if self._stable and self._stable >= self._awaited:
            self.slicing = self.slicing.warmed(self._kept())

    def _begin_if_all(self) -> None:
        if self.start_ns is None and self._ready and self._ready >= self._awaited:
            self.start_ns = self._clock() + _START_LEAD_NS
