"""`locust -f x.py --record DIR`: the tables of a run, without a harness.

Each process writes its streams into DIR/streams, and holds a lock there while it may write. The first process (the
local runner, or the master) keeps DIR/recording.json, and at its very end has a child seal all of it.
"""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gevent
import locust
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from seatrial.errors import SeatrialError
from seatrial.user import folder_claim
from seatrial.user.diary import NAME, Diary
from seatrial.user.folder_claim import OPTION
from seatrial.wire.control import Plan
from seatrial.wire.hosts import is_loopback

REFUSED = "seatrial_refused"
"""The message by which a worker ends the whole test."""

_DESTINATION = "record_folder"
_SEAL_WITHIN_S = 120.0
_OTHERS_WITHIN_S = 20.0
_MASTER_WITHIN_S = 10.0
_log = logging.getLogger("seatrial.user")
_recordings: WeakKeyDictionary[Environment, Recording] = WeakKeyDictionary()
_prepared: list[int] = []


def add_option(parser: LocustArgumentParser) -> None:
    """Offer `--record DIR`, unless the locustfile has an option of that name; and be there when it is used."""
    if OPTION in parser._option_string_actions:  # noqa: SLF001  (argparse tells it in no other way)
        return
    said = "Seatrial: record every request into this new or empty folder, as tables"
    parser.add_argument(OPTION, metavar="DIR", default="", dest=_DESTINATION, include_in_web_ui=False, help=said)
    if not _prepared:  # before any fork: exit handlers run backwards, so workers have ended before the sealing
        _prepared.append(os.getpid())
        atexit.register(_end_all)
        events: Any = locust.events
        events.init.add_listener(_on_init)


def plan_of(environment: Environment) -> Plan | None:
    """Return where this process records if `--record` was given; the first call takes part in the recording.

    UsageError if the folder is neither new nor empty; ResultsUnwritable if it can't be made.
    """
    told = getattr(environment.parsed_options, _DESTINATION, "")
    if not told:
        return None
    recording = _recordings.get(environment)
    if recording is None:
        recording = _recordings[environment] = Recording(environment, Path(told).absolute())
    return Plan(records=str(recording.streams), control="")


def refuse(environment: Environment, error: SeatrialError) -> None:
    """End the test, of all processes, with this error's exit code."""
    runner: Any = environment.runner
    environment.process_exit_code = error.exit_code
    if isinstance(runner, WorkerRunner):
        runner.send_message(REFUSED, {"what": str(error), "exit_code": error.exit_code})
    gevent.spawn(runner.quit)


def hear_refusals(environment: Environment) -> None:
    """Let a worker of this master end the test; a second call does nothing."""
    runner = environment.runner
    if isinstance(runner, MasterRunner) and REFUSED not in runner.custom_messages:
        runner.register_message(REFUSED, _on_refused)


class Recording:
    """One process's part in a recording."""

    def __init__(self, environment: Environment, folder: Path) -> None:
        self._folder = folder
        self.streams = folder / "streams"
        self._diary: Diary | None = None
        runner: Any = environment.runner
        if isinstance(runner, WorkerRunner):
            within_s = _MASTER_WITHIN_S if is_loopback(runner.master_host) else 0.0
            first = not folder_claim.begun(folder, within_s) and within_s == 0.0
        else:
            first = True
        if first:
            folder_claim.take(folder)
        self._lock = folder_claim.locked(self.streams)
        if first:
            self._diary = Diary(environment, folder / NAME)
        hear_refusals(environment)

    def end(self) -> None:
        """Say that the end was clean, and have all that was recorded sealed: of the first process only."""
        diary, self._diary = self._diary, None
        if diary is None:
            return
        diary.end()
        os.close(self._lock)
        if not folder_claim.free(self.streams, _OTHERS_WITHIN_S):
            _log.warning("other processes still record into %s; later: %s", self._folder, self._by_hand())
            return
        self._seal()

    def _seal(self) -> None:
        argv = [sys.executable, "-P", "-m", "seatrial", "recover", str(self._folder), "--quiet"]
        try:
            child = subprocess.run(
                argv,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_SEAL_WITHIN_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            _log.warning("the recording was not sealed: %s; by hand: %s", error, self._by_hand())
            return
        if (self._folder / "run.json").exists():
            _log.info("recorded; to see it: seatrial show %s", self._folder)
        else:
            said = _reason(child.stderr.decode(errors="replace").strip())
            _log.warning("the recording was not sealed: %s; by hand: %s", said, self._by_hand())

    def _by_hand(self) -> str:
        return f"seatrial recover {self._folder}"


def _reason(said: str) -> str:
    """Return an error's own words; of a traceback the last line."""
    return said if said.startswith("seatrial:") else said.rpartition("\n")[2]


@contextmanager
def at_the_start() -> Iterator[None]:
    """End the process with the exit code of an error of the block: Locust logs a listener's, and exits with 1."""
    try:
        yield
    except SeatrialError as error:
        sys.stderr.write(f"seatrial: {error}\n")
        raise SystemExit(error.exit_code) from None


def _on_init(environment: Environment, **_: object) -> None:
    with at_the_start():
        plan_of(environment)


def _on_refused(environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401  (Locust's message)
    _log.error("a worker ends the test: %s", msg.data["what"])
    environment.process_exit_code = int(msg.data["exit_code"])
    gevent.spawn(environment.runner.quit)  # type: ignore[union-attr]


def _end_all() -> None:
    for recording in list(_recordings.values()):
        recording.end()
