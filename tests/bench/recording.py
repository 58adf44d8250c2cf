"""The cost of recording one request: `python tests/bench/recording.py`.

Prints nanoseconds a row (median, least and most of the rounds), those of an empty call of the same shape, and the
memory that rows hold after they were written.
"""

from __future__ import annotations

import os

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"  # before seatrial.user, which imports Locust

import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from seatrial.http.messages import Response
from seatrial.user.recorder import Recorder

ROUNDS = 15
ROWS = 20_000


def _nothing(_response: Response, _flow_id: int, _user: int) -> None:
    """Cost a call, and nothing more."""


def _round_ns(record: Callable[[Response, int, int], None], response: Response) -> float:
    begun_ns = time.perf_counter_ns()
    for _ in range(ROWS):
        record(response, 7, 3)
    return (time.perf_counter_ns() - begun_ns) / ROWS


def _left_bytes(recorder: Recorder, response: Response) -> int:
    """Return the memory that written rows hold: the buffer is reused, so it should be next to none."""
    recorder.flush()
    tracemalloc.start()
    for _ in range(ROWS):
        recorder.request(response, 7, 3)
    recorder.flush()
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return left


def main() -> None:
    """Measure, and print."""
    response = Response("GET", "layer", time.monotonic_ns())
    response.t_first_byte_ns = response.t_end_ns = response.t_start_ns + 1_000_000
    response.status, response.bytes_received, response.bytes_sent = 200, 1_300, 150
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), 0, ("layer",))
        rows, calls, writes = [], [], []
        for _ in range(ROUNDS):
            calls.append(_round_ns(_nothing, response))
            rows.append(_round_ns(recorder.request, response))
            begun_ns = time.perf_counter_ns()
            recorder.flush()
            writes.append((time.perf_counter_ns() - begun_ns) / ROWS)
        left = _left_bytes(recorder, response)
        recorder.close()
    figures = {"record a request": rows, "an empty call": calls, "write a row to the file": writes}
    for name, values in figures.items():
        print(f"{name:<24} {statistics.median(values):6.0f} ns  ({min(values):.0f} to {max(values):.0f})")  # noqa: T201
    print(f"{'memory left':<24} {left / ROWS:6.2f} bytes a row")  # noqa: T201


if __name__ == "__main__":
    main()
