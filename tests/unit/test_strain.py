"""Whether the generator was what broke a trial."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seatrial.measure import generator
from seatrial.model import LoadSecond

MS = 1_000_000
WELL = LoadSecond(
    t_ns=0, arrivals=100, cpu_fraction=0.2, loop_lag_p50_ns=MS // 10, loop_lag_p99_ns=2 * MS, slip_p99_ns=MS
)


def _said(*seconds: LoadSecond, share: float = 0.05) -> str:
    return generator.overload(seconds, 200 * MS, share)


def test_a_generator_that_does_well_is_not_blamed() -> None:
    """Nor for one late tick in five seconds, nor for one second in which it slipped."""
    late = replace(WELL, loop_lag_p99_ns=40 * MS)
    slipped = replace(WELL, slip_p99_ns=40 * MS)

    assert _said(*[WELL] * 5) == ""
    assert _said(WELL, WELL, late, slipped, WELL) == ""


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cpu_fraction": 0.95}, "95% of what it may"),
        ({"loop_lag_p99_ns": 400 * MS}, "ticks of the event loop"),
        ({"loop_lag_p50_ns": 30 * MS, "loop_lag_p99_ns": 40 * MS}, "ticks of the event loop"),
        ({"loop_lag_p50_ns": None, "loop_lag_p99_ns": None}, "100 of 100 ticks"),
        ({"slip_p99_ns": 100 * MS}, "500 of 500 arrivals"),
    ],
)
def test_what_was_wrong_is_named(change: dict[str, float | None], word: str) -> None:
    """CPU, the loop's lag, the schedule's slip; a loop that never ticked was blocked."""
    assert word in _said(*[replace(WELL, **change)] * 5)  # type: ignore[arg-type]


def test_what_may_be_late_follows_from_the_budgets() -> None:
    """A tenth of the strictest latency, at least 10 ms, and as many as may break it."""
    slipped = [replace(WELL, slip_p99_ns=15 * MS)]
    assert generator.overload(slipped, 200 * MS, 0.05) == ""
    assert "more than 10 ms late" in generator.overload(slipped, 50 * MS, 0.05)
    four_late = [replace(WELL, loop_lag_p99_ns=21 * MS)] * 4 + [WELL]
    assert _said(*four_late) == ""
    assert "4 of 100 ticks" in _said(*four_late, share=0.01)


def test_silence_is_no_good_sign() -> None:
    """A load process that reports no second of the trial can't be trusted with a verdict."""
    assert _said() != ""
    assert _said(replace(WELL, arrivals=0)) != ""


def test_a_pool_that_is_too_small_for_the_rate_is_told() -> None:
    """2,000/s at 200 ms are 400 in flight; with as many users it is the stack that is slow."""
    asked = {"rate_per_s": 2000.0, "strictest_ns": 200 * MS}

    assert "--users" in generator.pool_shortage(late=5, users=200, **asked)  # type: ignore[arg-type]
    assert generator.pool_shortage(late=5, users=400, **asked) == ""  # type: ignore[arg-type]
    assert generator.pool_shortage(late=0, users=200, **asked) == ""  # type: ignore[arg-type]


def test_flows_of_many_requests_keep_their_users_for_longer() -> None:
    """100 pulls a second of 3 s each are 300 in flight, however quickly each of their requests is answered."""
    asked = {"rate_per_s": 100.0, "strictest_ns": 200 * MS, "late": 5, "users": 200}

    assert generator.pool_shortage(**asked) == ""  # type: ignore[arg-type]
    assert "300 requests in flight" in generator.pool_shortage(flow_s=3.0, **asked)  # type: ignore[arg-type]
