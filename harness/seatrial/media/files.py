"""Files of media on disk: written whole or not at all, and read for an index."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from seatrial.errors import Mp4Error, ResultsUnwritable, UsageError
from seatrial.media.mp4 import Index, read_index


def write(path: Path, pieces: Iterable[bytes], size: int, *, replace: bool, say: Callable[[int], None]) -> None:
    """Write pieces of so many bytes in all; under the final name stands only a whole file.

    `say` is told how many bytes are written. UsageError if the file is there and must not be replaced,
    ResultsUnwritable if it can't be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    written = 0
    try:
        if path.exists() and not (replace and path.is_file()):
            hint = "--replace overwrites it" if path.is_file() else ""
            raise UsageError("the file is there already", where=str(path), hint=hint)
        free = shutil.disk_usage(path.parent).free
        if free < size:
            raise ResultsUnwritable(
                "the disk is too small",
                where=str(path.parent),
                seen=f"{free} bytes free",
                expected=f"{size} bytes",
            )
        with partial.open("xb") as file:
            for piece in pieces:
                file.write(piece)
                written += len(piece)
                say(written)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ResultsUnwritable("can't write", where=str(path), seen=error.strerror or str(error)) from error
    finally:
        with suppress(OSError):  # it is not there, or can't be
            partial.unlink()


def index(path: Path) -> Index:
    """Return the index of a file; Mp4Error, which names it, if it is none that can be indexed."""
    with path.open("rb") as file:

        def read(offset: int, count: int) -> bytes:
            file.seek(offset)
            return file.read(count)

        try:
            return read_index(read, path.stat().st_size)
        except Mp4Error as error:
            where = f"{path}, {error.where}"
            raise Mp4Error(error.what, where=where, seen=error.seen, expected=error.expected) from error
