"""The table of verdicts."""

from __future__ import annotations

from seatrial.report import numbers
from seatrial.report.comparison import Comparison, Verdict
from seatrial.report.sheets import Sheet

_HEADS = ("verdict", "variant", "metric", "effect", "interval", "threshold", "could see", "blocks", "more", "why")


def verdicts(comparison: Comparison) -> Sheet:
    """Return a row for each verdict, what is gated first, in the order given."""
    ordered = sorted(comparison.verdicts, key=lambda verdict: not verdict.gated)
    return Sheet(
        name="verdicts",
        title="Verdicts",
        said=f"change against {comparison.base}; * is exploratory: shown, but nothing fails by it",
        heads=_HEADS,
        rows=tuple(_row(verdict) for verdict in ordered),
        words=3,
        told=1,
        bold=tuple(index for index, verdict in enumerate(ordered) if verdict.gated),
    )


def _row(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.word,
        verdict.variant,
        verdict.metric if verdict.gated else f"{verdict.metric}*",
        numbers.change(verdict.effect, points=verdict.points),
        interval(verdict),
        size(verdict.threshold, verdict),
        size(verdict.seen, verdict),
        numbers.count(verdict.blocks),
        numbers.count(verdict.more_blocks),
        verdict.why,
    )


def interval(verdict: Verdict) -> str:
    """Return `+1.0 to +7.4 %`."""
    if verdict.low is None or verdict.high is None:
        return numbers.UNKNOWN
    return numbers.between(verdict.low, verdict.high, points=verdict.points)


def size(amount: float | None, verdict: Verdict) -> str:
    """Return a change to both sides: `±4.2 %`."""
    return numbers.UNKNOWN if amount is None else f"±{numbers.amount(amount, points=verdict.points)}"
