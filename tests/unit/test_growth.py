"""Whether memory grew over one window, on made-up readings."""

from __future__ import annotations

import numpy as np
import pytest

from seatrial.measure.services import Growth, growth
from seatrial.measure.tables import Ints
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

MIB = 1 << 20
RNG = np.random.default_rng(7)


def _readings(seconds: float, slope_mib_per_s: float, *, scatter_mib: float = 0.2) -> tuple[Ints, Ints]:
    when = np.arange(0, seconds, 0.1)
    noise = RNG.normal(0, scatter_mib, len(when))
    held = (100 + slope_mib_per_s * when + noise) * MIB
    return (when * NS_PER_S).astype(np.int64), held.astype(np.int64)


def test_a_leak_that_matters_is_seen_in_a_minute() -> None:
    """0.1 MiB a second is 6 MiB a minute, on 100 MiB."""
    found = growth("app", *_readings(60, 0.1))

    assert found.word is Growth.GROWING
    assert found.per_s == pytest.approx(0.1 * MIB, rel=0.1)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.1 * MIB < found.high


@pytest.mark.parametrize("slope", [0.0, -0.05, 0.005])
def test_what_does_not_grow_by_much_is_steady(slope: float) -> None:
    """Also memory that is given back; 0.3 MiB a minute on 100 would not matter within it."""
    assert growth("app", *_readings(60, slope)).word is Growth.STEADY


def test_a_short_window_says_so() -> None:
    """Ten seconds are no basis, and neither is a scatter as large as what matters."""
    assert growth("app", *_readings(10, 1.0)).word is Growth.TOO_SHORT
    assert growth("app", *_readings(60, 0.035, scatter_mib=6)).word is Growth.TOO_SHORT


def test_what_could_not_be_read_is_not_judged() -> None:
    """Null is not zero."""
    when, held = _readings(60, 1.0)

    assert growth("app", when, np.full_like(held, NULL)).word is Growth.UNTOLD
    assert growth("app", when[:5], held[:5]).word is Growth.UNTOLD


def test_false_alarms_are_rare_on_memory_that_wanders() -> None:
    """A collector's saw-tooth of 8 MiB, and a random walk of 0.02 MiB each reading, both without a trend."""
    alarms = 0
    for _ in range(40):
        when = np.arange(0, 60, 0.1)
        saw = (when * 2 + RNG.uniform(0, 8)) % 8
        walk = np.cumsum(RNG.normal(0, 0.02, len(when)))
        held = ((100 + saw + walk) * MIB).astype(np.int64)
        alarms += growth("app", (when * NS_PER_S).astype(np.int64), held).word is Growth.GROWING

    assert alarms <= 4
