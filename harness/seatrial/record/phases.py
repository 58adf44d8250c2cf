"""Which phase a row belongs to, from the boundaries in run.json."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seatrial.model import Phase, Span

PHASES = tuple(Phase)


def phase_codes(stamps_ns: NDArray[np.int64], spans: Sequence[Span]) -> NDArray[np.int32]:
    """Return the index into PHASES for each stamp.

    Before the first span, and where there is none at all, is warm-up; after the last drain; between two idle.
    """
    if not spans:
        return np.full(len(stamps_ns), PHASES.index(Phase.WARMUP), dtype=np.int32)
    ordered = sorted(spans, key=lambda span: span.from_ns)
    begins = np.array([span.from_ns for span in ordered], dtype=np.int64)
    ends = np.array([span.until_ns for span in ordered], dtype=np.int64)
    codes = np.array([PHASES.index(span.phase) for span in ordered], dtype=np.int32)
    at = np.searchsorted(begins, stamps_ns, side="right") - 1
    found = codes[np.maximum(at, 0)]
    late = stamps_ns >= ends[np.maximum(at, 0)]
    found[late] = PHASES.index(Phase.IDLE)
    found[late & (at == len(ordered) - 1)] = PHASES.index(Phase.DRAIN)
    found[at < 0] = PHASES.index(Phase.WARMUP)
    return found
