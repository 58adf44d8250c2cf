"""The designs of an experiment: how each does a block."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from seatrial.campaign import slicing
from seatrial.campaign.experiment import Block, Turn
from seatrial.campaign.running import Setting
from seatrial.campaign.runs import Runs, fresh
from seatrial.errors import SeatrialError
from seatrial.model import Design, ExperimentPlan
from seatrial.report.progress import Progress, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where an experiment is done: its setting, folder and plan."""

    setting: Setting
    folder: Path
    plan: ExperimentPlan
    progress: Progress


Conduct = Callable[[Ground], AbstractContextManager[Block]]
"""Holds what a design needs as long as the experiment goes on, and does its blocks."""


def in_runs(ground: Ground) -> AbstractContextManager[Block]:
    """Do each trial on a fresh stack."""
    do = fresh(ground.setting, ground.folder)
    return nullcontext(Runs(do=do, progress=ground.progress))


def in_slices(ground: Ground) -> AbstractContextManager[Block]:
    """Bring all variants of a block up together, and let the load take turns."""
    return nullcontext(Slices(ground=ground))


@dataclass(slots=True, kw_only=True)
class Slices:
    """Does whole blocks: what is left of one that was begun is done with all its variants again."""

    ground: Ground
    built: bool = False

    def __call__(self, turn: Turn) -> Mapping[str, SeatrialError]:
        """Do the block; images are built in the first one that no variant fails in."""
        ground = self.ground
        failed = slicing.one_block(
            ground.setting,
            ground.folder,
            ground.plan,
            turn.number,
            Steps(ground.progress, turn.text("all variants")),
            command_ns=time.monotonic_ns(),
            built=self.built,
        )
        self.built = self.built or not failed
        for variant, error in failed.items():
            ground.progress.say(f"{turn.text(variant)}: {error.what}")
        return failed


CONDUCTS: Mapping[Design, Conduct] = {Design.RUNS: in_runs, Design.SLICES: in_slices}
