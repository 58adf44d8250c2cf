"""Latency in buckets whose width grows with the value, so that a second of any load is a short message.

Each power of two is cut into 64 equal parts: the middle of a bucket is at most 0.8 % from any value in it (the
layout of HdrHistogram, http://hdrhistogram.org, with 64 sub-buckets).
"""

from __future__ import annotations

from collections.abc import Mapping

_PARTS_BITS = 6
_PARTS = 1 << _PARTS_BITS


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


def percentile_ns(counts: Mapping[int, int], percent: float) -> int | None:
    """Return the nearest-rank percentile of bucket number to count: its bucket's middle, None without counts."""
    total = sum(counts.values())
    rank, seen = max(1, -(-total * percent // 100)), 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= rank and total:
            return middle_ns(number)
    return None
