"""`seatrial compare` and `seatrial selfcheck`: planned, done block by block, resumable, torn down last."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from seatrial.campaign import baseline, digests, interrupts, resuming, room, running
from seatrial.campaign.designs import CONDUCTS, Conduct, Ground
from seatrial.campaign.experiment import Done, Experiment, Weigh
from seatrial.campaign.request import Request
from seatrial.campaign.resuming import Left
from seatrial.campaign.running import Setting
from seatrial.errors import Incomparable, Interrupted
from seatrial.judge.facts import Facts
from seatrial.model import Design, ExperimentPlan, Trial
from seatrial.record import courses, plans
from seatrial.record import folder as folders
from seatrial.record.courses import Course
from seatrial.record.document import RunDocument
from seatrial.report.progress import Progress
from seatrial.scenario import compared
from seatrial.scenario.compared import Baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A comparison that is asked for.

    `command` is `compare` or `selfcheck`; `resume` names the experiment to go on with, `against` the stored one
    that stands for the base; `again` are the words that a user repeats to resume.
    """

    request: Request
    command: str = "compare"
    resume: str = ""
    against: str = ""
    again: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What tests replace: who weighs, who does the blocks, and what the host is."""

    weigh: Weigh
    conducts: Mapping[Design, Conduct] = field(default_factory=lambda: CONDUCTS)
    prepare: Callable[[Request], Setting] = running.prepared


def compare(asked: Asked, progress: Progress, seams: Seams) -> Done:
    """Do the experiment and return how it ended.

    The plan is written before anything starts. Interrupted, with the command that resumes, once all is torn down;
    Incomparable where the environment of the stored experiment was another one; UsageError and what makes all
    further runs senseless end it at once.
    """
    if asked.command == "selfcheck":
        scenario = compared.with_again(asked.request.scenario)
        asked = replace(asked, request=replace(asked.request, scenario=scenario))
    stored = baseline.find(asked.request.results, asked.against) if asked.against else None
    setting = seams.prepare(asked.request)
    left = resuming.find(asked.request, asked.resume, asked.command) if asked.resume else None
    plan, why = _plan(asked, setting, None if stored is None else stored[0], left)
    conduct = seams.conducts[plan.design]
    if stored is not None:
        _refuse_foreseen(stored[1], setting, plan)
    if left is not None:
        resuming.refuse_another(left, plan, setting.choice.engine)
    with interrupts.orderly(progress.say):
        folder, plan = _place(asked, plan, left)
        try:
            progress.say(_in_words(plan, setting, folder, why))
            check = _checked(folder, plan, None if stored is None else stored[1])
            ground = Ground(setting=replace(setting, came_up=check), folder=folder, plan=plan, progress=progress)
            with conduct(ground) as block:
                return _experiment(ground, left).through(block, seams.weigh)
        except (KeyboardInterrupt, Interrupted) as error:
            raise Interrupted(
                "stopped; everything is torn down and what was finished is kept",
                where=str(folder),
                seen=error.seen if isinstance(error, Interrupted) else "",
                hint=f"{asked.again} --resume {shlex.quote(str(folder))}".strip(),
            ) from error


def _plan(
    asked: Asked, setting: Setting, against: Baseline | None, left: Left | None
) -> tuple[ExperimentPlan, str]:
    """Return the plan, and why it has its design; what is resumed keeps its own: free memory comes and goes."""
    scenario, seed, shared_cores = asked.request.scenario, asked.request.seed, setting.shared_cores
    if left is not None:
        design, why = left.plan.design, "as it began"
    elif against is not None:
        design, why = Design.RUNS, "as what is stored"
    else:
        chosen = room.chosen(setting)
        design, why = chosen.design, chosen.reason
    if asked.command == "selfcheck":
        made = compared.selfcheck(scenario, seed=seed, shared_cores=shared_cores, design=design)
    else:
        made = compared.comparison(scenario, seed=seed, shared_cores=shared_cores, design=design, against=against)
    files = digests.of(scenario, results=asked.request.results)
    return replace(made, design_reason=why, files=files), why


def _place(asked: Asked, plan: ExperimentPlan, left: Left | None) -> tuple[Path, ExperimentPlan]:
    """Return the folder and the plan that holds: of an experiment that is resumed, its own."""
    if left is not None:
        return left.folder, left.plan
    folder = folders.create_experiment(asked.request.results, plan.scenario, time.time_ns())
    plans.save(folder, plan)
    return folder, plan


def _experiment(ground: Ground, left: Left | None) -> Experiment:
    return Experiment(
        folder=ground.folder,
        plan=ground.plan,
        progress=ground.progress,
        finished=left.finished if left else (),
        course=courses.load(ground.folder) if left else Course(blocks=0),
        base_failed=set(left.base_failed) if left else set(),
    )


def _in_words(plan: ExperimentPlan, setting: Setting, folder: Path, why: str) -> str:
    names = ", ".join(name for name in plan.variants if name != plan.base)
    base = f"{plan.stored!r} of {plan.against}" if plan.against else plan.base
    most = "one block" if len(plan.blocks) == 1 else f"at most {len(plan.blocks)} blocks"
    time_s = "" if plan.time_s is None else f" in at most {plan.time_s:g} s"
    engine = f"{setting.choice.engine} engine: {setting.choice.reason}"
    design = f"{plan.design.value} ({why})" if why else plan.design.value
    return f"{plan.scenario}: {names} against {base}; {design}; {most}{time_s}; {engine}\n{folder}"


def _refuse_foreseen(there: Facts, setting: Setting, plan: ExperimentPlan) -> None:
    """Refuse what is known to differ before anything is started, and a gate of which nothing would be left."""
    values = asdict(running.first_page(setting.request, Trial(variant="", block=1), setting.choice))
    here = baseline.foreseen(values)
    differing = baseline.refuse_incomparable(there, here, plan.varies, plan.against)
    if plan.gate and differing and not baseline.surviving(plan.gate, differing):
        raise Incomparable(
            "no metric of the gate can be compared across what differs",
            where=plan.against,
            seen=f"{', '.join(differing)} differ; the gate has {', '.join(plan.gate)}",
            expected="cpu per request or memory, where only the host differs",
        )


def _checked(folder: Path, plan: ExperimentPlan, there: Facts | None) -> Callable[[RunDocument], None]:
    """Return what looks at each run's facts: those of images and engine are known only once a stack is up."""

    def check(document: RunDocument) -> None:
        resuming.refuse_other_images(folder, document)
        if there is not None:
            baseline.refuse_incomparable(there, baseline.of(document), plan.varies, plan.against)

    return check
