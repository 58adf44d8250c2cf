"""The measured part of a run, and what lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seatrial.measure.tables import Coded, Ints, Mask
from seatrial.model import Phase, Span
from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when until when; `length_ns` is shorter where the run has several windows with other phases between.

    `opened` is false if the run never came to its window: then this is all that was recorded. `windows` says how
    many there are.
    """

    opened: bool
    from_ns: int
    until_ns: int
    length_ns: int
    windows: int = 1

    def rows(self, phase: Coded) -> Mask:
        """Return which rows of a table count, by their phase."""
        return phase.is_(Phase.WINDOW) if self.opened else np.ones(len(phase.codes), dtype=np.bool_)

    def seconds(self, phase: Coded, t_ns: Ints) -> Mask:
        """Return which seconds, each stamped at its end, lie in the window from their beginning.

        Of several windows a second holds parts, and parts of what lies between: all from the first to the last
        count.
        """
        whole = np.asarray(t_ns - NS_PER_S >= self.from_ns)
        if self.windows > 1:
            return whole & np.asarray(t_ns <= self.until_ns)
        return self.rows(phase) & (whole | (not self.opened))

    def holds(self, stamp_ns: int) -> bool:
        """Tell whether a moment lies between the first begin and the last end."""
        return self.from_ns <= stamp_ns < self.until_ns


def window(spans: Sequence[Span], *recorded: Ints) -> Window:
    """Return the window of the spans, or from the first to the last of the stamps if there is none."""
    windows = [span for span in spans if span.phase is Phase.WINDOW]
    if windows:
        return Window(
            opened=True,
            from_ns=min(span.from_ns for span in windows),
            until_ns=max(span.until_ns for span in windows),
            length_ns=sum(span.until_ns - span.from_ns for span in windows),
            windows=len(windows),
        )
    stamps = np.concatenate(recorded)
    told = stamps[stamps != NULL]
    begin, end = (int(told.min()), int(told.max())) if len(told) else (0, 0)
    return Window(opened=False, from_ns=begin, until_ns=end + 1, length_ns=end - begin)
