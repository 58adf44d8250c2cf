"""`locust --record DIR`: recording without the harness.

Each process writes its streams into DIR/streams, and holds a lock there while it may write. The first process (the
local runner, or the master) keeps DIR/recording.json, and at its very end has a child seal all of it.

No value of an option is kept, only the options' names: a value may be a secret.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from weakref import WeakKeyDictionary

import gevent
import locust
from locust import User
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from seatrial.errors import ResultsUnwritable, SeatrialError, UsageError
from seatrial.wire.control import Plan
from seatrial.wire.redaction import is_loopback
from seatrial.wire.streams import SCHEMA_VERSION

RECORDING_FILE = "recording.json"
_log = logging.getLogger("seatrial.user")


class RecordingInfo:
    """Writes the file at the beginning, at each begin and end of a test, and at the end of the process."""

    def __init__(self, environment: Environment, path: Path) -> None:
        self._environment = environment
        self._path = path
        self._users = 0
        self._tests: list[dict[str, int | None]] = []
        self._clock = {"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()}
        self._ended = False
        events: Any = environment.events
        events.test_start.add_listener(self._on_start)
        events.test_stopping.add_listener(self._on_stopping)
        events.test_stop.add_listener(self._on_stop)
        self._write()

    def end(self) -> None:
        """Note that the process came to its own end."""
        self._ended = True
        self._write()

    def _on_start(self, **_: object) -> None:
        self._tests.append({"from_ns": time.monotonic_ns(), "stopping_ns": None, "until_ns": None})
        self._write()

    def _on_stopping(self, **_: object) -> None:
        self._stamp("stopping_ns")

    def _on_stop(self, **_: object) -> None:
        self._stamp("until_ns")

    def _stamp(self, name: str) -> None:
        runner: Any = self._environment.runner
        self._users = max(self._users, runner.target_user_count)
        if self._tests and self._tests[-1][name] is None:
            self._tests[-1][name] = time.monotonic_ns()
        self._write()

    def _write(self) -> None:
        environment = self._environment
        runner: Any = environment.runner
        told = {
            "schema_version": SCHEMA_VERSION,
            "clock": self._clock,
            "locustfile": environment.locustfile or "",
            "locust": locust.__version__,
            "host": without_secrets(environment.host or _host(environment)),
            "users": max(self._users, runner.target_user_count),
            "user_classes": [user_class.__name__ for user_class in environment.user_classes],
            "options": option_names(sys.argv[1:]),
            "source": source_of(environment),
            "tests": self._tests,
            "ended": self._ended,
        }
        part = self._path.with_name(f"{RECORDING_FILE}.part")
        try:
            part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            _log.error("%s can't be written: %s", self._path, error)


def source_of(environment: Environment) -> str:
    """Return who tells of requests: our own client (`client`), or `locust events`."""
    return "locust events" if foreign_classes(environment) else "client"


def foreign_classes(environment: Environment) -> list[type[User]]:
    """Return the user classes that don't build on LeanUser: those that run, or that the web UI lets one choose."""
    classes = dict.fromkeys(environment.user_classes)
    if getattr(environment.parsed_options, "class_picker", False):
        available: Any = environment.available_user_classes  # Locust declares instances, and holds classes
        classes |= dict.fromkeys((available or {}).values())
    return [user_class for user_class in classes if not _is_lean(user_class)]


def _is_lean(user_class: type[User]) -> bool:
    # By name: LeanUser's module imports, by way of its session, this one.
    return any((base.__module__, base.__name__) == ("seatrial.user", "LeanUser") for base in user_class.__mro__)


def option_names(words: Sequence[str]) -> list[str]:
    """Return the options among the words of a command line, without what follows their names."""
    return [
        word.partition("=")[0] if word.startswith("--") else word[:2] for word in words if word.startswith("-")
    ]


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query; of what is none, nothing up to its last `@`."""
    try:
        parts, _ = urlsplit(url), urlsplit(url).port
    except ValueError:
        parts = urlsplit("")
    if not parts.netloc:
        return url.rpartition("@")[2].partition("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _host(environment: Environment) -> str:
    return next((str(one.host) for one in environment.user_classes if one.host), "")


OPTION = "--record"
_LOOK_S = 0.1


def is_begun(folder: Path, within_s: float, *, clock: Callable[[], float] = time.monotonic) -> bool:
    """Wait until the first process has begun; whether it has."""
    deadline_s = clock() + within_s
    while not (folder / RECORDING_FILE).exists():
        if clock() >= deadline_s:
            if within_s:
                raise UsageError(
                    "nobody records into this folder",
                    where=str(folder),
                    expected=f"that the master was started with {OPTION} and the same folder",
                )
            return False
        gevent.sleep(_LOOK_S)
    return True


def claim(folder: Path) -> None:
    """Make the folder, or take an empty one."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"the folder of {OPTION} is a file",
            where=str(folder),
            expected="a new or an empty folder",
            hint=f"{OPTION} {folder}-2",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = sorted(entry.name for entry in folder.iterdir())
        if not present:
            (folder / "streams").mkdir()
    except OSError as error:
        raise ResultsUnwritable(
            f"the folder of {OPTION} can't be made", where=str(folder), seen=os.strerror(error.errno or 0)
        ) from error
    if present:
        raise UsageError(
            f"the folder of {OPTION} is not empty",
            where=str(folder),
            seen=", ".join(present[:5]),
            expected="a new or an empty folder",
            hint=f"{OPTION} {folder}-2",
        )


def claimed(streams: Path) -> int:
    """Share the lock that says that somebody may still write here; it ends with the process, however that ends."""
    try:
        lock = os.open(streams / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError as error:
        raise ResultsUnwritable(
            "the recording's lock can't be had", where=str(streams), seen=os.strerror(error.errno or 0)
        ) from error
    return lock


def release(streams: Path, within_s: float, *, clock: Callable[[], float] = time.monotonic) -> bool:
    """Wait until no process may write here any more; whether that came to be."""
    deadline_s = clock() + within_s
    lock = os.open(streams / "lock", os.O_RDWR | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if clock() >= deadline_s:
                    return False
                gevent.sleep(_LOOK_S)
            else:
                return True
    finally:
        os.close(lock)


REFUSED = "seatrial_refused"
"""The message by which a worker ends the whole test."""
_DESTINATION = "record_folder"
_SEAL_WITHIN_S = 120.0
_OTHERS_WITHIN_S = 20.0
_MASTER_WITHIN_S = 10.0
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
        self._diary: RecordingInfo | None = None
        runner: Any = environment.runner
        if isinstance(runner, WorkerRunner):
            within_s = _MASTER_WITHIN_S if is_loopback(runner.master_host) else 0.0
            first = not is_begun(folder, within_s) and within_s == 0.0
        else:
            first = True
        if first:
            claim(folder)
        self._lock = claimed(self.streams)
        if first:
            self._diary = RecordingInfo(environment, folder / RECORDING_FILE)
        hear_refusals(environment)

    def end(self) -> None:
        """Say that the end was clean, and have all that was recorded sealed: of the first process only."""
        diary, self._diary = self._diary, None
        if diary is None:
            return
        diary.end()
        os.close(self._lock)
        if not release(self.streams, _OTHERS_WITHIN_S):
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
