"""The sections of an experiment's report, once for every form of it."""

from __future__ import annotations

from seatrial.analysis.results import Weighed
from seatrial.compare.effects import Scale
from seatrial.compare.verdicts import Verdict
from seatrial.compare.words import Word
from seatrial.report import experiment_sections as words
from seatrial.report import numbers
from seatrial.report.tables import ColumnKind, Section, Table, of_rows, pairs

EXPLAINED = (
    "interval: the one that the verdict rests on; can see: the smallest change that so many blocks could have "
    "shown; more: blocks that would decide"
)
_VERDICTS = (
    *(("verdict", ColumnKind.VERDICT), ("variant", ColumnKind.NAME), ("metric", ColumnKind.WORDS)),
    *((head, ColumnKind.NUMBER) for head in ("effect", "interval", "threshold", "can see", "blocks", "more")),
)


def sections(result: Weighed) -> list[Section]:
    """Return the sections that have rows, in the order in which every form shows them."""
    comparison = result.comparison
    gated = words.ordered(comparison.gated) if comparison else []
    every = (
        Section(
            name="verdicts",
            title="Verdicts",
            caption=f"change against {result.base}; {EXPLAINED}",
            table=of_rows(_VERDICTS, [_verdict(verdict) for verdict in gated]),
        ),
        Section(
            name="values",
            title="Values",
            caption="mean over the blocks that are used",
            table=_values(result),
        ),
        Section(name="budgets", title="Budgets", caption="with 95 %", table=_budgets(result)),
        Section(name="endings", title="Endings", table=_endings(result)),
        Section(
            name="lost",
            title="Left out",
            caption="kept and shown, not used; found from the generator and the machine, never from a result",
            table=_left_out(result),
        ),
        Section(
            name="floors",
            title="Noise floor of this machine",
            caption="between equal runs, and the smallest change that the planned blocks can see",
            table=_floors(result),
        ),
        Section(
            name="more-exploratory",
            title="Exploratory",
            caption="to look at, nothing is decided by it; * stands out (one in ten of these is chance)",
            table=_exploratory(result),
        ),
        Section(name="measured", title="How it was measured", table=pairs(words.how(result))),
    )
    return [section for section in every if section.table.rows]


def interval(verdict: Verdict) -> str:
    """Return the interval that a verdict rests on: `+1.0 to +7.4 %`."""
    span = verdict.rests_on
    return numbers.between(span.low, span.high, points=points(verdict)) if span else numbers.UNKNOWN


def points(verdict: Verdict) -> bool:
    """Tell whether effects are differences of shares, shown as percentage points, and no ratios."""
    return verdict.metric.scale is Scale.DIFFERENCE


def _verdict(verdict: Verdict) -> tuple[str, ...]:
    more = None
    if verdict.word is Word.INCONCLUSIVE and verdict.blocks_needed is not None:
        more = max(verdict.blocks_needed - verdict.blocks, 0)
    return (
        str(verdict.word),
        verdict.variant,
        verdict.metric.text,
        numbers.change(verdict.effect, points=points(verdict)),
        interval(verdict),
        "±" + numbers.amount(verdict.metric.threshold, points=points(verdict)),
        numbers.amount(verdict.smallest_seen, points=points(verdict)),
        numbers.count(verdict.blocks),
        numbers.count(more),
    )


def _exploratory(result: Weighed) -> Table:
    """Return a row for each exploratory verdict; * is what stands out among so many."""
    comparison, rows = result.comparison, []
    for verdict in words.ordered(comparison.exploratory) if comparison else ():
        word, variant, metric, *rest = _verdict(verdict)
        hit = comparison is not None and (variant, metric) in comparison.discoveries
        rows.append((word, variant, f"{metric}*" if hit else metric, *rest))
    return of_rows(_VERDICTS, rows)


def _values(result: Weighed) -> Table:
    """Return what each gated metric was with each variant, over the blocks."""
    gated, rows = result.comparison.gated if result.comparison else (), []
    for metric in dict.fromkeys(verdict.metric for verdict in gated):
        levels = [levels.get(metric.text) for levels in result.levels.values()]
        values = [numbers.measured(level.value if level else None, metric.unit) for level in levels]
        rows.append((metric.text, *values))
    return of_rows((("metric", ColumnKind.WORDS), *((name, ColumnKind.NUMBER) for name in result.levels)), rows)


def _budgets(result: Weighed) -> Table:
    heads = (
        *(("verdict", ColumnKind.VERDICT), ("variant", ColumnKind.NAME), ("budget", ColumnKind.WORDS)),
        ("measured", ColumnKind.SENTENCE),
    )
    judged = words.by_variant(result)
    return of_rows(heads, [(str(one.word).upper(), name, one.budget.text, one.reason) for name, one in judged])


def _endings(result: Weighed) -> Table:
    """Return how the runs of each variant ended, where not all finished."""
    endings = result.comparison.endings if result.comparison else ()
    rows = [(one.variant, one.text) for one in endings if len({**one.counts, **one.base_counts}) > 1]
    return of_rows((("variant", ColumnKind.NAME), ("how its runs ended", ColumnKind.SENTENCE)), rows)


def _left_out(result: Weighed) -> Table:
    """Return the runs that are kept and shown, and not used, each with its reason."""
    heads = (
        *(("block", ColumnKind.NAME), ("variant", ColumnKind.NAME)),
        ("why it is not used", ColumnKind.SENTENCE),
    )
    rows = [(str(one.block), one.variant, one.run.invalid) for one in result.taken if one.run.invalid]
    return of_rows(heads, rows)


def _floors(result: Weighed) -> Table:
    """Return what this machine can see, and which thresholds are below that."""
    heads = (
        ("metric", ColumnKind.WORDS),
        *((head, ColumnKind.NUMBER) for head in ("scatter", "can see", "threshold")),
        ("so", ColumnKind.WORDS),
    )
    rows = []
    for floor in result.floors:
        scale = floor.metric.scale is Scale.DIFFERENCE
        amounts = (floor.scatter, floor.smallest_seen, floor.metric.threshold)
        said = "too small to be seen" if floor.refusal else "can be seen"
        rows.append((floor.metric.text, *(numbers.amount(one, points=scale) for one in amounts), said))
    return of_rows(heads, rows)
