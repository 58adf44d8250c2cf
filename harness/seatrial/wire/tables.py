"""The columns of the streams that become tables, and the closed sets of their coded columns.

Stamps are CLOCK_MONOTONIC nanoseconds: one clock for every process of a host since its boot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache

from seatrial.wire.streams import Layout


class Outcome(StrEnum):
    """How a request or a flow ended; closed, so that nothing can fail in an unnamed way."""

    OK = "ok"
    STATUS = "status"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    RESET = "reset"
    TRUNCATED = "truncated"
    DIGEST = "digest"
    RANGE = "range"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    ABORTED = "aborted"
    CUT = "cut"
    DROPPED = "dropped"
    REJECTED = "rejected"


OUTCOMES = tuple(Outcome)
NOT_FAILURES = frozenset({Outcome.OK, Outcome.ABORTED, Outcome.CUT})
"""`aborted` is the user model's purpose and `cut` the end of the run; neither says anything about the stack.

`dropped`, an arrival that no user was free to serve, is a failure of the load that was asked for: it is counted,
in flows named `arrival`, and has no latency.
"""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER")
CONNECTIONS = ("new", "reused", "replaced")

UNKNOWN_CODE = 255
"""Stands for "this source can't tell" in a column of labels; sealing makes null of it."""

UNKNOWN_USER = 2**32 - 1
"""The same for the number of a user."""

LABEL_LIMIT = 200
"""So many endpoints a person can still read as a table; more are one for each object that was asked for."""

REQUEST_COLUMNS = {
    "t_intended_ns": "q",
    "t_start_ns": "q",
    "t_first_byte_ns": "q",
    "t_end_ns": "q",
    "flow_id": "q",
    "bytes_received": "q",
    "bytes_sent": "q",
    "user": "I",
    "status": "H",
    "endpoint": "H",
    "method": "B",
    "outcome": "B",
    "connection": "B",
}

SAMPLE_COLUMNS = tuple(
    """
    t_ns t_after_ns usage_bytes working_set_bytes anon_bytes file_clean_bytes file_dirty_bytes shmem_bytes
    kernel_bytes sock_bytes swap_bytes limit_bytes cpu_ns throttled_ns oom_kills limit_hits cpu_stall_ns
    memory_stall_ns io_stall_ns major_faults read_bytes written_bytes rx_bytes tx_bytes processes stolen_ns
    engine_ns
    """.split()
)

FLOW_FIELDS = tuple(
    """
    flow_id flow profile t_intended_ns t_start_ns t_end_ns outcome requests bytes_received user detail
    """.split()
)

DETAIL_ENDINGS = ("_s", "_ratio", "_bytes", "_count")
"""The units in which a number in a flow's `detail` is measured: the key ends in one of them."""

MOST_DETAILS = 32
"""So many numbers of flows, by flow and key, are kept; a key for each object that was asked for says nothing."""

_MEASURED = re.compile(rf"[A-Za-z]\w*?(?P<ending>{'|'.join(DETAIL_ENDINGS)})\Z", re.ASCII)

GENERATOR_FIELDS = tuple(
    """
    t_ns users in_flight offered completed cpu_fraction loop_lag_p50_ns loop_lag_p99_ns slip_p99_ns
    arrivals arrivals_completed arrivals_late arrivals_dropped
    """.split()
)


@lru_cache(maxsize=1024)
def detail_ending(key: str) -> str | None:
    """Return the unit in which a detail is measured; None for a key without one."""
    match = _MEASURED.match(key)
    return None if match is None else match["ending"]


def detail_numbers(detail: Mapping[str, object]) -> dict[str, float]:
    """Return what is measured among a flow's details: finite numbers whose key ends in a unit."""
    return {
        key: float(value)
        for key, value in detail.items()
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and detail_ending(key)
        and math.isfinite(value)
    }


def requests_layout(endpoints: tuple[str, ...], worker: int) -> Layout:
    """One HTTP request a row; `endpoints` is the locustfile's closed list of labels."""
    return Layout(
        table="requests",
        columns=REQUEST_COLUMNS,
        labels={"endpoint": endpoints, "method": METHODS, "outcome": OUTCOMES, "connection": CONNECTIONS},
        constants={"worker": worker},
    )


def samples_layout(service: str, container: str) -> Layout:
    """One reading of one container a row; every column is a signed 64-bit integer."""
    return Layout(
        table="samples",
        columns=dict.fromkeys(SAMPLE_COLUMNS, "q"),
        constants={"service": service, "container": container},
    )
