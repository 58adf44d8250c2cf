"""An experiment as text: title, reasons, and the sections of its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seatrial.analysis.results import COMPARES, ExperimentResult
from seatrial.analysis.run import utc
from seatrial.compare.budgets import BudgetResult, BudgetWord
from seatrial.compare.comparison import NoiseFloor, Overall
from seatrial.compare.pairing import FINISHED
from seatrial.compare.verdicts import Verdict, Word
from seatrial.measure.metric import Kind, Scale
from seatrial.measure.ranges import RangeReport
from seatrial.model import Design
from seatrial.report import experience_sections, numbers, range_sections
from seatrial.report.tables import Section, Table, TableColumnKind, column, of_rows, pairs

LIMITED = (
    "HOST-LIMITED: load and stack share cores here, so latency and throughput are those of the whole host; they "
    "are shown, and nothing is decided by them"
)
WEAKER = (
    "a stored baseline is weaker than both sides in one job: what the machine did differently in between is taken "
    "for a difference of the variants"
)
EXPLAINED = (
    "interval: the one that the verdict rests on; can see: the smallest change that so many blocks could have "
    "shown; more: blocks that would decide"
)
_VERDICT_HEADS = (
    *(("verdict", TableColumnKind.VERDICT), ("variant", TableColumnKind.NAME), ("metric", TableColumnKind.WORDS)),
    *((head, TableColumnKind.NUMBER) for head in ("effect", "interval", "threshold", "can see", "blocks", "more")),
)
_GRAVITY = (
    *(Word.REGRESSION, Word.INVALID, Word.LIKELY_REGRESSION, Word.INCONCLUSIVE, Word.WORSE_BUT_SMALL),
    *(Word.LIKELY_IMPROVEMENT, Word.IMPROVEMENT, Word.BETTER_BUT_SMALL, Word.EQUIVALENT),
)
_QUIET = frozenset({Word.EQUIVALENT, Word.WORSE_BUT_SMALL, Word.BETTER_BUT_SMALL})
_MOST_SENTENCES = 12


def title(result: ExperimentResult) -> str:
    """Return scenario, command, and the numbers of variants and blocks."""
    plan = result.plan
    blocks = f"{len(result.blocks)} of {numbers.counted(len(plan.blocks), 'block')}"
    variants = numbers.counted(len(plan.variants), "variant")
    return f"{plan.scenario} · {plan.command} · {variants} · {blocks} · {plan.design}"


def reasons(result: ExperimentResult) -> Iterator[str]:
    """Yield the sentences under the verdict, the gravest first."""
    comparison = result.comparison
    if comparison is None:
        yield from _uncompared(result)
    else:
        if comparison.overall is Overall.INVALID:
            yield comparison.reason
        elif comparison.overall is Overall.INCONCLUSIVE and (ended := _ended(result)):
            yield f"it ended {ended}"
        yield from (f"{ending.variant}: {ending.text}" for ending in comparison.endings if ending.word is not None)
        yield from _gated_sentences(comparison.gated)
        yield from _open_budgets(result)
        for variant, invalid in comparison.lost.items():
            if invalid:
                of = numbers.counted(len(result.blocks), "block")
                are = "is" if len(invalid) == 1 else "are"
                yield f"{variant}: {len(invalid)} of {of} {are} not used: {invalid[0]}"
        if comparison.host_limited:
            yield LIMITED
    if result.against:
        yield f"compared with {result.against.experiment}: {WEAKER}"
    if missing := len(result.unfinished):
        are = "is" if missing == 1 else "are"
        yield f"{missing} of the planned runs {are} missing; blocks that lack one are not used"


def sections(result: ExperimentResult) -> list[Section]:
    """Return the sections that have rows, in the order in which every form shows them."""
    comparison = result.comparison
    gated = ordered(comparison.gated) if comparison else []
    every = (
        Section(
            name="verdicts",
            title="Verdicts",
            caption=f"change against {result.base}; {EXPLAINED}",
            table=of_rows(_VERDICT_HEADS, [_verdict_row(verdict) for verdict in gated]),
        ),
        Section(
            name="values",
            title="Values",
            caption="mean over the blocks that are used",
            table=_values(result),
        ),
        Section(name="budgets", title="Budgets", caption="with 95 %", table=_budgets(result)),
        experience_sections.of_experiment(result),
        Section(name="endings", title="Endings", table=_endings(result)),
        range_sections.section(_ranges(result)),
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
            table=_noise_floors(result.floors),
        ),
        Section(
            name="more-exploratory",
            title="Exploratory",
            caption="to look at, nothing is decided by it; * stands out (one in ten of these is chance)",
            table=_exploratory(result),
        ),
        Section(name="measured", title="How it was measured", table=pairs(how_measured(result))),
    )
    return [section for section in every if section.table.rows]


def how_measured(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return how the experiment was run, as named lines."""
    plan, comparison, against = result.plan, result.comparison, result.against
    looks = ", ".join(f"{look.blocks} ({look.alpha:.3g})" for look in plan.looks)
    design = "runs: a fresh stack for each run, every variant once in each block"
    if plan.design is Design.SLICES:
        design = (
            f"slices: all variants up at once, {plan.slices} turns of {plan.slice_s or 0:g} s a block, of which "
            f"the first {plan.settle_s or 0:g} s are not judged"
        )
    lines = [
        ("design", design),
        ("order", f"random in each block, seed {plan.seed}; plan.json was written before anything started"),
        ("looks", f"planned after so many blocks (level): {looks}" if looks else ""),
        ("level", f"{comparison.alpha:.3g} for all gated metrics together (Holm)" if comparison else ""),
        ("base", result.base),
        ("commit", result.commit),
        ("began", "" if result.began_ns is None else utc(result.began_ns)),
        ("ended", _ended(result)),
    ]
    if against:
        lines += [("against", against.experiment)]
        lines += [(f"differs: {name}", f"{there} -> {here}") for name, there, here in against.subject]
        lines += [(f"environment: {name}", f"{there} -> {here}") for name, there, here in against.environment]
        lines += [("not comparable", ", ".join(against.left_out))]
    lines += [("passed over", text) for text in result.notes]
    lines += [("data", result.folder)]
    return [(name, text) for name, text in lines if text]


