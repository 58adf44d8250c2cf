"""The sentences about an experiment, in the same words in every form of its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from seatrial.analysis.results import COMPARES, Weighed
from seatrial.compare.budgets import Judged, Kept
from seatrial.compare.categories import FINISHED
from seatrial.compare.comparison import Overall
from seatrial.compare.verdicts import Verdict
from seatrial.compare.words import Word
from seatrial.measure.metric import Kind
from seatrial.model import Design
from seatrial.report import numbers
from seatrial.units import NS_PER_S

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


def title(result: Weighed) -> str:
    """Return what was done, with how much."""
    plan = result.plan
    blocks = f"{len(result.blocks)} of {numbers.counted(len(plan.blocks), 'block')}"
    variants = numbers.counted(len(plan.variants), "variant")
    return f"{plan.scenario} · {plan.command} · {variants} · {blocks} · {plan.design}"


def reasons(result: Weighed) -> Iterator[str]:
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
        yield from _graver(comparison.gated)
        yield from _open_budgets(result)
        for variant, why in comparison.lost.items():
            if why:
                of = numbers.counted(len(result.blocks), "block")
                yield f"{variant}: {len(why)} of {of} {'is' if len(why) == 1 else 'are'} not used: {why[0]}"
        if comparison.host_limited:
            yield LIMITED
    if result.against:
        yield f"compared with {result.against.experiment}: {WEAKER}"
    if result.unfinished:
        missing = len(result.unfinished)
        lost = f"{missing} of the planned runs {'is' if missing == 1 else 'are'} missing"
        yield f"{lost}; blocks that lack one are not used"


def how(result: Weighed) -> list[tuple[str, str]]:
    """Return how it was measured, as named lines."""
    plan, comparison, against = result.plan, result.comparison, result.against
    looks = ", ".join(f"{look.blocks} ({look.alpha:.3g})" for look in plan.looks)
    lines = [
        ("design", _design(result)),
        ("order", f"random in each block, seed {plan.seed}; plan.json was written before anything started"),
        ("looks", f"planned after so many blocks (level): {looks}" if looks else ""),
        ("level", f"{comparison.alpha:.3g} for all gated metrics together (Holm)" if comparison else ""),
        ("base", result.base),
        ("commit", result.commit),
        ("began", began(result.began_ns)),
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
    """Return each variant's verdicts, differences in failures before anything else."""
    names = [*dict.fromkeys(verdict.variant for verdict in verdicts)]
    return sorted(
        verdicts, key=lambda verdict: (names.index(verdict.variant), verdict.metric.kind is not Kind.FAILURES)
    )


def by_variant(result: Weighed) -> list[tuple[str, Judged]]:
    """Return each budget of each variant."""
    return [(name, budget) for name, budgets in result.budgets.items() for budget in budgets]


def began(wall_ns: int | None) -> str:
    """Return a moment in UTC, empty if it is not known."""
    if wall_ns is None:
        return ""
    return datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _uncompared(result: Weighed) -> Iterator[str]:
    """Yield the budgets of a run that needs no other; else why nothing is said."""
    alone = result.plan.command not in COMPARES and not result.plan.against
    if alone:
        spoiled = [taken for taken in result.taken if taken.run.invalid]
        yield from (f"{taken.variant}: not to be trusted: {taken.run.invalid}" for taken in spoiled)
        yield from _open_budgets(result)
    budgets = by_variant(result)
    kept = sum(budget.word is Kept.KEPT for _, budget in budgets)
    if kept:
        yield f"{kept} of {numbers.counted(len(budgets), 'budget')} kept"
    ended = all(taken.run.ended == FINISHED for taken in result.taken)
    if not (alone and ended and result.budgets):
        yield result.why_not


def _ended(result: Weighed) -> str:
    if not result.stopped:
        return ""
    of = numbers.counted(len(result.plan.blocks), "block")
    return f"after {len(result.blocks)} of {of}: {result.stopped}"


def _open_budgets(result: Weighed) -> Iterator[str]:
    broken_first = sorted(by_variant(result), key=lambda named: named[1].word is not Kept.BROKEN)
    yield from (f"{name}: {budget.text}" for name, budget in broken_first if budget.word is not Kept.KEPT)


def _graver(gated: Sequence[Verdict]) -> Iterator[str]:
    """Yield a sentence for each verdict, one for several metrics of a variant of which it says the same."""
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


def _design(result: Weighed) -> str:
    plan = result.plan
    if plan.design is Design.RUNS:
        return "runs: a fresh stack for each run, every variant once in each block"
    return (
        f"slices: all variants up at once, {plan.slices} turns of {plan.slice_s or 0:g} s a block, of which "
        f"the first {plan.settle_s or 0:g} s are not judged"
    )
