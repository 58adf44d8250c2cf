"""A capacity search as text: one sentence, the reasons, and the sections of its report."""

from __future__ import annotations

import math
from collections.abc import Sequence

from seatrial.compare.capacity import CapacityResult, CapacityWord, TrialResult
from seatrial.measure.services import Growth, Slope
from seatrial.report import numbers
from seatrial.report.tables import Section, Table, TableColumnKind, column, plain_lines

_MINUTE_S = 60
_LITTLE = 0.1
"""An error of the bounds that the budgets alone can cause: a limit of 500 ms in trials of 5 s."""


def title(result: CapacityResult) -> str:
    """Return the result of one variant as a sentence."""
    if result.word is CapacityWord.INTERRUPTED:
        ends = ((result.lower_per_s, "kept the budgets"), (result.upper_per_s, "did not"))
        known = ", ".join(f"{per_s(rate)} {word}" for rate, word in ends if rate is not None)
        cut_short = f"{result.variant}: cut short after {len(result.trials)} trials"
        return f"{cut_short}: {known or 'nothing is known of its capacity'}; that is no result"
    if result.silent:
        return f"{result.variant}: the stack did not answer, so nothing is known of its capacity"
    if result.lower_per_s is None:
        if result.upper_per_s is None:
            return f"{result.variant}: nothing is known of its capacity"
        return (
            f"{result.variant}: no rate that was tried keeps the budgets; {per_s(result.upper_per_s)} breaks them"
        )
    bounds = f"{result.variant}: {per_s(result.lower_per_s)} keeps the budgets"
    if result.upper_per_s is not None:
        bounds += f", {per_s(result.upper_per_s)} does not"
    validation = result.validation
    if validation is None:
        return f"{bounds}; not validated"
    validated = "validated" if result.word is CapacityWord.VALIDATED else "validation tried"
    return f"{bounds}; {validated} at {per_s(validation.rate_per_s)} for {validation.duration_s:g} s"


def reasons(result: CapacityResult) -> list[str]:
    """Return the reasons for the verdict, the gravest first."""
    texts = []
    if result.silent:
        texts.append(f"the stack did not answer: {result.silent}")
    if result.word is CapacityWord.GENERATOR_LIMITED:
        texts.append(f"the load generator was the limit, not the stack: {result.limited_by}")
    elif result.limited_by and result.limited_by != result.silent:
        texts.append(f"the search did not come to its end: {result.limited_by}")
    if result.too_high > _LITTLE and result.flow_s:
        longest_s = max(trial.duration_s for trial in result.trials)
        texts.append(
            f"a flow takes {result.flow_s:.2g} s, a trial {longest_s:g} s: the bounds may be "
            f"{result.too_high:.0%} too high; less with longer trials: --trial {math.ceil(2 * longest_s)}s"
        )
    if validation := result.validation:
        if validation.invalid:
            texts.append(f"the validation can't be trusted: {validation.invalid}")
        if validation.saturated:
            texts.append(f"in the validation arrivals piled up: {validation.saturated}")
        if validation.strained:
            texts.append(f"no budget broke in spite of {validation.strained}")
    if result.shared:
        texts.append(f"HOST-LIMITED: {result.shared}; on a host with more cores the stack may carry more")
    return texts


def memory(slope: Slope) -> str:
    """Return the growth of one service's memory in the validation, in words."""
    if slope.per_s is None or slope.low is None or slope.high is None:
        why = "it could not be read" if slope.word is Growth.UNTOLD else f"{slope.seconds:.0f} s tell nothing"
        return f"{slope.service}: {slope.word}: {why}"
    ends = [numbers.size(round(end * _MINUTE_S)) for end in (slope.per_s, slope.low, slope.high)]
    return (
        f"{slope.service}: {slope.word}: {ends[0]} a minute (95 %: {ends[1]} to {ends[2]}) on "
        f"{numbers.size(slope.level_bytes)}; from {numbers.size(slope.matters_bytes)} on in {slope.seconds:.0f} s "
        "it would matter"
    )


def per_s(rate: float) -> str:
    """Return a rate with its unit, in the digits that a search resolves."""
    return f"{rate:.4g}/s" if rate < 1000 else f"{rate:.0f}/s"  # noqa: PLR2004  (no exponent is wanted)


def curve(result: CapacityResult) -> str:
    """Return the percentile that the curve shows."""
    return f"p{result.percentile} of {result.of}" if result.of else f"p{result.percentile}"


def sentences(results: Sequence[CapacityResult]) -> list[str]:
    """Return the lines above a run on its page: each variant's result, then the reasons for each."""
    lines = [f"{result.word}: {title(result)}" for result in results]
    for result in results:
        details = reasons(result)
        if result.validation is not None:
            details += [budget.text for budget in result.validation.budgets]
            details += [memory(slope) for slope in result.validation.memory]
        lines += [f"{result.variant}: {detail}" for detail in details]
    return lines


def overview(results: Sequence[CapacityResult]) -> Table:
    """Return a row for each variant."""

    def rate(value_per_s: float | None) -> str:
        return numbers.UNKNOWN if value_per_s is None else per_s(value_per_s)

    return Table(
        (
            column("variant", results, lambda result: result.variant, TableColumnKind.WORDS),
            column("lower", results, lambda result: rate(result.lower_per_s)),
            column("upper", results, lambda result: rate(result.upper_per_s)),
            column("validated", results, lambda result: rate(result.validation and result.validation.rate_per_s)),
            column("word", results, lambda result: str(result.word), TableColumnKind.WORDS),
        )
    )


def sections(result: CapacityResult) -> list[Section]:
    """Return the trials in the order of the rates; then the validation's budgets and memory, if there was one."""
    trials = Section(
        name="trials",
        title="Trials",
        caption=f"{curve(result)} from the scheduled start; lost: no user served it in time",
        table=_trials(result),
    )
    validation = result.validation
    if validation is None:
        return [trials]
    return [
        trials,
        Section(
            name="validation",
            title="Validation",
            caption=per_s(validation.rate_per_s),
            table=plain_lines([budget.text for budget in validation.budgets]),
        ),
        Section(
            name="memory",
            title="Memory",
            caption="that can't be taken back, in that window",
            table=plain_lines([memory(slope) for slope in validation.memory]),
        ),
    ]


def spent(result: CapacityResult) -> str:
    """Return how many trials there were, and how long they took."""
    total = f"{result.trial_s:.0f} s together, {result.search_s:.0f} s with the rests between them"
    return f"{len(result.trials)} trials of {total}"


def _trials(result: CapacityResult) -> Table:
    trials = sorted(result.trials, key=lambda trial: (trial.rate_per_s, trial.after_s))
    return Table(
        (
            column("offered", trials, lambda trial: per_s(trial.rate_per_s)),
            column("for", trials, lambda trial: f"{trial.duration_s:g} s"),
            column("arrivals", trials, lambda trial: numbers.count(trial.arrivals)),
            column("completed", trials, lambda trial: per_s(trial.completed_per_s)),
            column(curve(result), trials, lambda trial: numbers.duration(trial.latency_ns)),
            column("failed", trials, lambda trial: numbers.count(trial.failed)),
            column("lost", trials, lambda trial: numbers.count(trial.lost)),
            column("budgets", trials, _kept, TableColumnKind.BRIEF),
        )
    )


def _kept(trial: TrialResult) -> str:
    if trial.invalid:
        return f"invalid: {trial.invalid}"
    return "kept" if trial.kept else "broken: flows pile up" if trial.piled else "broken"
