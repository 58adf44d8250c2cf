"""The barrier at which the loads of a block wait for each other; keeps the order of the slices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from seatrial.load.turns import Slicing, Turns
from seatrial.units import NS_PER_S

AHEAD_NS = 2 * NS_PER_S
"""How long before its beginning a turn is sent to the load: a harness that is held up must not shorten it."""

_START_LEAD_NS = 500_000_000
"""Each load looks every 50 ms whether a moment is set, and then sends it to its processes."""


class Meeting:
    """Sets one moment for all loads once all are ready, and keeps the order of the slices.

    A variant that leaves is not waited for, and has no more turns. A turn that was sent is not changed: slices
    that begin within AHEAD_NS stay where they are. May be used from several threads.
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
        self._sent: dict[str, int] = {}
        self._clock = clock
        self._lock = threading.Lock()

    def arrive(self, name: str) -> None:
        """Count a variant's load as ready; once all are, the start is set."""
        with self._lock:
            self._ready.add(name)
            self._advance()

    def leave(self, name: str) -> None:
        """Take a variant out, and its turns."""
        with self._lock:
            self._awaited.discard(name)
            self._ready.discard(name)
            self.slicing = self.slicing.without(name, self._fixed())
            self._advance()

    def warmed(self, name: str) -> None:
        """Count a variant's latency as stable; once all are, the warm-up ends."""
        with self._lock:
            self._stable.add(name)
            self._advance()

    def call_off(self) -> None:
        """End the block for all loads, as soon as they look."""
        self.called_off = True

    def turns(self, name: str) -> Turns:
        """Return one variant's turns, as far as is known now; ValueError before the start is set."""
        if self.start_ns is None:
            raise ValueError("there are no turns before all are ready")
        return self.slicing.turns(name, self.start_ns)

    def due(self, name: str) -> tuple[tuple[int, int], ...]:
        """Return those of a variant's turns, (from, until), that are to be sent now, each once."""
        with self._lock:
            limit_ns = self._clock() + AHEAD_NS
            sent = self._sent.get(name, 0)
            due = tuple(window for window in self.turns(name).windows[sent:] if window[0] < limit_ns)
            self._sent[name] = sent + len(due)
            return due

    def now(self) -> tuple[int, str]:
        """Return the number (from 1) of the slice that is on now, and its variant; 0 and "" if there is none."""
        if self.start_ns is None:
            return 0, ""
        number, order = self._number(self._clock(), self.start_ns), self.slicing.order
        return (number + 1, order[number]) if 0 <= number < len(order) else (0, "")

    def _number(self, moment_ns: int, start_ns: int) -> int:
        return (moment_ns - start_ns) // round(self.slicing.slice_s * NS_PER_S)

    def _fixed(self) -> int:
        """Return how many slices can't be changed any more: all that may have been sent."""
        if self.start_ns is None:
            return 0
        return max(self._number(self._clock() + AHEAD_NS, self.start_ns) + 1, 0)

    def _advance(self) -> None:
        """End the warm-up if all are stable, set the start if all are ready."""
        if self._stable and self._stable >= self._awaited:
            self.slicing = self.slicing.warmed(self._fixed())
        if self.start_ns is None and self._ready and self._ready >= self._awaited:
            self.start_ns = self._clock() + _START_LEAD_NS
