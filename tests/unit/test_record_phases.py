"""A row's phase follows from its stamp and the boundaries in run.json."""

from __future__ import annotations

import numpy as np
from factories import SPANS, at

from seatrial.model import Phase, Span
from seatrial.record.tables import PHASES, phase_codes


def _phases(seconds: list[float], spans: tuple[Span, ...]) -> list[str]:
    codes = phase_codes(np.array([at(second) for second in seconds], dtype=np.int64), spans)
    return [PHASES[code] for code in codes]


def test_a_span_holds_its_first_nanosecond_and_not_its_last() -> None:
    """10 s belongs to the window, 40 s to the drain."""
    assert _phases([9.999, 10, 39.999, 40], SPANS) == ["warmup", "window", "window", "drain"]


def test_before_the_first_span_is_warm_up_and_after_the_last_is_drain() -> None:
    """Requests of users that were let in early or ended late have a phase too."""
    assert _phases([-1, 99], SPANS) == ["warmup", "drain"]


def test_between_two_spans_is_idle() -> None:
    """A gap between two windows belongs to neither."""
    spans = tuple(Span(phase=Phase.WINDOW, from_ns=at(s), until_ns=at(s + 1)) for s in (0, 5))
    assert _phases([0.5, 3, 5.5], spans) == ["window", "idle", "window"]
