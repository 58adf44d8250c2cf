"""Why an experiment can't be judged: from how its runs ended, and from why it ended before its plan was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seatrial.judge.categories import FINISHED
from seatrial.judge.comparison import Comparison
from seatrial.model import ExperimentPlan
from seatrial.weighing.runs import Found


def with_course(judged: Comparison, plan: ExperimentPlan, stopped: str) -> Comparison:
    """Return the comparison; if it has a reason, that also says why the experiment ended before its plan did.

    `stopped` is what course.json says, empty while the experiment goes on.
    """
    if not (judged.reason and stopped) or judged.blocks >= len(plan.blocks):
        return judged
    after = f"it ended after {judged.blocks} of {len(plan.blocks)} blocks: {stopped}"
    return replace(judged, reason=f"{judged.reason}; {after}")


def uncompared(found: Sequence[Found], stopped: str, *, plain: bool) -> str:
    """Return why there is nothing to compare, and how those of the runs ended that did not finish."""
    if plain:
        why = "a plain run is not compared with anything"
    else:
        why = f"no block has come to its end: {stopped}" if stopped else "no block has come to its end yet"
    return "; ".join([why, *_early(found)])


def _early(found: Sequence[Found]) -> list[str]:
    """Return each way in which a variant's runs ended without being finished, with what was seen first."""
    runs = [(one.taken.variant, one.taken.run) for one in found if one.taken.run.ended != FINISHED]
    told: dict[tuple[str, str], str] = {}
    for name, run in runs:
        told.setdefault((name, run.ended), f" ({run.why})" if run.why else "")
    return [f"{name}: {ended}{why}" for (name, ended), why in told.items()]
