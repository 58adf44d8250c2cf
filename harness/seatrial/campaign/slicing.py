"""The design `slices`: all variants of a block are up at once, and the load goes from one to the next in turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from seatrial.campaign import sides
from seatrial.campaign.manner import Manner
from seatrial.campaign.running import Setting, opened
from seatrial.campaign.sealing import is_outcome
from seatrial.campaign.sides import Kept, OneAtATime, Opening, Side
from seatrial.errors import SeatrialError
from seatrial.load.meeting import Meeting
from seatrial.load.turns import Slicing
from seatrial.model import ExperimentPlan, Load, Trial
from seatrial.report.progress import Progress, Steps
from seatrial.scenario import order


def one_block(
    setting: Setting,
    experiment: Path,
    plan: ExperimentPlan,
    block: int,
    progress: Progress,
    *,
    command_ns: int,
    built: bool = False,
) -> Mapping[str, SeatrialError]:
    """Do one block (from 1) of a plan of slices, with all of its variants; return what failed, by variant.

    Each variant has its own run folder, stack, sampler and load process. One that fails is torn down, and the
    others go on without it. Stacks that are `built` come up at once, else one after the other, because they may
    build the same images. All runs are sealed when this returns or raises: what makes further runs senseless, and
    Interrupted at Ctrl-C; then those that had not failed are sealed as interrupted.
    """
    names, progress = plan.blocks[block - 1], OneAtATime(progress)
    meeting = Meeting(sliced(plan, block, setting.request.scenario.load), names)
    all_sides = [Side(name=name, meeting=meeting, kept=Kept(), manner=Manner(built=built)) for name in names]

    def opening(side: Side) -> Opening:
        steps, trial = Steps(progress, side.name), Trial(variant=side.name, block=block)
        return partial(opened, setting, experiment, trial, steps, command_ns=command_ns)

    try:
        _bring_up([partial(side.bring_up, opening(side)) for side in all_sides], at_once=built)
        if standing := [side for side in all_sides if side.stands]:
            progress.say(meeting.slicing.text())
            sides.drive(standing, meeting, progress)
        sides.close_all(all_sides)
    except BaseException as error:
        told = sides.end_all(all_sides, error)
        if isinstance(error, KeyboardInterrupt) and told is not None:
            raise told from error
        raise
    failed = {side.name: side.error for side in all_sides if side.error is not None}
    for one in failed.values():
        if not is_outcome(one):
            raise one
    return failed


def sliced(plan: ExperimentPlan, block: int, load: Load) -> Slicing:
    """Return whose turn each slice of a block is: warm-up first, as many turns for each variant as cover it."""
    slice_s = plan.slice_s or 1.0
    warm = math.ceil(load.warmup_s / slice_s)
    names = plan.blocks[block - 1]
    return Slicing(
        order=order.turns(names, warm + (plan.slices or 1), plan.seed * 1_000_003 + block),
        warm=warm * len(names),
        slice_s=slice_s,
        settle_s=plan.settle_s or 0.0,
        stable=load.stable,
    )


def _bring_up(work: Sequence[Callable[[], None]], *, at_once: bool) -> None:
    """Bring all stacks up, one after the other or at once; raises what makes all runs senseless."""
    if at_once:
        sides.together(work)
        return
    for one in work:
        one()
