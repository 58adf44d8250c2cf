"""Stored runs in the place of the base variant, and the facts in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
    """The stored runs that stand for the base, by the numbers of their blocks; none without `--against`."""

    name: str
    runs: Mapping[int, RunValues] = field(default_factory=dict)
    shown: tuple[Metric, ...] = ()
    against: AgainstBase | None = None
    kinds: tuple[str, ...] = ()

    def beside(self, block: BlockValues, number: int) -> BlockValues:
        """Return a block with the base's run of the block of that number, if there is one."""
        return block if number not in self.runs else {self.name: self.runs[number], **block}

    def comparable(self, asked: Metric) -> bool:
        """Tell whether a metric can be compared although the environments differ."""
        return all(metric.comparable_across(asked, kind) for kind in self.kinds)


def stored_base(
    experiment: Path, plan: ExperimentPlan, runs: Sequence[AnalysedRun], rules: Rules, cache: RunCache
) -> StoredBase:
    """Return what stands for the base; UsageError if the plan names an experiment that is not there."""
    if not plan.against:
        return StoredBase(name=plan.base)
    place, variant = _place(experiment, plan)
    before = mark_image_mismatches(
        [
            cache.analysed(folder, document, rules)
            for folder, document in newest_runs(place)[0]
            if document.variant == variant
        ]
    )
    if not before:
        raise UsageError("the stored experiment has no run that counts", where=str(place), hint="seatrial list")
    environment, subject = _differing(before[-1], runs[-1]) if runs else ((), ())
    kinds = tuple(dict.fromkeys(difference.fact for difference in environment))
    asked = [*rules.gate, *(one for run in runs for one in run.shown)]
    lost = [one.text for one in asked if not all(metric.comparable_across(one, kind) for kind in kinds)]
    return StoredBase(
        name=plan.base,
        runs={run.taken.block: run.taken.run for run in before},
        shown=tuple(one for run in before for one in run.shown),
        against=AgainstBase(
            experiment=place.name,
            environment=tuple((one.name, one.there, one.here) for one in environment),
            subject=tuple((one.name, one.there, one.here) for one in subject),
            left_out=tuple(dict.fromkeys(lost)),
        ),
        kinds=kinds,
    )


def _differing(there: AnalysedRun, here: AnalysedRun) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
    """Return what differs of the environment, and of what was under test."""
    sides = [facts.facts_of(asdict(one.document)) for one in (there, here)]
    return facts.environment_differences(*sides), facts.subject_differences(*sides)


def _place(experiment: Path, plan: ExperimentPlan) -> tuple[Path, str]:
    """Return the stored experiment and the variant that stands for the base; the plan may name one of its runs."""
    named = Path(plan.against)
    place = named if named.is_dir() else experiment.parent / named.name
    if not place.is_dir():
        raise UsageError(
            "the stored experiment is not there", where=str(place), expected="the folder that --against named"
        )
    folder = RunFolder(place)
    if folder.document.is_file():
        return folder.experiment, plan.stored or documents.load_document(folder).variant
    return place, plan.stored or documents.load_plan(place).base
