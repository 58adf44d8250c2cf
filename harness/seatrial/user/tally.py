"""What became of arrivals, counted from one second to the next."""

from __future__ import annotations

COUNTS = ("arrivals", "arrivals_completed", "arrivals_late", "arrivals_dropped")
TOOK = "arrivals_took_ns"
"""Told with the counts, and no column: the time from moment to end, summed over the completed."""


class Tally:
    """Counts nothing until `begin`: in the closed model there are no arrivals that could have been late."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._slips_ns: list[int] = []

    def begin(self) -> None:
        """Count from now on; again does nothing."""
        self._counts = self._counts or dict.fromkeys((*COUNTS, TOOK), 0)

    def add(self, name: str, number: int = 1) -> None:
        """Count one more of `COUNTS`, or so much of `TOOK`."""
        self._counts[name] += number

    def slipped(self, slip_ns: int) -> None:
        """Note how late an arrival was begun that found an idle user at its moment."""
        self._slips_ns.append(slip_ns)

    def take(self) -> tuple[dict[str, int | None], int | None]:
        """Return the counts and the 99th percentile (nearest rank) of the slip, and begin anew.

        The counts are None where nothing began; the slip is None where no arrival found an idle user.
        """
        if not self._counts:
            return dict.fromkeys(COUNTS), None
        counts: dict[str, int | None] = {**self._counts}
        self._counts = dict.fromkeys((*COUNTS, TOOK), 0)
        slips_ns, self._slips_ns = sorted(self._slips_ns), []
        return counts, slips_ns[-(-99 * len(slips_ns) // 100) - 1] if slips_ns else None
