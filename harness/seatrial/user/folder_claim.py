"""The folder of a recording: who may take it, and the lock that tells whether somebody may still write to it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import gevent

from seatrial.errors import ResultsUnwritable, UsageError
from seatrial.user.diary import NAME

OPTION = "--record"
_LOOK_S = 0.1


def begun(folder: Path, within_s: float, *, clock: Callable[[], float] = time.monotonic) -> bool:
    """Wait until the first process has begun; whether it has."""
    deadline_s = clock() + within_s
    while not (folder / NAME).exists():
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


def take(folder: Path) -> None:
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


def locked(streams: Path) -> int:
    """Share the lock that says that somebody may still write here; it ends with the process, however that ends."""
    try:
        lock = os.open(streams / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError as error:
        raise ResultsUnwritable(
            "the recording's lock can't be had", where=str(streams), seen=os.strerror(error.errno or 0)
        ) from error
    return lock


def free(streams: Path, within_s: float, *, clock: Callable[[], float] = time.monotonic) -> bool:
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
