"""The records of one process: a fixed-size binary row for each request, a line for each flow, second and error.

Rows are gathered in memory and written once a second, so that a kill loses at most the last one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seatrial.errors import ResultsUnwritable
from seatrial.user.response import Response
from seatrial.wire.streams import NULL, line_header
from seatrial.wire.tables import CONNECTIONS, METHODS, OUTCOMES, requests_layout

_METHOD_CODES = {method: code for code, method in enumerate(METHODS)}
_OUTCOME_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES)}
_CONNECTION_CODES = {word: code for code, word in enumerate(CONNECTIONS)}

PENDING_LIMIT_BYTES = 64 * 1024 * 1024
"""About a million requests: minutes of a disk that takes nothing, and no load generator that eats the memory."""


class Stream:
    """One append-only file: `pending` gathers, `flush` writes what was gathered."""

    def __init__(self, path: Path, header: bytes) -> None:
        self.path = path
        self.pending = bytearray(header)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ResultsUnwritable("a record file can't be opened", where=str(path), seen=str(error)) from error
        self.flush()

    def line(self, row: Mapping[str, Any]) -> None:
        """Append one JSON object."""
        self.pending += json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

    def flush(self) -> None:
        """Write; what can't be written stays for the next time, and ResultsUnwritable says why."""
        while self.pending:
            try:
                count = os.write(self._file, self.pending)
            except OSError as error:
                raise ResultsUnwritable(
                    "records can't be written", where=str(self.path), seen=str(error)
                ) from error
            del self.pending[:count]

    def close(self) -> None:
        """Write what is left, and close."""
        try:
            self.flush()
        finally:
            os.close(self._file)


class Recorder:
    """Writes the four streams of worker `worker` into `folder`; `endpoints` are the labels that can occur."""

    def __init__(self, folder: Path, worker: int, endpoints: Sequence[str]) -> None:
        layout = requests_layout(tuple(endpoints), worker)
        self._endpoint_codes = {label: code for code, label in enumerate(endpoints)}
        self._pack = layout.record.pack
        self._requests = Stream(folder / f"requests-{worker}.bin", layout.header())
        self._flows = _lines(folder, "flows", worker)
        self._generator = _lines(folder, "generator", worker)
        self._errors = _lines(folder, "errors", worker)
        self._streams = (self._requests, self._flows, self._generator, self._errors)

    def request(self, response: Response, flow_id: int, user: int) -> None:
        """Append one row; the closed model has no intended start."""
        self._requests.pending += self._pack(
            NULL,
            response.t_start_ns,
            response.t_first_byte_ns,
            response.t_end_ns,
            flow_id,
            response.bytes_received,
            response.bytes_sent,
            user,
            response.status,
            self._endpoint_codes[response.endpoint],
            _METHOD_CODES[response.method],
            _OUTCOME_CODES[response.outcome],
            _CONNECTION_CODES[response.connection],
        )

    def flow(self, row: Mapping[str, Any]) -> None:
        """Append one flow (`wire.tables.FLOW_FIELDS`)."""
        self._flows.line(row)

    def second(self, row: Mapping[str, Any]) -> None:
        """Append one second of this process (`wire.tables.GENERATOR_FIELDS`)."""
        self._generator.line(row)

    def error(self, row: Mapping[str, Any]) -> None:
        """Append one exception of a task."""
        self._errors.line(row)

    @property
    def overflowing(self) -> bool:
        """Whether more waits to be written than may be held in memory."""
        return sum(len(stream.pending) for stream in self._streams) > PENDING_LIMIT_BYTES

    def flush(self) -> None:
        """Write what was gathered; ResultsUnwritable if that fails."""
        for stream in self._streams:
            stream.flush()

    def close(self) -> None:
        """Write what is left, and close; each file is tried, the first failure is raised."""
        failures: list[ResultsUnwritable] = []
        for stream in self._streams:
            try:
                stream.close()
            except ResultsUnwritable as failure:
                failures.append(failure)
        if failures:
            raise failures[0]


def _lines(folder: Path, table: str, worker: int) -> Stream:
    return Stream(folder / f"{table}-{worker}.jsonl", line_header(table, worker=worker))
