"""The recorder: the streams of one load process.

Rows are gathered in memory and written once a second, so that a kill loses at most the last second.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from seatrial.errors import ResultsUnwritable, UsageError
from seatrial.http.messages import Response
from seatrial.wire.streams import (
    CONNECTIONS,
    LABEL_LIMIT,
    METHODS,
    NULL,
    OUTCOMES,
    UNKNOWN_CODE,
    StreamWriter,
    end_mark,
    line_header,
    requests_layout,
)

_METHOD_CODES = {method: code for code, method in enumerate(METHODS)}
_OUTCOME_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES)}
_CONNECTION_CODES = {word: code for code, word in enumerate(CONNECTIONS)} | {"": UNKNOWN_CODE}
_SHOWN_LABELS = 4
DECLARED_LIMIT = 1_000
"""The most labels that user classes may declare, for tables that can be read; a row has room for 65,535."""
PENDING_LIMIT_BYTES = 64 * 1024 * 1024
"""About a million requests: minutes in which a disk takes nothing, before memory runs out."""


class Recorder:
    """Writes the streams of worker `worker` into `folder`; `endpoints` are the labels known from the beginning.

    A label that is learned later begins the next file, `requests-<worker>.<n>.bin`, whose header has all labels
    known by then: so a kill leaves only files that can be read.
    """

    def __init__(self, folder: Path, worker: int, endpoints: Sequence[str]) -> None:
        if len(endpoints) > DECLARED_LIMIT:
            raise UsageError(
                f"the user classes declare more than {DECLARED_LIMIT} endpoint labels",
                seen=f"{len(endpoints)}, such as {', '.join(map(repr, endpoints[:_SHOWN_LABELS]))}",
                expected="labels for kinds of requests, not for each object",
                hint="ids and digests don't belong into a label",
            )
        self._folder = folder
        self._worker = worker
        self._endpoint_codes = {label: code for code, label in enumerate(endpoints)}
        self._pack = requests_layout((), worker).record.pack
        self._numbers = itertools.count()
        self._full: list[StreamWriter] = []
        self._requests = self._next_requests()
        self._flows, self._generator, self._errors = (
            StreamWriter(folder / f"{table}-{worker}.jsonl", line_header(table, worker=worker))
            for table in ("flows", "generator", "errors")
        )

    def request(self, response: Response, flow_id: int, user: int, intended_ns: int = NULL) -> None:
        """Append one row; KeyError for a label that is neither declared nor learned.

        `intended_ns` is the due time of an arrival that begins with this request; the closed model has none.
        """
        self._requests.pending += self._pack(  # in the order of `wire.streams.REQUESTS`
            intended_ns,
            response.t_start_ns,
            response.t_first_byte_ns,
            response.t_end_ns,
            self._endpoint_codes[response.endpoint],
            _METHOD_CODES[response.method],
            response.status,
            _OUTCOME_CODES[response.outcome],
            response.bytes_received,
            response.bytes_sent,
            _CONNECTION_CODES[response.connection],
            flow_id,
            user,
        )

    def learn(self, label: str) -> None:
        """Add a label; UsageError if there are more than `LABEL_LIMIT` of them."""
        codes = self._endpoint_codes
        if label in codes:
            return
        if len(codes) >= LABEL_LIMIT:
            raise UsageError(
                f"the locustfile has more than {LABEL_LIMIT} request names",
                seen=", ".join(repr(name) for name in [*codes, label][-_SHOWN_LABELS:]),
                expected="names for kinds of requests, not for each object",
                hint='name them in the client call: self.client.get(f"/item/{number}", name="/item/[id]")',
            )
        codes[label] = len(codes)
        self._full.append(self._requests)
        self._requests = self._next_requests()

    def flow(self, row: Mapping[str, Any]) -> None:
        """Append one flow: a row of `wire.streams.FLOWS`."""
        self._flows.line(row)

    def second(self, row: Mapping[str, Any]) -> None:
        """Append one second of this process: a row of `wire.streams.GENERATOR`."""
        self._generator.line(row)

    def error(self, row: Mapping[str, Any]) -> None:
        """Append one exception of a task."""
        self._errors.line(row)

    @property
    def overflowing(self) -> bool:
        """Whether more waits to be written than may be held in memory."""
        return sum(len(stream.pending) for stream in self._streams) > PENDING_LIMIT_BYTES

    def flush(self) -> None:
        """Write the gathered rows; ResultsUnwritable if that fails."""
        while self._full:
            self._full[0].flush()
            self._full.pop(0).close()
        for stream in self._streams:
            stream.flush()

    def close(self) -> None:
        """Write the gathered rows, and close; each file is tried, the first failure is raised."""
        with ExitStack() as closing:  # whose last exception, that of the first stream, is raised
            for stream in self._streams:
                closing.callback(stream.close)

    def end(self) -> None:
        """Close, and leave the mark that the streams are complete: a kill leaves streams without one."""
        self.close()
        try:
            end_mark(self._folder, self._worker).touch()
        except OSError as error:
            raise ResultsUnwritable(
                "the end of the records can't be marked", where=str(self._folder), seen=str(error)
            ) from error

    @property
    def _streams(self) -> tuple[StreamWriter, ...]:
        return (*self._full, self._requests, self._flows, self._generator, self._errors)

    def _next_requests(self) -> StreamWriter:
        layout = requests_layout(tuple(self._endpoint_codes), self._worker)
        number = next(self._numbers)
        name = f"requests-{self._worker}.{number}.bin" if number else f"requests-{self._worker}.bin"
        return StreamWriter(self._folder / name, layout.header())
