"""Writing that survives a crash, and that says in plain words when the disk refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from seatrial.errors import ResultsUnwritable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """Turn an OSError of the block into ResultsUnwritable about `where`."""
    try:
        yield
    except OSError as error:
        raise ResultsUnwritable(
            "the run folder can't be written",
            where=str(where),
            seen=os.strerror(error.errno) if error.errno else str(error),
            expected="a folder with room and write permission",
            hint=_hint(error.errno, where),
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears whole or not at all: beside it first, fsync, then rename.

    OSError passes through; the half-written file is removed.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hint(code: int | None, where: Path) -> str:
    if code in _FULL:
        return f"make room (df -h {where}; old runs: seatrial list), or choose another disk: --results DIR"
    if code in _FORBIDDEN:
        return f"look at the owner (ls -ld {where}), or choose another folder: --results DIR"
    return "choose another folder: --results DIR"
