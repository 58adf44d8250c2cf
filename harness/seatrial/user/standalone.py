"""`locust --record DIR`: recording without a harness.

Each process writes its streams into DIR/streams, and holds a lock there while it may write. The first process (the
local runner, or the master) keeps DIR/recording.json, and at its end has a child process seal the recording.

Of options only the names are kept: a value may be a secret.
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
from functools import cache
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

OPTION = "--record"
RECORDING_FILE = "recording.json"
REFUSED = "seatrial_refused"
"""The message by which a worker ends the whole test."""
_DESTINATION = "record_folder"
_LOOK_S = 0.1
_SEAL_WITHIN_S = 120.0
_OTHERS_WITHIN_S = 20.0
_MASTER_WITHIN_S = 10.0
_log = logging.getLogger("seatrial.user")
_recordings: WeakKeyDictionary[Environment, Recording] = WeakKeyDictionary()


class RecordingInfo:
    """Writes recording.json at the beginning, at each begin and end of a test, and at the end of the process."""

    def __init__(self, environment: Environment, path: Path) -> None:
        self._environment = environment
        self._path = path
        self._users = 0
        self._tests: list[dict[str, int | None]] = []
        self._clock = {"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()}
        self._ended = False
        events: Any = environment.events
        events.test_start.add_listener(self._on_start)
        events.test_stopping.add_listener(lambda **_: self._stamp("stopping_ns"))
        events.test_stop.add_listener(lambda **_: self._stamp("until_ns"))
        self._write()

    def end(self) -> None:
        """Note that the process came to its own end."""
        self._ended = True
        self._write()

    def _on_start(self, **_: object) -> None:
        self._tests.append({"from_ns": time.monotonic_ns(), "stopping_ns": None, "until_ns": None})
        self._write()

    def _stamp(self, name: str) -> None:
        runner: Any = self._environment.runner
        self._users = max(self._users, runner.target_user_count)
        if self._tests and self._tests[-1][name] is None:
            self._tests[-1][name] = time.monotonic_ns()
        self._write()

    def _write(self) -> None:
        environment = self._environment
        runner: Any = environment.runner
        host = environment.host or next((str(cls.host) for cls in environment.user_classes if cls.host), "")
        values = {
            "schema_version": SCHEMA_VERSION,
            "clock": self._clock,
            "locustfile": environment.locustfile or "",
            "locust": locust.__version__,
            "host": without_secrets(host),
            "users": max(self._users, runner.target_user_count),
            "user_classes": [user_class.__name__ for user_class in environment.user_classes],
            "options": option_names(sys.argv[1:]),
            "source": "locust events" if foreign_classes(environment) else "client",
            "tests": self._tests,
            "ended": self._ended,
        }
        part = self._path.with_name(f"{RECORDING_FILE}.part")
        try:
            part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            _log.error("%s can't be written: %s", self._path, error)


def foreign_classes(environment: Environment) -> list[type[User]]:
    """Return the user classes that don't build on LeanUser: those that run, or that the web UI lets one choose."""
    classes = dict.fromkeys(environment.user_classes)
    if getattr(environment.parsed_options, "class_picker", False):
        available: Any = environment.available_user_classes  # Locust declares instances, and holds classes
        classes |= dict.fromkeys((available or {}).values())
    lean = ("seatrial.user", "LeanUser")  # by name: its module imports, by way of the session, this one
    return [cls for cls in classes if all((base.__module__, base.__name__) != lean for base in cls.__mro__)]


