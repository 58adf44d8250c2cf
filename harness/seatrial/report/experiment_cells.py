"""The tables of an experiment in words, in the same cells in every form of its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seatrial.judge.budgets import Judged
from seatrial.judge.effects import Scale
from seatrial.judge.metric import Kind
from seatrial.judge.verdicts import Verdict
from seatrial.judge.words import Word
from seatrial.report import numbers
from seatrial.report.weighed import Weighed

HEADS = ("verdict", "variant", "metric", "effect", "interval", "threshold", "can see", "blocks", "more")
EXPLAINED = (
    "interval: the one that the verdict rests on; can see: the smallest change that so many blocks could have "
    "shown; more: blocks that would decide"
)


@dataclass(frozen=True, slots=True)
class Cells:
    """A table in words."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def ordered(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return each variant's verdicts, differences in failures before anything else."""
    names = [*dict.fromkeys(one.variant for one in verdicts)]
    return sorted(verdicts, key=lambda one: (names.index(one.variant), one.metric.kind is not Kind.FAILURES))


def verdicts(judged: Sequence[Verdict]) -> Cells:
    """Return a row for each verdict."""
    return Cells(HEADS, tuple(_row(one) for one in ordered(judged)))


def exploratory(weighed: Weighed) -> Cells:
    """Return a row for each exploratory verdict; * is what stands out among so many."""
    found = weighed.comparison
    judged = ordered(found.exploratory) if found else []
    hits = found.discoveries if found else frozenset()
    rows = [_row(one) for one in judged]
    marked = [
        (*row[:2], row[2] + ("*" if (one.variant, one.metric.text) in hits else ""), *row[3:])
        for one, row in zip(judged, rows, strict=True)
    ]
    return Cells(HEADS, tuple(marked))


def values(weighed: Weighed) -> Cells:
    """Return what each gated metric was with each variant, over the blocks."""
    gated = [*dict.fromkeys(one.metric for one in weighed.comparison.gated)] if weighed.comparison else []
    names = list(weighed.levels)
    rows = []
    for one in gated:
        found = [weighed.levels[name].get(one.text) for name in names]
        rows.append((one.text, *(numbers.measured(each.value if each else None, one.unit) for each in found)))
    return Cells(("metric", *names), tuple(rows))


def budgets(weighed: Weighed) -> Cells:
    """Return a row for each budget of each variant."""
    rows = [(str(one.word).upper(), name, one.budget.text, one.reason) for name, one in by_variant(weighed)]
    return Cells(("verdict", "variant", "budget", "measured"), tuple(rows))


def by_variant(weighed: Weighed) -> Iterator[tuple[str, Judged]]:
    """Yield each budget of each variant."""
    for name, judged in weighed.budgets.items():
        yield from ((name, one) for one in judged)


def endings(weighed: Weighed) -> Cells:
    """Return how the runs of each variant ended, where not all finished."""
    found = weighed.comparison.endings if weighed.comparison else ()
    told = [one for one in found if len({**one.counts, **one.base_counts}) > 1]
    return Cells(("variant", "how its runs ended"), tuple((one.variant, one.text) for one in told))


def left_out(weighed: Weighed) -> Cells:
    """Return the runs that are kept and shown, and not used, each with its reason."""
    rows = [(str(one.block), one.variant, one.run.invalid) for one in weighed.taken if one.run.invalid]
    return Cells(("block", "variant", "why it is not used"), tuple(rows))


def floors(weighed: Weighed) -> Cells:
    """Return what this machine can see, and which thresholds are below that."""
    rows = []
    for one in weighed.floors:
        points = one.metric.scale is Scale.DIFFERENCE
        seen = numbers.amount(one.smallest_seen, points=points)
        wanted = numbers.amount(one.metric.threshold, points=points)
        scatter = numbers.amount(one.scatter, points=points)
        rows.append(
            (one.metric.text, scatter, seen, wanted, "too small to be seen" if one.refusal else "can be seen")
        )
    return Cells(("metric", "scatter", "can see", "threshold", "so"), tuple(rows))


def _row(one: Verdict) -> tuple[str, ...]:
    points = one.metric.scale is Scale.DIFFERENCE
    rests_on = one.rests_on
    span = numbers.between(rests_on.low, rests_on.high, points=points) if rests_on else numbers.UNKNOWN
    more = None if one.blocks_needed is None else max(one.blocks_needed - one.blocks, 0)
    return (
        str(one.word),
        one.variant,
        one.metric.text,
        numbers.change(one.effect, points=points),
        span,
        "±" + numbers.amount(one.metric.threshold, points=points),
        numbers.amount(one.smallest_seen, points=points),
        numbers.count(one.blocks),
        numbers.count(more if one.word is Word.INCONCLUSIVE else None),
    )