def ordered(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return verdicts by variant, failures before other metrics."""
    names = [*dict.fromkeys(verdict.variant for verdict in verdicts)]
    return sorted(
        verdicts, key=lambda verdict: (names.index(verdict.variant), verdict.metric.kind is not Kind.FAILURES)
    )


def by_variant(result: ExperimentResult) -> list[tuple[str, BudgetResult]]:
    """Return each budget's result with its variant."""
    return [(name, budget) for name, budgets in result.budgets.items() for budget in budgets]


def _uncompared(result: ExperimentResult) -> Iterator[str]:
    """Yield the budgets of plain runs; else why there is no comparison."""
    alone = result.plan.command not in COMPARES and not result.plan.against
    if alone:
        for run in result.runs:
            if run.measured.invalid:
                yield f"{run.variant}: not to be trusted: {run.measured.invalid}"
        yield from _open_budgets(result)
    budgets = by_variant(result)
    kept = sum(budget.word is BudgetWord.KEPT for _, budget in budgets)
    if kept:
        yield f"{kept} of {numbers.counted(len(budgets), 'budget')} kept"
    finished = all(run.measured.ended == FINISHED for run in result.runs)
    if not (alone and finished and result.budgets):
        yield result.why_not


def _ended(result: ExperimentResult) -> str:
    if not result.stopped:
        return ""
    of = numbers.counted(len(result.plan.blocks), "block")
    return f"after {len(result.blocks)} of {of}: {result.stopped}"


def _open_budgets(result: ExperimentResult) -> Iterator[str]:
    broken_first = sorted(by_variant(result), key=lambda pair: pair[1].word is not BudgetWord.BROKEN)
    yield from (f"{name}: {budget.text}" for name, budget in broken_first if budget.word is not BudgetWord.KEPT)


def _gated_sentences(gated: Sequence[Verdict]) -> Iterator[str]:
    """Yield a sentence for each verdict that matters; metrics of a variant with the same text share one."""
    loud = [verdict for verdict in gated if verdict.word not in _QUIET]
    loud.sort(key=lambda verdict: (_GRAVITY.index(verdict.word), verdict.metric.kind is not Kind.FAILURES))
    metrics: dict[tuple[str, str], list[str]] = {}
    for verdict in loud:
        metrics.setdefault((verdict.variant, verdict.text), []).append(verdict.metric.text)
    sentences = [f"{', '.join((variant, *names))}: {text}" for (variant, text), names in metrics.items()]
    yield from sentences[:_MOST_SENTENCES]
    if len(sentences) > _MOST_SENTENCES:
        yield f"{len(sentences) - _MOST_SENTENCES} more in the table of verdicts"
    if not sentences:
        yield "nothing worse or better than the thresholds"


def interval(verdict: Verdict) -> str:
    """Return the interval that a verdict rests on: `+1.0 to +7.4 %`."""
    span = verdict.deciding_interval
    return numbers.between(span.low, span.high, points=in_points(verdict)) if span else numbers.UNKNOWN


def in_points(verdict: Verdict) -> bool:
    """Return whether the effect is a difference of shares, shown as percentage points, and not a ratio."""
    return verdict.metric.scale is Scale.DIFFERENCE


def _verdict_row(verdict: Verdict) -> tuple[str, ...]:
    more = None
    if verdict.word is Word.INCONCLUSIVE and verdict.blocks_needed is not None:
        more = max(verdict.blocks_needed - verdict.blocks, 0)
    return (
        str(verdict.word),
        verdict.variant,
        verdict.metric.text,
        numbers.change(verdict.effect, points=in_points(verdict)),
        interval(verdict),
        "±" + numbers.amount(verdict.metric.threshold, points=in_points(verdict)),
        numbers.amount(verdict.smallest_seen, points=in_points(verdict)),
        numbers.count(verdict.blocks),
        numbers.count(more),
    )


def _exploratory(result: ExperimentResult) -> Table:
    """Return a row for each exploratory verdict; * marks those that stand out among so many."""
    comparison, rows = result.comparison, []
    for verdict in ordered(comparison.exploratory) if comparison else ():
        word, variant, metric, *rest = _verdict_row(verdict)
        hit = comparison is not None and (variant, metric) in comparison.discoveries
        rows.append((word, variant, f"{metric}*" if hit else metric, *rest))
    return of_rows(_VERDICT_HEADS, rows)


def _values(result: ExperimentResult) -> Table:
    """Return the mean of each gated metric over the blocks, by variant."""
    gated, rows = result.comparison.gated if result.comparison else (), []
    for metric in dict.fromkeys(verdict.metric for verdict in gated):
        levels = [levels.get(metric.text) for levels in result.levels.values()]
        values = [numbers.measured(level.value if level else None, metric.unit) for level in levels]
        rows.append((metric.text, *values))
    return of_rows(
        (("metric", TableColumnKind.WORDS), *((name, TableColumnKind.NUMBER) for name in result.levels)), rows
    )


def _budgets(result: ExperimentResult) -> Table:
    budgets = by_variant(result)
    return Table(
        (
            column("verdict", budgets, lambda pair: str(pair[1].word).upper(), TableColumnKind.VERDICT),
            column("variant", budgets, lambda pair: pair[0], TableColumnKind.NAME),
            column("budget", budgets, lambda pair: pair[1].budget.text, TableColumnKind.WORDS),
            column("measured", budgets, lambda pair: pair[1].reason, TableColumnKind.SENTENCE),
        )
    )


def _endings(result: ExperimentResult) -> Table:
    """Return the endings of each variant's runs, where not all ended alike."""
    endings = result.comparison.endings if result.comparison else ()
    differing = [ending for ending in endings if len({**ending.counts, **ending.base_counts}) > 1]
    return Table(
        (
            column("variant", differing, lambda ending: ending.variant, TableColumnKind.NAME),
            column("how its runs ended", differing, lambda ending: ending.text, TableColumnKind.SENTENCE),
        )
    )


def _ranges(result: ExperimentResult) -> dict[str, list[RangeReport]]:
    """Return the reports of range cases of each variant's runs."""
    reports: dict[str, list[RangeReport]] = {}
    for run in result.runs:
        if run.ranges is not None:
            reports.setdefault(run.variant, []).append(run.ranges)
    return reports


def _left_out(result: ExperimentResult) -> Table:
    """Return the runs that are not used, each with its reason."""
    invalid = [run for run in result.runs if run.measured.invalid]
    return Table(
        (
            column("block", invalid, lambda run: str(run.block), TableColumnKind.NAME),
            column("variant", invalid, lambda run: run.variant, TableColumnKind.NAME),
            column("why it is not used", invalid, lambda run: run.measured.invalid, TableColumnKind.SENTENCE),
        )
    )


def _noise_floors(floors: Sequence[NoiseFloor]) -> Table:
    """Return the noise floor of each metric, and whether its threshold is above it."""

    def amount(floor: NoiseFloor, value: float | None) -> str:
        return numbers.amount(value, points=floor.metric.scale is Scale.DIFFERENCE)

    words = TableColumnKind.WORDS
    return Table(
        (
            column("metric", floors, lambda floor: floor.metric.text, words),
            column("scatter", floors, lambda floor: amount(floor, floor.scatter)),
            column("can see", floors, lambda floor: amount(floor, floor.smallest_seen)),
            column("threshold", floors, lambda floor: amount(floor, floor.metric.threshold)),
            column("so", floors, lambda floor: "too small to be seen" if floor.refusal else "can be seen", words),
        )
    )
