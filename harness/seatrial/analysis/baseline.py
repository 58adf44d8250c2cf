"""The stored base of `--against`: earlier runs in the place of the base variant, and the facts that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from seatrial.analysis.results import AgainstBase
from seatrial.analysis.stored_runs import AnalysedRun, Rules, RunCache, mark_image_mismatches, newest_runs
from seatrial.compare import facts
from seatrial.compare.facts import Difference
from seatrial.compare.pairing import BlockValues, RunValues
from seatrial.errors import UsageError
from seatrial.measure import metric
from seatrial.measure.metric import Metric
from seatrial.model import ExperimentPlan
from seatrial.record import documents
from seatrial.record.folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBase:
    """The stored runs that are the base, by the numbers of their blocks; none without `--against`.

    `kinds` are the kinds of facts in which the environments differ.
    """

    name: str
    runs: Mapping[int, RunValues] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    against: AgainstBase | None = None
    kinds: tuple[str, ...] = ()

    def added_to(self, block: BlockValues, number: int) -> BlockValues:
        """Return a block with the base's run of the same number, if there is one."""
        return block if number not in self.runs else {self.name: self.runs[number], **block}

    def comparable(self, wanted: Metric) -> bool:
        """Return whether a metric can be compared although the environments differ."""
        return all(metric.comparable_across(wanted, kind) for kind in self.kinds)


def stored_base(
    experiment: Path, plan: ExperimentPlan, runs: Sequence[AnalysedRun], rules: Rules, cache: RunCache
) -> StoredBase:
    """Return the base that the plan names; UsageError if it is not there or has no run that counts."""
    if not plan.against:
        return StoredBase(name=plan.base)
    stored, variant = _find(experiment, plan)
    newest = [run for run in newest_runs(stored)[0] if run[1].variant == variant]
    earlier = mark_image_mismatches([cache.analysed(folder, document, rules) for folder, document in newest])
    if not earlier:
        raise UsageError("the stored experiment has no run that counts", where=str(stored), hint="seatrial list")
    environment: Sequence[Difference] = ()
    subject: Sequence[Difference] = ()
    if runs:
        sides = [facts.facts_of(asdict(run.document)) for run in (earlier[-1], runs[-1])]
        environment, subject = facts.environment_differences(*sides), facts.subject_differences(*sides)
    base = StoredBase(
        name=plan.base,
        runs={run.block: run.measured for run in earlier},
        metrics=tuple(metric for run in earlier for metric in run.metrics),
        kinds=tuple(dict.fromkeys(difference.fact for difference in environment)),
    )
    wanted = [*rules.gate, *(metric for run in runs for metric in run.metrics)]
    against = AgainstBase(
        experiment=stored.name,
        environment=tuple((fact.name, fact.there, fact.here) for fact in environment),
        subject=tuple((fact.name, fact.there, fact.here) for fact in subject),
        left_out=tuple(dict.fromkeys(metric.text for metric in wanted if not base.comparable(metric))),
    )
    return replace(base, against=against)


def _find(experiment: Path, plan: ExperimentPlan) -> tuple[Path, str]:
    """Return the stored experiment and the variant that is the base; the plan may also name one of its runs."""
    named = Path(plan.against)
    stored = named if named.is_dir() else experiment.parent / named.name
    if not stored.is_dir():
        raise UsageError(
            "the stored experiment is not there", where=str(stored), expected="the folder that --against named"
        )
    folder = RunFolder(stored)
    if folder.document.is_file():
        return folder.experiment, plan.stored or documents.load_document(folder).variant
    return stored, plan.stored or documents.load_plan(stored).base
