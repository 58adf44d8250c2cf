"""The binary stream of one container's samples."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from seatrial.wire.streams import StreamWriter
from seatrial.wire.tables import Reading, samples_layout

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class SampleStream(StreamWriter):
    """Rows of one service and container, in `samples-<service>-<n>.bin` with the first `n` that is free."""

    def __init__(self, folder: Path, service: str, container: str) -> None:
        """Create the file with its header; ResultsUnwritable if that can't be."""
        layout = samples_layout(service, container)
        self._pack = layout.record.pack
        self.rows = 0
        paths = (folder / f"samples-{_UNSAFE.sub('_', service)}-{index}.bin" for index in itertools.count(1))
        super().__init__(next(path for path in paths if not path.exists()), layout.header())

    def add(self, t_ns: int, t_after_ns: int, reading: Reading) -> None:
        """Gather one row."""
        self.pending += self._pack(t_ns, t_after_ns, *reading)
        self.rows += 1
