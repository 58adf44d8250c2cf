"""The binary stream of one container's samples: gathered in memory, appended once a second."""

from __future__ import annotations

import os
import re
from pathlib import Path

from seatrial.errors import ResultsUnwritable
from seatrial.observe.reading import Reading
from seatrial.wire.tables import samples_layout

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_FILES_OF_A_SERVICE = 10_000


class SampleStream:
    """Rows of one service and container, in `samples-<service>-<n>.bin` with the first `n` that is free."""

    def __init__(self, folder: Path, service: str, container: str) -> None:
        """Create the file with its header; ResultsUnwritable if that can't be."""
        layout = samples_layout(service, container)
        self._pack = layout.record.pack
        self._gathered = bytearray(layout.header())
        self._folder = folder
        self._descriptor = self._create(_UNSAFE.sub("_", service))
        self.rows = 0
        self.flush()

    def add(self, t_ns: int, t_after_ns: int, reading: Reading) -> None:
        """Gather one row."""
        self._gathered += self._pack(t_ns, t_after_ns, *reading)
        self.rows += 1

    def flush(self) -> None:
        """Append what was gathered; what lies in the file then survives the death of this process."""
        try:
            while self._gathered:
                written = os.write(self._descriptor, self._gathered)
                del self._gathered[:written]
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        os.close(self._descriptor)

    def _create(self, service: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        for index in range(1, _FILES_OF_A_SERVICE):
            try:
                return os.open(self._folder / f"samples-{service}-{index}.bin", flags, 0o644)
            except FileExistsError:
                continue
            except OSError as error:
                raise self._unwritable(error) from error
        raise self._unwritable(FileExistsError(f"{_FILES_OF_A_SERVICE} streams of {service}"))

    def _unwritable(self, error: OSError) -> ResultsUnwritable:
        return ResultsUnwritable("memory samples can't be written", where=str(self._folder), seen=str(error))