def option_names(words: Sequence[str]) -> list[str]:
    """Return the options among the words of a command line, without what follows their names."""
    return [
        word.partition("=")[0] if word.startswith("--") else word[:2] for word in words if word.startswith("-")
    ]


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query; of any other text the part behind its last `@`."""
    try:
        parts, _ = urlsplit(url), urlsplit(url).port
    except ValueError:
        parts = urlsplit("")
    if not parts.netloc:
        return url.rpartition("@")[2].partition("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_begun(folder: Path, within_s: float, *, clock: Callable[[], float] = time.monotonic) -> bool:
    """Wait until the first process records into the folder; return whether it does."""
    deadline_s = clock() + within_s
    while not (folder / RECORDING_FILE).exists():
        if clock() >= deadline_s:
            if within_s:
                raise UsageError(
                    "no master records into this folder",
                    where=str(folder),
                    expected=f"a master that was started with {OPTION} and the same folder",
                )
            return False
        gevent.sleep(_LOOK_S)
    return True


def claim(folder: Path) -> None:
    """Make the folder; UsageError if there is one that is not empty."""
    present: list[str] = []
    is_file = folder.exists() and not folder.is_dir()
    try:
        if not is_file:
            folder.mkdir(parents=True, exist_ok=True)
            present = sorted(entry.name for entry in folder.iterdir())
            if not present:
                (folder / "streams").mkdir()
    except OSError as error:
        raise ResultsUnwritable(
            f"the folder of {OPTION} can't be made", where=str(folder), seen=os.strerror(error.errno or 0)
        ) from error
    if is_file or present:
        raise UsageError(
            f"the folder of {OPTION} is {'a file' if is_file else 'not empty'}",
            where=str(folder),
            seen=", ".join(present[:5]),
            expected="a new or an empty folder",
            hint=f"{OPTION} {folder}-2",
        )


def lock_shared(streams: Path) -> int:
    """Share the lock that marks the folder as being written; it ends with the process, however that ends."""
    try:
        lock = os.open(streams / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError as error:
        raise ResultsUnwritable(
            "the recording can't be locked", where=str(streams), seen=os.strerror(error.errno or 0)
        ) from error
    return lock


def wait_for_writers(streams: Path, within_s: float, *, clock: Callable[[], float] = time.monotonic) -> bool:
    """Wait until no process holds the lock any more; return whether that came true in time."""
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


def add_option(parser: LocustArgumentParser) -> None:
    """Offer `--record DIR`, unless the locustfile has an option of that name; and record where it is used."""
    if OPTION in parser._option_string_actions:  # noqa: SLF001  (argparse offers no other way)
        return
    text = "Seatrial: record every request into this new or empty folder, as tables"
    parser.add_argument(OPTION, metavar="DIR", default="", dest=_DESTINATION, include_in_web_ui=False, help=text)
    _prepare()


@cache
def _prepare() -> None:
    """Register for begin and end, before any fork: exit handlers run backwards, so workers end before sealing."""
    atexit.register(_end_all)
    events: Any = locust.events
    events.init.add_listener(_on_init)


def plan_of(environment: Environment) -> Plan | None:
    """Return where this process records, None without `--record`; the first call joins the recording.

    UsageError if the folder is neither new nor empty; ResultsUnwritable if it can't be made.
    """
    folder = getattr(environment.parsed_options, _DESTINATION, "")
    if not folder:
        return None
    recording = _recordings.get(environment)
    if recording is None:
        recording = _recordings[environment] = Recording(environment, Path(folder).absolute())
    return Plan(records=str(recording.streams), control="")


def refuse(environment: Environment, error: SeatrialError) -> None:
    """End the test, of all processes, with this error's exit code."""
    runner: Any = environment.runner
    environment.process_exit_code = error.exit_code
    if isinstance(runner, WorkerRunner):
        runner.send_message(REFUSED, {"what": str(error), "exit_code": error.exit_code})
    gevent.spawn(runner.quit)


def accept_refusals(environment: Environment) -> None:
    """Let the workers of this master end the test; a second call does nothing."""
    runner = environment.runner
    if isinstance(runner, MasterRunner) and REFUSED not in runner.custom_messages:
        runner.register_message(REFUSED, _on_refused)


class Recording:
    """One process's part in a recording."""

    def __init__(self, environment: Environment, folder: Path) -> None:
        self._folder = folder
        self.streams = folder / "streams"
        self._info: RecordingInfo | None = None
        runner: Any = environment.runner
        if isinstance(runner, WorkerRunner):
            within_s = _MASTER_WITHIN_S if is_loopback(runner.master_host) else 0.0
            first = not is_begun(folder, within_s) and within_s == 0.0
        else:
            first = True
        if first:
            claim(folder)
        self._lock = lock_shared(self.streams)
        if first:
            self._info = RecordingInfo(environment, folder / RECORDING_FILE)
        accept_refusals(environment)

    def end(self) -> None:
        """In the first process, note the clean end, and have the recording sealed."""
        info, self._info = self._info, None
        if info is None:
            return
        info.end()
        os.close(self._lock)
        by_hand = f"seatrial recover {self._folder}"
        if not wait_for_writers(self.streams, _OTHERS_WITHIN_S):
            _log.warning("other processes still record into %s; later: %s", self._folder, by_hand)
            return
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
            _log.warning("the recording was not sealed: %s; by hand: %s", error, by_hand)
            return
        if (self._folder / "run.json").exists():
            _log.info("recorded; to see it: seatrial show %s", self._folder)
        else:
            reason = child.stderr.decode(errors="replace").strip()
            if not reason.startswith("seatrial:"):  # a traceback: its last line
                reason = reason.rpartition("\n")[2]
            _log.warning("the recording was not sealed: %s; by hand: %s", reason, by_hand)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """End the process with the exit code of an error in the block, which Locust's events would only log."""
    try:
        yield
    except SeatrialError as error:
        sys.stderr.write(f"seatrial: {error}\n")
        raise SystemExit(error.exit_code) from None


def _on_init(environment: Environment, **_: object) -> None:
    with exit_on_error():
        plan_of(environment)


def _on_refused(environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401  (Locust's message)
    _log.error("a worker ends the test: %s", msg.data["what"])
    environment.process_exit_code = int(msg.data["exit_code"])
    gevent.spawn(environment.runner.quit)  # type: ignore[union-attr]


def _end_all() -> None:
    for recording in list(_recordings.values()):
        recording.end()
