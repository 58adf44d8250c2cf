"""The design `runs`: each trial on a fresh stack, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from seatrial.campaign.experiment import Turn
from seatrial.campaign.manner import Manner
from seatrial.campaign.running import Setting, one_trial
from seatrial.campaign.sealing import is_outcome
from seatrial.errors import SeatrialError
from seatrial.model import Trial
from seatrial.record import document as documents
from seatrial.record.folder import RunFolder
from seatrial.report.progress import Progress, Steps
from seatrial.units import NS_PER_S

Do = Callable[[Trial, Progress, bool], RunFolder]
"""Does one trial; the flag says that its images are built."""


@dataclass(slots=True, kw_only=True)
class Runs:
    """Does the trials of a block; images are built once for each variant."""

    do: Do
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    _built: set[str] = field(default_factory=set)

    def __call__(self, turn: Turn) -> dict[str, SeatrialError]:
        """Do what is left of a block; a trial that fails is an ending, and the others go on."""
        failed: dict[str, SeatrialError] = {}
        for variant in turn.variants:
            trial = Trial(variant=variant, block=turn.number)
            began_s = self.clock()
            try:
                folder = self.do(trial, Steps(self.progress, turn.text(variant)), variant in self._built)
            except SeatrialError as error:
                if not is_outcome(error):
                    raise  # no trial after this one would do better
                failed[variant] = error
                seen = f": {error.seen.splitlines()[0]}" if error.seen else ""
                self.progress.say(f"{turn.text(variant)}: {error.what}{seen}")
                continue
            self._built.add(variant)
            self._tell(turn, variant, folder, self.clock() - began_s)
        return failed

    def _tell(self, turn: Turn, variant: str, folder: RunFolder, lasted_s: float) -> None:
        where = f"block {turn.number} of {turn.of} · {variant}"
        self.progress.say(f"{where}: done in {lasted_s:.1f} s, {lasted_s - load_s(folder):.1f} s of it no load")


def fresh(setting: Setting, experiment: Path) -> Do:
    """Return what does a trial of the experiment on a stack of its own."""

    def do(trial: Trial, progress: Progress, built: bool) -> RunFolder:  # noqa: FBT001  (the shape of Do)
        manner = Manner(built=built)
        return one_trial(setting, experiment, trial, progress, manner, command_ns=time.monotonic_ns())

    return do


def load_s(folder: RunFolder) -> float:
    """Return how long the load of a run lasted, from its first user to the end of its drain."""
    spans = documents.load(folder).spans
    return (spans[-1].until_ns - spans[0].from_ns) / NS_PER_S if spans else 0.0
