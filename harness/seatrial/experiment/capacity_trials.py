"""The capacity search of one variant on a running stack: warm-up check, short trials, validation window."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from seatrial.analysis.run import budget_result, load_run, run_result
from seatrial.compare import capacity, capacity_trial
from seatrial.compare.budgets import BudgetWord
from seatrial.compare.capacity import BudgetVerdict, Capacity, CapacityResult, Effort, TrialResult, Validation
from seatrial.compare.capacity_trial import SearchBudgets, TrialCounts
from seatrial.errors import MeasurementInvalid, UsageError
from seatrial.load.child import LoadSettings
from seatrial.load.driver import LoadObserver, LoadResult, drive
from seatrial.load.trials import CALM_WITHIN_S, REST_WITHIN_S, TrialSequence
from seatrial.measure import generator
from seatrial.measure import services as measure_services
from seatrial.measure.validity import RESERVED
from seatrial.model import DISTURBED, Load, NoteKind, Phase, Spawn
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.record.folder import RunFolder
from seatrial.units import NS_PER_S
from seatrial.wire import histogram

MARGIN = 0.95
"""The part of the lower bound that is validated: the bound is a median, and a long window has to hold."""
_REST_FLOWS = 2.0
"""A flow that begins as the gate shuts may take so many times as long as a flow without queueing."""
_ONLY_WORSE = DISTURBED | {NoteKind.GENERATOR_LATE, NoteKind.GENERATOR_BUSY}
"""These can only make latency look worse: they do not matter where no budget is broken."""


class CapacitySearch:
    """One variant's search; `validated_per_s` is the rate of its window, None without one.

    `load` warms up at the lowest rate; its window lasts `duration_s`.
    """

    def __init__(
        self, variant: str, *, budgets: SearchBudgets, effort: Effort, load: Load, progress: Progress
    ) -> None:
        self.budgets = budgets
        self.effort = effort
        self.load = load
        self.validated_per_s: float | None = None
        self._variant = variant
        self._progress = progress
        self._trials: list[TrialResult] = []
        self._capacity: Capacity | None = None
        self._search_s = 0.0
        self._warmup: TrialCounts | None = None
        self._kept: list[TrialCounts] = []
        self._successes = 0
        self._overload = ""
        self._hung = ""

    def run_load(self, settings: LoadSettings, observer: LoadObserver, spawn: Spawn) -> LoadResult:
        """Drive the load through warm-up, search and validation, and save the result after each trial."""
        folder = RunFolder(settings.folder)
        self._save(folder)
        driver = partial(TrialSequence, play=partial(self.play, folder=folder))
        return drive(settings, observer, spawn=spawn, driver=driver)

    def play(self, sequence: TrialSequence, folder: RunFolder) -> None:
        """Warm up at the lowest rate, search, and validate the lower bound, if there is one."""
        first_per_s = self.effort.first_per_s
        self._warmup = sequence.trial(first_per_s, self.load.warmup_s, Phase.WARMUP, CALM_WITHIN_S)
        refuse_warmup(self._warmup, self.budgets, self.effort)
        probe_s = max(self.effort.probe_s, capacity_trial.GOOD_FLOWS * (self._flow_s(first_per_s) or 0.0))
        self.effort = replace(self.effort, probe_s=min(probe_s, self.effort.trial_s))
        began_ns = sequence.clock()

        def measure(rate_per_s: float, duration_s: float) -> TrialResult:
            trial = self._trial(sequence, began_ns, rate_per_s, duration_s)
            self._search_s = (sequence.clock() - began_ns) / NS_PER_S
            word = f"invalid: {trial.invalid}" if trial.invalid else "kept" if trial.kept else "broken"
            self._progress.say(f"{rate_per_s:7.1f}/s for {duration_s:g} s: {word}; {trial.text}")
            self._save(folder)
            return trial

        self._capacity = capacity.search(measure, self.effort)
        if self._capacity.lower_per_s is None or not self.load.duration_s:
            return
        self.validated_per_s = MARGIN * self._capacity.lower_per_s
        self._save(folder)
        self._progress.say(f"validating {self.validated_per_s:.4g}/s for {self.load.duration_s:g} s")
        sequence.window(self.validated_per_s, self.load.duration_s)

    def result(self) -> CapacityResult:
        """Return the result of the search; while it lasts, the bounds of the trials so far."""
        bounds = self._capacity or capacity.partial_capacity(self._trials, "")
        flow_s = self._flow_s(self.effort.first_per_s)
        too_high = 0.0
        if bounds.lower_per_s is not None and flow_s is not None:
            too_high = capacity_trial.overestimate(
                bounds.lower_per_s, flow_s, self.budgets.wait_s, self.effort.trial_s
            )
        return CapacityResult(
            variant=self._variant,
            budgets=tuple(budget.text for budget in self.budgets.validated),
            percentile=self.budgets.percentile,
            of=self.budgets.endpoint,
            lower_per_s=bounds.lower_per_s,
            upper_per_s=bounds.upper_per_s,
            trials=bounds.trials,
            search_s=self._search_s,
            trial_s=bounds.trial_s,
            users=self.load.users,
            limited_by=bounds.limited_by,
            generator=bool(self._overload) and bounds.limited_by == self._overload,
            flow_s=flow_s,
            too_high=too_high,
            silent=self._silent(),
        )

    def _save(self, folder: RunFolder) -> None:
        documents.save_capacity(folder, replace(self.result(), status="interrupted"))

    def _silent(self) -> str:
        """Return why a stack that kept no rate has no bounds: it hung. Empty if it answered, even late."""
        if self._capacity is None or self._capacity.lower_per_s is not None or not self._trials:
            return ""
        if not self._successes:
            due = sum(trial.arrivals for trial in self._trials)
            return f"of {due} arrivals in {len(self._trials)} trials none ended well"
        return self._hung if self._hung == self._capacity.limited_by else ""

    def _flow_s(self, rate_per_s: float) -> float | None:
        """Return how long a flow takes without queueing, in seconds; None while none has ended."""
        return capacity_trial.calm_flow_s(self._warmup, self._kept, rate_per_s)

    def _trial(self, sequence: TrialSequence, began_ns: int, rate_per_s: float, duration_s: float) -> TrialResult:
        """Run one trial and judge it by its budgets, and by whether its flows ended as fast as they began."""
        rest_s = _REST_FLOWS * (self._flow_s(self.effort.first_per_s) or 0.0)
        rest_s = min(max(REST_WITHIN_S, rest_s), CALM_WITHIN_S)
        counts = sequence.trial(rate_per_s, duration_s, Phase.SETTLE, rest_s)
        self._successes += counts.ended_well
        most = capacity_trial.budget_excess(self.budgets.searched, counts)
        backlogged = capacity_trial.backlog_excess(counts, self._flow_s(rate_per_s), self.budgets.wait_s)
        piled = backlogged.value > max(most.value, 1.0)
        most = backlogged if piled else most
        latency = counts.latency_of(self.budgets.endpoint)
        trial = TrialResult(
            after_s=(counts.begin_ns - began_ns) / NS_PER_S,
            rate_per_s=rate_per_s,
            duration_s=duration_s,
            arrivals=counts.arrivals,
            completed_per_s=counts.completed_per_s,
            failed=sum(counts.failures.values()),
            lost=counts.lost,
            latency_ns=histogram.percentile_ns(latency, self.budgets.percentile),
            excess=most.value,
            text=most.text,
            invalid=self._invalid(counts, broken=most.value > 1.0),
            carried=counts.carried,
            piled=piled,
        )
        if trial.kept and not trial.invalid:
            self._kept.append(counts)
        self._trials.append(trial)
        return trial

    def _invalid(self, counts: TrialCounts, *, broken: bool) -> str:
        """Return why a trial is invalid, empty if it is not; one that kept its budgets is valid."""
        if not counts.arrivals:
            return "no arrival was due: the trial is shorter than the gap between two"
        if not broken:
            return ""
        if counts.carried:
            self._hung = f"it began with {counts.carried} arrivals under way from the trial before"
            return self._hung
        strictest_ns = self.budgets.strictest_ns
        self._overload = generator.overload(
            counts.seconds, strictest_ns, self.budgets.share
        ) or generator.pool_shortage(
            rate_per_s=counts.rate_per_s,
            late=counts.late,
            users=self.load.users,
            strictest_ns=strictest_ns,
            flow_s=self._flow_s(self.effort.first_per_s) or 0.0,
        )
        return self._overload


def refuse_warmup(counts: TrialCounts, budgets: SearchBudgets, effort: Effort) -> None:
    """Refuse a search that would give a wrong answer, by its warm-up at the lowest rate.

    MeasurementInvalid if no answer of the stack is good; UsageError for a budget of an endpoint or detail that
    does not occur, which every rate would keep, and for trials that are too short for the flows.
    """
    if not counts.arrivals:
        return
    where = f"the warm-up, at {effort.first_per_s:g} arrivals a second"
    if not counts.ended_well:
        failed, lost = sum(counts.failures.values()), counts.lost
        raise MeasurementInvalid(
            "the stack does not answer: no request to it ended well",
            where=where,
            seen=f"{counts.arrivals} arrivals: {failed} requests failed, {lost} arrivals never came to an end",
            expected="answers at the lowest rate: there is no capacity without any",
            hint="the logs of the services are in logs/; try one user first: seatrial run SCENARIO --users 1",
        )
    endpoints = sorted({*counts.latency, *counts.failures})
    if unknown := capacity_trial.unknown_endpoints(budgets.searched, endpoints):
        raise UsageError(
            f"no request is named {', '.join(map(repr, unknown))}",
            where="budgets",
            seen=f"in the warm-up: {', '.join(endpoints)}",
            expected="the endpoints of requests: latency and failures of a trial are theirs, not those of flows",
        )
    if unreported := capacity_trial.unreported_details(budgets.searched, counts):
        reported = sorted(
            {
                f"{key} of {flow}"
                for second in counts.seconds
                for flow, by_key in second.details.items()
                for key in by_key
            }
        )
        raise UsageError(
            f"no flow reported what {', '.join(unreported)} asks for",
            where="budgets",
            seen=f"in the warm-up: {', '.join(reported) or 'no detail at all'}",
            expected='a number that each flow of that name reports: flow.detail["startup_s"] = 0.8',
        )
    flow_s = counts.flow_s
    if flow_s is None or effort.trial_s < capacity_trial.LEAST_FLOWS * flow_s:
        took = f"took {flow_s:.2g} s" if flow_s is not None else f"did not end within {CALM_WITHIN_S:g} s"
        longer_s = math.ceil(capacity_trial.GOOD_FLOWS * (flow_s or CALM_WITHIN_S))
        times = longer_s / effort.trial_s
        sum_s, limit_min = math.ceil(effort.sum_s * times), math.ceil(effort.limit_s * times / 60)
        raise UsageError(
            "the trials are too short for the flows, which can't end within them",
            where=where,
            seen=f"a flow {took}; a trial takes {effort.trial_s:g} s",
            expected=f"at least {capacity_trial.LEAST_FLOWS:g} flows long, better {capacity_trial.GOOD_FLOWS:g}",
            hint=f"--trial {longer_s}s --sum {sum_s}s --limit {limit_min}m",
        )


def validation(budgets: SearchBudgets, folder: RunFolder, rate_per_s: float, duration_s: float) -> Validation:
    """Judge the window of a sealed run: its budgets, and the growth of its unreclaimable memory."""
    run = load_run(folder)
    window, notes = run.window, run_result(run).notes
    verdicts = [budget_result(run, budget) for budget in budgets.validated]
    saturated = next((note.text for note in notes if note.kind is NoteKind.SATURATED), "")
    broken = bool(saturated) or any(verdict.word is BudgetWord.BROKEN for verdict in verdicts)
    doubts = [note for note in notes if note.disqualifies and note.kind is not NoteKind.SATURATED]
    invalid = [] if window.opened else ["the window was never opened"]
    strained: list[str] = []
    for note in doubts:
        harmless = not broken and note.kind in _ONLY_WORSE
        (strained if harmless else invalid).append(f"{note.kind}: {note.text}")
    inside, services = window.rows(run.samples.phase), run.samples.service.counts()
    return Validation(
        rate_per_s=rate_per_s,
        duration_s=duration_s,
        budgets=tuple(BudgetVerdict(budget=each.budget.text, word=each.word, text=each.text) for each in verdicts),
        memory=tuple(
            measure_services.memory_growth(name, run.samples, inside) for name in services if name not in RESERVED
        ),
        saturated=saturated,
        strained=strained[0] if strained else "",
        invalid=invalid[0] if invalid else "",
    )
