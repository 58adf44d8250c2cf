"""Requests, added piece by piece: counts at once, and of the successes only what percentiles need.

For a request that ended well 21 bytes are kept (latency, time to first byte, endpoint, stretch of time, whether in
the window) instead of the 52 of a row: ten million of them take 210 MB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from seatrial.judge.columns import Coded, Ints, Mask, Requests
from seatrial.judge.grid import Grid, grid
from seatrial.judge.latency import Traffic, quantiles
from seatrial.judge.series import Pace, Rise, rise
from seatrial.judge.window import Window
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL
from seatrial.wire.tables import NOT_FAILURES, Outcome


@dataclass(slots=True, kw_only=True)
class _Counted:
    """What was counted of one endpoint within the window."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bytes_received: int = 0


class _Successes:
    """What is kept of each request that ended well, in arrays made once: growing ones would be held twice."""

    def __init__(self, room: int) -> None:
        self._used = 0
        self._open = False
        self._latency_ns = np.empty(room, dtype=np.int64)
        self._service_ns = np.empty(room, dtype=np.int64)  # no memory until it is written to: in the open model
        self._first_byte_ns = np.empty(room, dtype=np.int64)
        self._endpoint = np.empty(room, dtype=np.int16)
        self._stretch = np.empty(room, dtype=np.uint16)
        self._inside = np.empty(room, dtype=np.bool_)

    def add(self, piece: Requests, inside: Mask, stretch: Ints) -> None:
        """Keep those of the piece that ended well."""
        good = piece.outcome.is_(Outcome.OK) & (piece.t_end_ns != NULL)
        began, first = piece.began_ns[good], piece.t_first_byte_ns[good]
        at = slice(self._used, self._used + len(began))
        self._used = at.stop
        self._latency_ns[at] = piece.t_end_ns[good] - began
        self._serve(at, piece, good)
        self._first_byte_ns[at] = np.where(first == NULL, NULL, first - began)
        self._endpoint[at] = piece.endpoint.codes[good]
        self._stretch[at] = stretch[good]
        self._inside[at] = inside[good]

    def _serve(self, at: slice, piece: Requests, good: Mask) -> None:
        if not self._open:
            if np.all(piece.t_intended_ns[good] == NULL):
                return
            self._open = True
            self._service_ns[: at.start] = self._latency_ns[: at.start]
        self._service_ns[at] = piece.t_end_ns[good] - piece.t_start_ns[good]

    def within(self, endpoint: int | None) -> Mask:
        """Return which lie in the window, of one endpoint or of all."""
        inside: Mask = self._inside[: self._used]
        return inside if endpoint is None else inside & (self._endpoint[: self._used] == endpoint)

    def latency_ns(self, mask: Mask) -> Ints:
        """Return the latencies where `mask` holds."""
        found: Ints = self._latency_ns[: self._used][mask]
        return found

    def service_ns(self, mask: Mask) -> Ints:
        """Return the service times where `mask` holds: of a closed model the latencies."""
        found: Ints = (self._service_ns if self._open else self._latency_ns)[: self._used][mask]
        return found

    def first_byte_ns(self, mask: Mask) -> Ints:
        """Return the times to the first byte where `mask` holds and one came."""
        told = self._first_byte_ns[: self._used]
        found: Ints = told[mask & (told != NULL)]
        return found

    def pace(self, grid: Grid, asked: Ints, failed: Ints) -> Pace:
        """Return latency over time."""
        return Pace.of(grid, self._latency_ns[: self._used], self._stretch[: self._used], asked, failed)


