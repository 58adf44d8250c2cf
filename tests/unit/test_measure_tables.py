"""The measured window."""

from __future__ import annotations

import numpy as np
from factories import SPANS, at

from seatrial.measure.tables import measured_window
from seatrial.model import Phase, Span
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL

NOTHING = np.empty(0, dtype=np.int64)


def test_the_window_is_that_of_the_spans() -> None:
    """Warm-up and drain lie outside."""
    found = measured_window(SPANS, NOTHING)
    assert (found.opened, found.from_ns, found.until_ns, found.length_ns) == (True, at(10), at(40), 30 * NS_PER_S)
    assert (found.holds(at(10)), found.holds(at(40))) == (True, False)


def test_several_windows_add_up_without_what_lies_between() -> None:
    """Two slices of a second, four seconds apart, are two seconds."""
    slices = [Span(phase=Phase.WINDOW, from_ns=at(s), until_ns=at(s + 1)) for s in (0, 5)]
    assert measured_window(slices, NOTHING).length_ns == 2 * NS_PER_S


def test_without_a_window_all_that_was_recorded_counts() -> None:
    """From the first stamp to the last, whatever did not happen left out."""
    found = measured_window(SPANS[:1], np.array([NULL, at(3), at(1)]), np.array([at(7)]))
    assert (found.opened, found.from_ns, found.length_ns) == (False, at(1), 6 * NS_PER_S)


def test_nothing_recorded_is_a_window_of_nothing() -> None:
    """A run that failed at once can still be shown."""
    assert measured_window((), NOTHING, NOTHING).length_ns == 0
