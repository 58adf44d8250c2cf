"""`--against`: a stored experiment stands for the base, where its environment was this one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seatrial.campaign import resuming
from seatrial.errors import Incomparable, UsageError
from seatrial.judge import facts, metric
from seatrial.judge.facts import Difference, Facts
from seatrial.model import Design
from seatrial.record import document as documents
from seatrial.record import folder as folders
from seatrial.record import plans
from seatrial.record.document import RunDocument
from seatrial.scenario.compared import Baseline


def find(results: Path, wanted: str) -> tuple[Baseline, Facts]:
    """Return the stored base and its facts; UsageError if there is no such run, or none of it that is complete.

    An experiment stands there with its base, a run with its own variant. Incomparable if its runs were no fresh
    stacks under the scenario's own load.
    """
    given = next((one for one in (Path(wanted), results / wanted) if (one / "plan.json").is_file()), None)
    if given is not None:
        experiment, plan = given, plans.load(given)
        variant = plan.stored or plan.base
    else:
        run = folders.find_run(results, wanted)
        experiment, plan, variant = run.experiment, plans.load(run.experiment), documents.load(run).variant
    if plan.command == "capacity" or plan.design is not Design.RUNS:
        raise Incomparable(
            "what is stored was measured in another way",
            where=str(experiment),
            seen="a search for capacity" if plan.command == "capacity" else f"the design {plan.design.value}",
            expected="runs, each on a fresh stack",
            hint="seatrial compare SCENARIO --design runs, or seatrial selfcheck SCENARIO --design runs",
        )
    runs = [one for _, one in resuming.stored(experiment) if one.variant == variant and one.status == "complete"]
    if not runs:
        raise UsageError(
            "there is no complete run to compare with",
            where=str(experiment),
            seen=f"no run of {variant!r} that came to its end",
            hint="seatrial list",
        )
    blocks = max(one.block for one in runs)
    return Baseline(folder=str(experiment.absolute()), variant=variant, blocks=blocks), of(runs[-1])


def of(document: RunDocument) -> Facts:
    """Return the facts of a run."""
    return facts.of(asdict(document))


def refuse_incomparable(there: Facts, here: Facts, varies: Collection[str], where: str) -> tuple[str, ...]:
    """Return the declared facts that differ; Incomparable if another one does."""
    found = facts.environment(there, here)
    undeclared = [one for one in found if one.fact not in varies]
    if undeclared:
        names = ", ".join(dict.fromkeys(one.fact for one in undeclared))
        raise Incomparable(
            "what is stored was measured in another environment",
            where=where,
            seen="\n".join(said(undeclared)),
            expected=f"the same {names} on both sides",
            hint=f"measure both sides here; where it is what you ask about: compare: {{varies: [{names}]}}",
        )
    return tuple(dict.fromkeys(one.fact for one in found))


def surviving(gate: Sequence[str], differing: Collection[str]) -> tuple[str, ...]:
    """Return the metrics of a gate that can be compared although these facts differ."""
    return tuple(text for text in gate if all(metric.survives(metric.parse(text), fact) for fact in differing))


def said(found: Sequence[Difference]) -> list[str]:
    """Return differences in words, one line each."""
    return [f"{one.name}: {one.there} there, {one.here} here" for one in found]


def foreseen(values: Mapping[str, Any]) -> Facts:
    """Return the facts that are known before the first run."""
    return facts.of(values)
