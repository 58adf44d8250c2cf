"""From what was weighed to the values that the page's charts of a comparison are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seatrial.judge import verdicts
from seatrial.judge.effects import Scale
from seatrial.judge.metric import Metric, Unit
from seatrial.judge.pairing import Run
from seatrial.judge.series import Rise
from seatrial.judge.words import Word
from seatrial.report import experiment_cells as cells
from seatrial.report import experiment_words as words
from seatrial.report import numbers
from seatrial.report.comparison import BlockValue, Comparison, Course, Verdict
from seatrial.report.weighed import Weighed

_UNITS = {**numbers.UNITS, Unit.PER_S: ("per second", 1.0)}


def comparison(weighed: Weighed, rises: Sequence[Rise] = ()) -> Comparison:
    """Return the comparison as the page draws it; `rises` are the latencies of each variant."""
    gated = cells.ordered(weighed.comparison.gated) if weighed.comparison else []
    metrics = dict.fromkeys(one.metric for one in gated)
    return Comparison(
        title=words.title(weighed),
        base=weighed.base,
        said=tuple(words.reasons(weighed)),
        verdicts=tuple(_verdict(one) for one in gated),
        courses=tuple(course for one in metrics if (course := _course(weighed, one)).values),
        rises=tuple(rises),
    )


def _verdict(one: verdicts.Verdict) -> Verdict:
    rests_on = one.rests_on
    open_ = one.word is Word.INCONCLUSIVE and one.blocks_needed is not None
    return Verdict(
        variant=one.variant,
        metric=one.metric.text,
        word=str(one.word),
        gated=one.gated,
        effect=one.effect,
        low=rests_on.low if rests_on else None,
        high=rests_on.high if rests_on else None,
        threshold=one.metric.threshold,
        blocks=one.blocks,
        seen=one.smallest_seen,
        more_blocks=max((one.blocks_needed or 0) - one.blocks, 0) if open_ else None,
        why=one.reason or ("the ranks do not confirm what the mean says" if one.vetoed else ""),
        points=one.metric.scale is Scale.DIFFERENCE,
    )


def _course(weighed: Weighed, metric: Metric) -> Course:
    unit, factor = _UNITS[metric.unit]
    values = [
        BlockValue(
            variant=name,
            block=number,
            value=value * factor,
            value_said=numbers.measured(value, metric.unit),
            invalid=run.invalid,
        )
        for number, name, run in _runs(weighed)
        if (value := run.values.get(metric.text)) is not None
    ]
    return Course(metric=metric.text, unit=unit, values=tuple(values))


def _runs(weighed: Weighed) -> Iterator[tuple[int, str, Run]]:
    """Yield the runs of one variant after the other, the base first, each in the order of the blocks."""
    names = dict.fromkeys(name for block in weighed.blocks for name in block)
    for name in sorted(names, key=lambda one: one != weighed.base):
        for number, block in zip(weighed.numbers, weighed.blocks, strict=True):
            if name in block:
                yield number, name, block[name]
