"""Quality of experience: what the viewers of media saw, by the numbers that their flows report.

A flow is a viewer's session if it reports `startup_s` or `abandoned_ratio`, and `stalls_count` or `stall_ratio`,
whatever its name. The measures are those of CTA-2066: start-up time, the share of stalled time in the time of
playing and stalling (without start-up and seeks), the wait after a seek, and who gave up before the first picture.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from seatrial.measure.statistics import percentile
from seatrial.measure.tables import Floats, FlowColumns, Ints, Mask
from seatrial.units import NS_PER_S

_BEGINS = ("startup_s", "abandoned_ratio")
_STALLS = ("stalls_count", "stall_ratio")
MOST_POINTS = 3000
"""The most sessions that a chart shows: more points would only cover each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerExperience:
    """What the sessions of one kind of flow saw in the window; None: not reported, or too few for a percentile.

    Of the sessions that report it: `stalls` the mean number, `stall_ratio` the mean share of time, `abandoned` the
    share that left before the first picture, `waste` the mean share of bytes that were received and not played.
    Seek times are those of each session's median seek. Bytes are sums; `distinct_bytes` counts what was received
    several times once.
    """

    flow: str
    sessions: int
    startup_p50_ns: float | None
    startup_p95_ns: float | None
    stalls: float | None
    stall_ratio: float | None
    seek_p50_ns: float | None
    seek_p95_ns: float | None
    abandoned: float | None
    waste: float | None
    received_bytes: float | None
    played_bytes: float | None
    distinct_bytes: float | None

    @property
    def received_per_played(self) -> float | None:
        """The bytes received for each byte played."""
        return self.received_bytes / self.played_bytes if self.received_bytes and self.played_bytes else None

    @property
    def repeated(self) -> float | None:
        """The share of the received bytes that had been received before."""
        if not self.received_bytes or self.distinct_bytes is None:
            return None
        return 1 - self.distinct_bytes / self.received_bytes


def is_viewer(keys: Collection[str]) -> bool:
    """Return whether a kind of flow that reports these details is a viewer."""
    return all(any(key in keys for key in group) for group in (_BEGINS, _STALLS))


def viewers(flows: FlowColumns, details: Mapping[str, Floats]) -> tuple[ViewerExperience, ...]:
    """Return what each kind of viewer saw, in the order of the flows' names."""
    each = []
    for name in sorted(flows.flow.counts()):
        rows = _sessions(flows.flow.is_(name), details)
        if rows.any():
            each.append(_experience(name, {key: numbers[rows] for key, numbers in details.items()}))
    return tuple(each)


def _sessions(rows: Mask, details: Mapping[str, Floats]) -> Mask:
    """Return which of the rows of one kind of flow are sessions; none unless the kind reports both."""
    begins, stalls = (
        np.logical_or.reduce(
            [np.zeros(len(rows), dtype=np.bool_), *(~np.isnan(details[key]) for key in keys if key in details)]
        )
        for keys in (_BEGINS, _STALLS)
    )
    whole: Mask = (begins | stalls) & rows & bool((begins & rows).any() and (stalls & rows).any())
    return whole


def _experience(name: str, details: Mapping[str, Floats]) -> ViewerExperience:
    def told(key: str) -> Floats:
        numbers = details.get(key, np.empty(0))
        known: Floats = numbers[~np.isnan(numbers)]
        return known

    def mean(key: str) -> float | None:
        return float(told(key).mean()) if len(told(key)) else None

    def total(key: str) -> float | None:
        return float(told(key).sum()) if len(told(key)) else None

    startup_ns, seek_ns = told("startup_s") * NS_PER_S, told("seek_s") * NS_PER_S
    return ViewerExperience(
        flow=name,
        sessions=len(next(iter(details.values()))),
        startup_p50_ns=percentile(startup_ns, 50),
        startup_p95_ns=percentile(startup_ns, 95),
        stalls=mean("stalls_count"),
        stall_ratio=mean("stall_ratio"),
        seek_p50_ns=percentile(seek_ns, 50),
        seek_p95_ns=percentile(seek_ns, 95),
        abandoned=mean("abandoned_ratio"),
        waste=mean("waste_ratio"),
        received_bytes=total("received_bytes"),
        played_bytes=total("played_bytes"),
        distinct_bytes=total("distinct_bytes"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPoints:
    """Sessions by when they began, in that order; `every` is how many stand for one that is shown.

    `waited_ns` is the start-up time, of those that were `abandoned` how long they had waited. `stalls` is 0 where
    none is reported.
    """

    t_ns: Ints
    waited_ns: Floats
    stalls: Floats
    stalled_ns: Floats
    abandoned: Mask
    every: int = 1


def session_points(
    flows: FlowColumns, details: Mapping[str, Floats], most: int = MOST_POINTS
) -> SessionPoints | None:
    """Return the sessions whose start-up, or giving up, is known, thinned evenly to at most `most`; None: none."""
    shown = np.zeros(len(flows.t_start_ns), dtype=np.bool_)
    for name in flows.flow.counts():
        shown |= _sessions(flows.flow.is_(name), details)
    unknown = np.full(len(shown), np.nan)
    startup_s, stalls, stalled_s, left = (
        details.get(key, unknown) for key in ("startup_s", "stalls_count", "stalled_s", "abandoned_ratio")
    )
    abandoned = np.isnan(startup_s) & (left > 0)
    waited_ns = np.where(abandoned, flows.t_end_ns - flows.began_ns, startup_s * NS_PER_S)
    numbers = np.flatnonzero(shown & ~np.isnan(waited_ns))
    if not len(numbers):
        return None
    every = -(-len(numbers) // most)
    chosen = numbers[np.argsort(flows.began_ns[numbers], kind="stable")][::every]
    return SessionPoints(
        t_ns=flows.began_ns[chosen],
        waited_ns=waited_ns[chosen],
        stalls=np.nan_to_num(stalls[chosen]),
        stalled_ns=np.nan_to_num(stalled_s[chosen]) * NS_PER_S,
        abandoned=abandoned[chosen],
        every=every,
    )
