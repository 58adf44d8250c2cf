"""The phase of a row follows from its stamp and the spans in run.json."""

from __future__ import annotations

import numpy as np
import pytest
from factories import SPANS, at

from seatrial.model import Phase, Span
from seatrial.record.tables import PHASES, phase_codes

TWO_WINDOWS = tuple(Span(phase=Phase.WINDOW, from_ns=at(s), until_ns=at(s + 1)) for s in (0, 5))


@pytest.mark.parametrize(
    ("seconds", "spans", "phases"),
    [
        ([9.999, 10, 39.999, 40], SPANS, ["warmup", "window", "window", "drain"]),
        ([-1, 99], SPANS, ["warmup", "drain"]),
        ([0.5, 3, 5.5], TWO_WINDOWS, ["window", "idle", "window"]),
        ([0.5, 3], (), ["warmup", "warmup"]),
    ],
    ids=["a span has its first nanosecond, not its last", "outside of all spans", "between two", "without spans"],
)
def test_a_stamp_has_one_phase(seconds: list[float], spans: tuple[Span, ...], phases: list[str]) -> None:
    """Before the first span is warm-up, after the last is drain, between two is idle."""
    codes = phase_codes(np.array([at(second) for second in seconds], dtype=np.int64), spans)
    assert [PHASES[code] for code in codes] == phases
