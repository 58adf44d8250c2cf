"""Histograms with logarithmic buckets, for durations and other measured numbers.

Each power of two is cut into 64 equal parts: the middle of a bucket is at most 0.8 % from any value in it (the
layout of HdrHistogram, http://hdrhistogram.org, with 64 sub-buckets).
"""

from __future__ import annotations

from collections.abc import Mapping

_PARTS_BITS = 6
_PARTS = 1 << _PARTS_BITS
FINE = 1_000_000_000
"""Durations and ratios are counted in steps of 1 / FINE."""


def bucket(value_ns: int) -> int:
    """Return the number of the bucket that holds a duration; negative ones count as zero."""
    if value_ns < _PARTS:
        return max(value_ns, 0)
    shift = value_ns.bit_length() - 1 - _PARTS_BITS
    return (shift << _PARTS_BITS) + (value_ns >> shift)


def middle_ns(number: int) -> int:
    """Return the value in the middle of a bucket."""
    if number < _PARTS:
        return number
    shift = (number >> _PARTS_BITS) - 1
    return ((number - (shift << _PARTS_BITS)) << shift) + ((1 << shift) >> 1)


def of_detail(ending: str, value: float) -> int:
    """Return the bucket of a flow's detail: seconds and ratios in steps of 1e-9, bytes and counts as they are."""
    return bucket(round(value * FINE) if ending in {"_s", "_ratio"} else round(value))


def percentile_ns(counts: Mapping[int, int], percent: float) -> int | None:
    """Return the nearest-rank percentile of bucket number to count: its bucket's middle, None without counts."""
    number = percentile_bucket(counts, percent)
    return None if number is None else middle_ns(number)


def percentile_bucket(counts: Mapping[int, int], percent: float) -> int | None:
    """Return the bucket in which the nearest-rank percentile lies; None without counts."""
    total = sum(counts.values())
    rank, cumulated = max(1, -(-total * percent // 100)), 0
    for number in sorted(counts):
        cumulated += counts[number]
        if cumulated >= rank and total:
            return number
    return None
