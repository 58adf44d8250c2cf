"""The variants of a block of slices: each with a stack, a load and an end of its own, all at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

from seatrial.campaign.manner import Manner
from seatrial.campaign.sealing import is_outcome
from seatrial.campaign.trial import TrialRun
from seatrial.errors import Interrupted, SeatrialError
from seatrial.load import turning
from seatrial.load.meeting import Meeting
from seatrial.report.progress import Progress
from seatrial.stack.guard import shielded

_TICK_S = 0.25
_CALLED_OFF_WITHIN_S = 30.0


Opening = Callable[[Manner], AbstractContextManager[TrialRun]]
"""Makes what does one trial, as `running.opened` does, with the rest of its arguments given."""


class Kept(Progress):
    """Keeps what one variant says of its load, to be shown while its turn lasts."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.last = ""

    def live(self, text: str) -> None:
        """Keep the newest."""
        self.last = text


class OneAtATime(Progress):
    """Hands on what several threads say: a terminal's running line is no place for two at once."""

    def __init__(self, whole: Progress) -> None:
        super().__init__(quiet=True)
        self._whole = whole
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Tell one step."""
        with self._lock:
            self._whole.say(text)

    def live(self, text: str) -> None:
        """Show what is going on now."""
        with self._lock:
            self._whole.live(text)


@dataclass(slots=True, kw_only=True)
class Side:
    """One variant of the block; `error` is why it failed."""

    name: str
    meeting: Meeting
    kept: Kept
    manner: Manner = field(default_factory=Manner)
    stands: bool = False
    error: SeatrialError | None = None
    _open: ExitStack = field(default_factory=ExitStack)
    _failure: BaseException | None = None
    _load: Callable[[], None] | None = None

    @property
    def senseless(self) -> BaseException | None:
        """Why no further run would do better, if its load has ended so."""
        return self._failure if self._failure is not None and not is_outcome(self._failure) else None

    def bring_up(self, opening: Opening) -> None:
        """Bring the stack up, seed and watch it; what fails is torn down at once."""
        slicing = self.meeting.slicing
        perform = partial(turning.perform, name=self.name, meeting=self.meeting)
        try:
            one = self._open.enter_context(
                opening(replace(self.manner, perform=perform, words=slicing.text(), longer_s=2 * slicing.lasts_s))
            )
            self._load = self._open.enter_context(one.ready(live=self.kept))
            self.stands = True
        except SeatrialError as error:
            self.meeting.leave(self.name)
            self._failure = error
            self.close()
            if not is_outcome(error):
                raise
        except KeyboardInterrupt as interrupt:
            self._failure = interrupt  # its cause is why the stack was being torn down, if it was
            raise
        if isinstance(self.error, Interrupted):  # while it was torn down
            raise self.error

    def drive(self) -> None:
        """Drive the load, in a thread of its own; what fails is told by `close`.

        The others go on without it: it has no more turns, and its idle stack stands until the block ends, because
        taking it down would use the processors that are measured. What makes all runs senseless ends the block.
        """
        try:
            if self._load is not None:
                self._load()
        except turning.CalledOff:
            return  # what ended all is told by whoever called it off
        except BaseException as error:  # noqa: BLE001  (raised again in the main thread)
            self._failure = error
            if not is_outcome(error):
                self.meeting.call_off()
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


def drive(sides: Sequence[Side], meeting: Meeting, progress: Progress) -> None:
    """Drive all loads at once, each in a thread: they wait on their sockets, and the main thread for Ctrl-C.

    Raises what makes all further runs senseless.
    """
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
    for side in sides:
        if side.senseless is not None:
            raise side.senseless


def end_all(sides: Sequence[Side], why: BaseException) -> Interrupted | None:
    """Close every variant as interrupted; return what tells the user of it, if there was one to close."""

    def instead() -> BaseException:
        if isinstance(why, KeyboardInterrupt):
            return KeyboardInterrupt()
        return Interrupted("its block was ended before its end", seen=str(why))

    close_all(sides, instead)
    return next((side.error for side in reversed(sides) if isinstance(side.error, Interrupted)), None)


def close_all(sides: Sequence[Side], instead: Callable[[], BaseException | None] = lambda: None) -> None:
    """Close every variant, whatever befalls one of them; then raise the first error that was not its own."""
    together([partial(side.close, instead()) for side in sides])


def together(work: Sequence[Callable[[], None]]) -> None:
    """Do all of it at once, each in a thread, and raise the first error when all have ended.

    Ctrl-C waits for that, too.
    """
    errors: list[BaseException] = []

    def do(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001  (raised once no stack is left standing)
            errors.append(error)

    threads = [threading.Thread(target=do, args=(one,)) for one in work]
    with shielded():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
