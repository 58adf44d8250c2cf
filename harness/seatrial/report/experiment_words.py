"""What is said of an experiment, in the same words and cells by every form of its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from seatrial.judge.budgets import Judged, Kept
from seatrial.judge.effects import Scale
from seatrial.judge.metric import Kind
from seatrial.judge.verdicts import Verdict
from seatrial.judge.words import Word
from seatrial.model import Design
from seatrial.report import numbers
from seatrial.report.weighed import Weighed
from seatrial.units import NS_PER_S

HEADS = ("variant", "metric", "verdict", "effect", "interval", "threshold", "can see", "blocks", "more")
EXPLAINED = "can see: the smallest change that so many blocks could have shown; more: blocks that would decide"
LIMITED = (
    "HOST-LIMITED: load and stack share cores here, so latency and throughput are those of the whole host; they "
    "are shown, and nothing is decided by them"
)
WEAKER = (
    "a stored baseline is weaker than both sides in one job: what the machine did differently in between is taken "
    "for a difference of the variants"
)
_GRAVITY = (
    *(Word.REGRESSION, Word.INVALID, Word.LIKELY_REGRESSION, Word.INCONCLUSIVE, Word.WORSE_BUT_SMALL),
    *(Word.LIKELY_IMPROVEMENT, Word.IMPROVEMENT, Word.BETTER_BUT_SMALL, Word.EQUIVALENT),
)
_QUIET = frozenset({Word.EQUIVALENT, Word.WORSE_BUT_SMALL, Word.BETTER_BUT_SMALL})
_MOST_SENTENCES = 12


@dataclass(frozen=True, slots=True)
class Cells:
    """A table in words."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def title(weighed: Weighed) -> str:
    """Return what was done, with how much."""
    plan = weighed.plan
    blocks = f"{len(weighed.blocks)} of {len(plan.blocks)} block{'' if len(plan.blocks) == 1 else 's'}"
    return " · ".join((plan.scenario, plan.command, f"{len(plan.variants)} variants", blocks, plan.design))


def reasons(weighed: Weighed) -> Iterator[str]:
    """Yield the sentences under the verdict, the gravest first."""
    found = weighed.comparison
    if found is None:
        yield weighed.why_not
    else:
        yield from _endings(weighed)
        yield from _graver(found.gated)
        yield from (f"{name}: {one.text}" for name, one in _budgets(weighed) if one.word is not Kept.KEPT)
        yield from _lost(weighed)
        if found.host_limited:
            yield LIMITED
    if weighed.against:
        yield f"compared with {weighed.against.experiment}: {WEAKER}"
    if weighed.unfinished:
        yield f"{len(weighed.unfinished)} of the planned runs are missing; blocks that lack one are not used"


def _graver(gated: Sequence[Verdict]) -> Iterator[str]:
    told = sorted((one for one in gated if one.word not in _QUIET), key=_gravity)
    yield from (sentence(one) for one in told[:_MOST_SENTENCES])
    if len(told) > _MOST_SENTENCES:
        yield f"{len(told) - _MOST_SENTENCES} more in the table of verdicts"
    if not told:
        yield "nothing worse or better than the thresholds"


def sentence(one: Verdict) -> str:
    """Return a verdict as a sentence with its names."""
    return f"{one.variant}, {one.metric.text}: {one.text}"


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
        (row[0], row[1] + ("*" if (one.variant, one.metric.text) in hits else ""), *row[2:])
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
    rows = [(name, one.budget.text, str(one.word).upper(), one.reason) for name, one in _budgets(weighed)]
    return Cells(("variant", "budget", "verdict", "measured"), tuple(rows))


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
        seen = numbers.change(one.smallest_seen, points=points).lstrip("+")
        wanted = numbers.change(one.metric.threshold, points=points).lstrip("+")
        scatter = numbers.change(one.scatter, points=points).lstrip("+")
        rows.append(
            (one.metric.text, scatter, seen, wanted, "too small to be seen" if one.refusal else "can be seen")
        )
    return Cells(("metric", "scatter", "can see", "threshold", "so"), tuple(rows))


def how(weighed: Weighed) -> list[tuple[str, str]]:
    """Return how it was measured, as named lines."""
    plan, found = weighed.plan, weighed.comparison
    looks = ", ".join(f"{look.blocks} ({look.alpha:.3g})" for look in plan.looks)
    lines = [
        ("design", _design(weighed)),
        ("order", f"random in each block, seed {plan.seed}; plan.json was written before anything started"),
        ("looks", f"planned after so many blocks (level): {looks}" if looks else ""),
        ("level", f"{found.alpha:.3g} for all gated metrics together (Holm)" if found else ""),
        ("base", weighed.base),
        ("commit", weighed.commit),
        ("began", began(weighed.began_ns)),
    ]
    if weighed.against:
        lines += [("against", weighed.against.experiment)]
        lines += [(f"differs: {name}", f"{there} -> {here}") for name, there, here in weighed.against.subject]
        lines += [
            (f"environment: {name}", f"{there} -> {here}") for name, there, here in weighed.against.environment
        ]
        lines += [("not comparable", ", ".join(weighed.against.left_out))]
    lines += [("passed over", text) for text in weighed.notes]
    lines += [("data", weighed.folder)]
    return [(name, text) for name, text in lines if text]


def began(wall_ns: int | None) -> str:
    """Return a moment in UTC, empty if nobody knows it."""
    return (
        ""
        if wall_ns is None
        else datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def _row(one: Verdict) -> tuple[str, ...]:
    points = one.metric.scale is Scale.DIFFERENCE
    span = numbers.UNKNOWN
    if one.low is not None and one.high is not None:
        span = numbers.between(one.low, one.high, points=points)
    more = None if one.blocks_needed is None else max(one.blocks_needed - one.blocks, 0)
    return (
        one.variant,
        one.metric.text,
        str(one.word),
        numbers.change(one.effect, points=points),
        span,
        "±" + numbers.change(one.metric.threshold, points=points).lstrip("+"),
        numbers.change(one.smallest_seen, points=points).lstrip("+"),
        numbers.count(one.blocks),
        numbers.count(more if one.word is Word.INCONCLUSIVE else None),
    )


def _gravity(one: Verdict) -> tuple[int, bool]:
    return _GRAVITY.index(one.word), one.metric.kind is not Kind.FAILURES


def _budgets(weighed: Weighed) -> Iterator[tuple[str, Judged]]:
    for name, judged in weighed.budgets.items():
        yield from ((name, one) for one in judged)


def _endings(weighed: Weighed) -> Iterator[str]:
    found = weighed.comparison.endings if weighed.comparison else ()
    yield from (f"{one.variant}: {one.text}" for one in found if one.word is not None)


def _lost(weighed: Weighed) -> Iterator[str]:
    found = weighed.comparison.lost if weighed.comparison else {}
    for variant, why in found.items():
        if why:
            yield f"{variant}: {len(why)} of {len(weighed.blocks)} blocks are not used: {why[0]}"


def _design(weighed: Weighed) -> str:
    plan = weighed.plan
    if plan.design is Design.RUNS:
        return "runs: a fresh stack for each run, every variant once in each block"
    return (
        f"slices: all variants up at once, {plan.slices} turns of {plan.slice_s or 0:g} s a block, of which "
        f"the first {plan.settle_s or 0:g} s are not judged"
    )
