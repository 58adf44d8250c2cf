"""What is said of an experiment, in the same words in every form of its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from seatrial.judge.budgets import Judged, Kept
from seatrial.judge.categories import FINISHED
from seatrial.judge.comparison import Comparison, Overall
from seatrial.judge.metric import Kind
from seatrial.judge.verdicts import Verdict
from seatrial.judge.words import Word
from seatrial.model import Design
from seatrial.report import numbers
from seatrial.report.weighed import COMPARES, Weighed
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


def title(weighed: Weighed) -> str:
    """Return what was done, with how much."""
    plan = weighed.plan
    blocks = f"{len(weighed.blocks)} of {numbers.counted(len(plan.blocks), 'block')}"
    variants = numbers.counted(len(plan.variants), "variant")
    return f"{plan.scenario} · {plan.command} · {variants} · {blocks} · {plan.design}"


def reasons(weighed: Weighed) -> Iterator[str]:
    """Yield the sentences under the verdict, the gravest first."""
    found = weighed.comparison
    if found is None:
        yield from _uncompared(weighed)
    else:
        yield from _unjudged(weighed, found)
        yield from _endings(weighed)
        yield from _graver(found.gated)
        yield from _open_budgets(weighed)
        yield from _lost(weighed)
        if found.host_limited:
            yield LIMITED
    if weighed.against:
        yield f"compared with {weighed.against.experiment}: {WEAKER}"
    if weighed.unfinished:
        missing = len(weighed.unfinished)
        lost = f"{missing} of the planned runs {'is' if missing == 1 else 'are'} missing"
        yield f"{lost}; blocks that lack one are not used"


def _uncompared(weighed: Weighed) -> Iterator[str]:
    """Yield the budgets of a run that needs no other; else why nothing is said."""
    alone = weighed.plan.command not in COMPARES and not weighed.plan.against
    if alone:
        spoiled = [one for one in weighed.taken if one.run.invalid]
        yield from (f"{one.variant}: not to be trusted: {one.run.invalid}" for one in spoiled)
        yield from _open_budgets(weighed)
    kept = [one for _, one in by_variant(weighed) if one.word is Kept.KEPT]
    if kept:
        yield f"{len(kept)} of {numbers.counted(len([*by_variant(weighed)]), 'budget')} kept"
    ended = all(one.run.ended == FINISHED for one in weighed.taken)
    if not (alone and ended and weighed.budgets):
        yield weighed.why_not


def _unjudged(weighed: Weighed, found: Comparison) -> Iterator[str]:
    """Yield why the whole can't be judged, or is open, where that is not a matter of one metric."""
    if found.overall is Overall.INVALID:
        yield found.reason
    elif found.overall is Overall.INCONCLUSIVE and (ended := _ended(weighed)):
        yield f"it ended {ended}"


def _ended(weighed: Weighed) -> str:
    if not weighed.stopped:
        return ""
    of = numbers.counted(len(weighed.plan.blocks), "block")
    return f"after {len(weighed.blocks)} of {of}: {weighed.stopped}"


def _open_budgets(weighed: Weighed) -> Iterator[str]:
    told = sorted(by_variant(weighed), key=lambda one: one[1].word is not Kept.BROKEN)
    yield from (f"{name}: {one.text}" for name, one in told if one.word is not Kept.KEPT)


def _graver(gated: Sequence[Verdict]) -> Iterator[str]:
    told: dict[tuple[str, str], list[Verdict]] = {}
    for one in sorted((one for one in gated if one.word not in _QUIET), key=_gravity):
        told.setdefault((one.variant, one.text), []).append(one)
    said = [_sentence(alike) for alike in told.values()]
    yield from said[:_MOST_SENTENCES]
    if len(said) > _MOST_SENTENCES:
        yield f"{len(said) - _MOST_SENTENCES} more in the table of verdicts"
    if not said:
        yield "nothing worse or better than the thresholds"


def _sentence(alike: Sequence[Verdict]) -> str:
    """Return the verdict of one or more metrics of a variant, such as why none of them could be judged."""
    return f"{', '.join((alike[0].variant, *(one.metric.text for one in alike)))}: {alike[0].text}"


def ordered(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return each variant's verdicts, differences in failures before anything else."""
    names = [*dict.fromkeys(one.variant for one in verdicts)]
    return sorted(verdicts, key=lambda one: (names.index(one.variant), one.metric.kind is not Kind.FAILURES))


def by_variant(weighed: Weighed) -> Iterator[tuple[str, Judged]]:
    """Yield each budget of each variant."""
    for name, judged in weighed.budgets.items():
        yield from ((name, one) for one in judged)


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
        ("ended", _ended(weighed)),
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


def _gravity(one: Verdict) -> tuple[int, bool]:
    return _GRAVITY.index(one.word), one.metric.kind is not Kind.FAILURES


def _endings(weighed: Weighed) -> Iterator[str]:
    found = weighed.comparison.endings if weighed.comparison else ()
    yield from (f"{one.variant}: {one.text}" for one in found if one.word is not None)


def _lost(weighed: Weighed) -> Iterator[str]:
    found = weighed.comparison.lost if weighed.comparison else {}
    for variant, why in found.items():
        if why:
            of = numbers.counted(len(weighed.blocks), "block")
            yield f"{variant}: {len(why)} of {of} {'is' if len(why) == 1 else 'are'} not used: {why[0]}"


def _design(weighed: Weighed) -> str:
    plan = weighed.plan
    if plan.design is Design.RUNS:
        return "runs: a fresh stack for each run, every variant once in each block"
    return (
        f"slices: all variants up at once, {plan.slices} turns of {plan.slice_s or 0:g} s a block, of which "
        f"the first {plan.settle_s or 0:g} s are not judged"
    )