class Tally:
    """The requests of a run, gathered by `grid` for the charts, and within `window` for the tables.

    There is room for so many requests.
    """

    def __init__(self, window: Window, grid: Grid, room: int) -> None:
        self.grid = grid
        self._window = window
        self._asked = np.zeros(grid.count, dtype=np.int64)
        self._failed = np.zeros(grid.count, dtype=np.int64)
        self._counted: dict[str, _Counted] = {}
        self._labels: tuple[str, ...] = ()
        self._successes = _Successes(room)
        self.first_start_ns: int | None = None
        self.last_end_ns: int | None = None

    def add(self, piece: Requests) -> None:
        """Count some requests; pieces come in the order of the table."""
        if not len(piece.t_start_ns):
            return
        inside, stretch = self._window.rows(piece.phase), self.grid.of(piece.t_start_ns)
        self._labels = piece.endpoint.labels
        self._count(piece, inside)
        self._asked += np.bincount(stretch, minlength=self.grid.count)
        self._failed += np.bincount(stretch[_failed(piece.outcome)], minlength=self.grid.count)
        self._successes.add(piece, inside, stretch)
        self._see(piece)

    def total(self) -> Traffic:
        """Judge all requests of the window together."""
        sums = _Counted()
        for one in self._counted.values():
            sums.outcomes += one.outcomes
            sums.bytes_received += one.bytes_received
        return self._traffic("all", sums, self._successes.within(None))

    def endpoints(self) -> tuple[Traffic, ...]:
        """Judge each endpoint that the window has seen, in the order of the labels."""
        return tuple(
            self._traffic(name, self._counted[name], self._successes.within(code))
            for code, name in enumerate(self._labels)
            if name in self._counted
        )

    def pace(self) -> Pace:
        """Return latency, rate and failures over the time of the whole run."""
        return self._successes.pace(self.grid, self._asked, self._failed)

    def rises(self) -> tuple[Rise, ...]:
        """Return the distribution of each endpoint's successes in the window, in the order of the labels."""
        kept = self._successes
        found = (rise(name, kept.latency_ns(kept.within(code))) for code, name in enumerate(self._labels))
        return tuple(one for one in found if len(one.value_ns))

    def _traffic(self, name: str, counted: _Counted, mask: Mask) -> Traffic:
        count, length_ns = counted.outcomes.total(), self._window.length_ns
        return Traffic(
            name=name,
            count=count,
            outcomes=dict(counted.outcomes),
            latency_ns=quantiles(self._successes.latency_ns(mask)),
            service_ns=quantiles(self._successes.service_ns(mask)),
            first_byte_ns=quantiles(self._successes.first_byte_ns(mask)),
            requests=count,
            bytes_received=counted.bytes_received,
            per_s=count * NS_PER_S / length_ns if length_ns > 0 else 0.0,
            bytes_per_s=counted.bytes_received * NS_PER_S / length_ns if length_ns > 0 else 0.0,
        )

    def _count(self, piece: Requests, inside: Mask) -> None:
        endpoint, outcome = piece.endpoint, piece.outcome
        width, least = len(outcome.labels), len(outcome.labels) * len(self._labels)
        told = inside & (endpoint.codes >= 0) & (outcome.codes >= 0)
        pairs = np.bincount(endpoint.codes[told] * width + outcome.codes[told], minlength=least)
        received = np.where(piece.bytes_received == NULL, 0, piece.bytes_received)
        for code in np.unique(endpoint.codes[told]).tolist():
            one = self._counted.setdefault(endpoint.labels[code], _Counted())
            counts = pairs[code * width : (code + 1) * width].tolist()
            one.outcomes += Counter(dict(zip(outcome.labels, counts, strict=True)))
            one.bytes_received += int(received[told & (endpoint.codes == code)].sum())

    def _see(self, piece: Requests) -> None:
        ended = piece.t_end_ns[piece.t_end_ns != NULL]
        first = int(piece.t_start_ns.min())
        self.first_start_ns = first if self.first_start_ns is None else min(first, self.first_start_ns)
        if len(ended):
            self.last_end_ns = max(int(ended.max()), NULL if self.last_end_ns is None else self.last_end_ns)


def gathered(pieces: Iterable[Requests], window: Window, stamps: Sequence[Ints], room: int) -> Tally:
    """Tally all pieces, on a grid over all of the stamps, whatever they are of."""
    all_ns = np.concatenate([*stamps, np.array([window.from_ns, window.until_ns - 1], dtype=np.int64)])
    tally = Tally(window, grid(int(all_ns.min()), int(all_ns.max()), window.from_ns), room)
    for piece in pieces:
        tally.add(piece)
    return tally


def _failed(outcome: Coded) -> Mask:
    fails = np.array([label not in NOT_FAILURES for label in outcome.labels] + [False], dtype=np.bool_)
    found: Mask = fails[outcome.codes]  # a code of -1, no outcome, finds the last
    return found
