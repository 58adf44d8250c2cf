"""The design `slices`: all variants of a block are up at once, and the load goes from one to the next in turns."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from seatrial.campaign.running import Setting, opened
from seatrial.campaign.sealing import is_outcome
from seatrial.campaign.trial import TrialRun
from seatrial.errors import Interrupted, SeatrialError
from seatrial.load import turning
from seatrial.load.meeting import Meeting
from seatrial.load.turns import Slicing
from seatrial.model import ExperimentPlan, Trial
from seatrial.report.progress import Progress
from seatrial.scenario import order

_TICK_S = 0.25
_CALLED_OFF_WITHIN_S = 30.0


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
    others go on without it. All runs are sealed when this returns or raises: what makes further runs senseless,
    and Interrupted at Ctrl-C; then those that had not failed are sealed as interrupted.
    """
    slicing = sliced(plan, block, setting.request.scenario.load.warmup_s)
    meeting = Meeting(slicing, plan.blocks[block - 1])
    sides = [_Side(name=name, meeting=meeting, kept=_Kept()) for name in plan.blocks[block - 1]]
    try:
        for side in sides:
            progress.say(f"bringing up {side.name}")
            trial = Trial(variant=side.name, block=block)
            side.bring_up(
                partial(opened, setting, experiment, trial, progress, command_ns=command_ns, built=built)
            )
        progress.say(slicing.text())
        _drive([side for side in sides if side.stands], meeting, progress)
        _close_all(sides)
    except BaseException as error:
        told = _end_all(sides)
        if isinstance(error, KeyboardInterrupt) and told is not None:
            raise told from error
        raise
    failed = {side.name: side.error for side in sides if side.error is not None}
    for one in failed.values():
        if not is_outcome(one):
            raise one
    return failed


def sliced(plan: ExperimentPlan, block: int, warmup_s: float) -> Slicing:
    """Return whose turn each slice of a block is: warm-up first, as many turns for each variant as cover it."""
    slice_s = plan.slice_s or 1.0
    warm = math.ceil(warmup_s / slice_s)
    names = plan.blocks[block - 1]
    return Slicing(
        order=order.turns(names, warm + (plan.slices or 1), plan.seed * 1_000_003 + block),
        warm=warm * len(names),
        slice_s=slice_s,
        settle_s=plan.settle_s or 0.0,
    )


class _Kept(Progress):
    """Keeps what one variant says of its load, to be shown while its turn lasts."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.last = ""

    def live(self, text: str) -> None:
        """Keep the newest."""
        self.last = text


@dataclass(slots=True, kw_only=True)
class _Side:
    """One variant of the block; `error` is why it failed."""

    name: str
    meeting: Meeting
    kept: _Kept
    stands: bool = False
    error: SeatrialError | None = None
    _open: ExitStack = field(default_factory=ExitStack)
    _failure: BaseException | None = None
    _load: Callable[[], None] | None = None

    def bring_up(self, opening: Callable[..., AbstractContextManager[TrialRun]]) -> None:
        """Bring the stack up, seed and watch it; what fails is torn down at once."""
        slicing = self.meeting.slicing
        perform = partial(turning.perform, name=self.name, meeting=self.meeting)
        try:
            one = self._open.enter_context(
                opening(perform=perform, words=slicing.text(), longer_s=2 * slicing.lasts_s)
            )
            self._load = self._open.enter_context(one.ready(live=self.kept))
            self.stands = True
        except SeatrialError as error:
            self.meeting.leave(self.name)
            self._failure = error
            self.close()
            if not is_outcome(error):
                raise

    def drive(self) -> None:
        """Drive the load, in a thread of its own; what fails is told by `close`."""
        try:
            if self._load is not None:
                self._load()
        except turning.CalledOff:
            return  # what ended all is told by whoever called it off
        except BaseException as error:  # noqa: BLE001  (raised again in the main thread)
            self._failure = error
        finally:
            self.meeting.leave(self.name)

    def close(self, instead: BaseException | None = None) -> None:
        """Tear down and seal; a failure of this variant stands above what ended all `instead`."""
        failure, self._failure, self.stands = self._failure or instead, None, False
        try:
            with self._open:
                if failure is not None:
                    raise failure  # noqa: TRY301  (through every context of this variant)
        except SeatrialError as error:
            self.error = self.error or error
        except BaseException as error:
            if error is not instead:
                raise


def _drive(sides: Sequence[_Side], meeting: Meeting, progress: Progress) -> None:
    """Drive all loads at once, each in a thread: they wait on their sockets, and the main thread for Ctrl-C."""
    kept = {side.name: side.kept for side in sides}
    threads: list[threading.Thread] = []
    try:
        for side in sides:
            thread = threading.Thread(target=side.drive, name=f"load of {side.name}")
            threads.append(thread)
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_TICK_S)
                number, name = meeting.now()
                if name in kept:
                    progress.live(f"slice {number} of {len(meeting.slicing.order)} · {name} · {kept[name].last}")
    except BaseException:
        meeting.call_off()
        for thread in threads:
            if thread.ident is not None:  # the last one may not have been started
                thread.join(_CALLED_OFF_WITHIN_S)
        raise


def _end_all(sides: Sequence[_Side]) -> Interrupted | None:
    """Close every variant as interrupted; return what tells the user of it, if there was one to close."""
    _close_all(sides, KeyboardInterrupt)
    return next((side.error for side in reversed(sides) if isinstance(side.error, Interrupted)), None)


def _close_all(sides: Sequence[_Side], instead: Callable[[], BaseException | None] = lambda: None) -> None:
    """Close every variant, whatever befalls one of them; then raise the first error that was not its own."""
    errors: list[BaseException] = []
    for side in sides:
        try:
            side.close(instead())
        except BaseException as error:  # noqa: BLE001  (raised once no stack is left standing)
            errors.append(error)
    if errors:
        raise errors[0]
