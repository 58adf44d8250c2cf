"""Buckets: narrow enough, in order, and without gaps; percentiles of counts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.wire.histogram import bucket, middle_ns, percentile_ns


@given(st.integers(0, 10**13))
def test_a_buckets_middle_is_near_every_value_in_it(value_ns: int) -> None:
    """At most 0.8 %, the error of a percentile in a report."""
    assert abs(middle_ns(bucket(value_ns)) - value_ns) <= 0.008 * value_ns


@given(st.integers(0, 10**13), st.integers(0, 10**6))
def test_buckets_rise_with_the_value(value_ns: int, more_ns: int) -> None:
    """A longer duration is never in a lower bucket, and its middle is in the bucket itself."""
    assert bucket(value_ns) <= bucket(value_ns + more_ns)
    assert bucket(middle_ns(bucket(value_ns))) == bucket(value_ns)


def test_no_bucket_is_left_out() -> None:
    """Neighbouring values are in the same bucket or the next."""
    numbers = [bucket(value_ns) for value_ns in range(10_000)]
    assert {after - before for before, after in pairwise(numbers)} == {0, 1}
    assert bucket(-5) == 0


@pytest.mark.parametrize(("percent", "expected_ns"), [(0, 10), (50, 20), (75, 20), (76, 40), (100, 40)])
def test_percentiles_are_nearest_rank(percent: float, expected_ns: int) -> None:
    """Four values: 10, 20, 20, 40."""
    assert percentile_ns({bucket(10): 1, bucket(40): 1, bucket(20): 2}, percent) == expected_ns
    assert percentile_ns({}, percent) is None
