"""The control protocol between harness and load processes: messages, their line format, and the child's plan.

Harness to child, to every worker process:
- `gate`: users may begin at `open_ns` and, unless it is null, begin nothing from `until_ns` on; may come again.
  Arrivals that wait for a user at `until_ns` are dropped then; a window that begins at the end of another goes on.
- `rate`: arrivals from `from_ns` on, counted from `origin_ns`: `stretches` (lists of lasts_s or null for ever,
  begin_per_s, end_per_s), `poisson`, `seed`. Every worker makes the same sequence of arrivals.
- `share`: from `from_ns` on this worker serves the arrivals whose place in [0, 1) is from `low` to below `high`.
- `stop`: no new flow; running flows may end within `drain_s`.

Child to harness, from each worker process:
- `ready`: users may be let in (`worker pid endpoints users`, and `source`: `client` or `locust events`).
- `second`: counts of the last second (`worker t_ns users in_flight offered completed failed errors` of requests,
  `flows flows_failed` of flows that ended, in an open model `arrivals arrivals_completed arrivals_late
  arrivals_dropped` and `arrivals_took_ns`, the time from due to the end of the task, summed over the completed);
  `latency`: for each endpoint the successes by bucket (`wire.histogram`), as an object of bucket number to count;
  `failures`: the count of each endpoint that has any; `details`: for each flow that ended and each number of its
  detail whose key ends in a unit (`wire.streams.DETAIL_ENDINGS`) the values by bucket, for the first MOST_DETAILS
  keys of each process: `{"play": {"startup_s": {"1234": 3}}}`. Of a whole second also
  `cpu_fraction loop_lag_p50_ns loop_lag_p99_ns slip_p99_ns`, as in the table `generator`.
- `error`: an exception in a task, that is in the user model, or with `fatal` records that can't be written.
- `refused`: the locustfile refuses its options (`what`, `exit_code`); the process ends.
- `drained`: nothing is in flight any more.

The environment variable `SEATRIAL_PLAN` holds a Plan as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

PLAN_VARIABLE = "SEATRIAL_PLAN"
Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where the child records, and the path of the control socket ("" without a harness).

    It may connect to `hosts` besides loopback: a server's redirect or token realm can name any host.
    """

    records: str
    control: str
    seed: int = 0
    hosts: tuple[str, ...] = ()

    def encode(self) -> str:
        """Return the value of the environment variable."""
        return json.dumps(asdict(self))

    @staticmethod
    def decode(text: str) -> Plan:
        """Read the environment variable's value."""
        values = json.loads(text)
        return Plan(**{**values, "hosts": tuple(values.get("hosts", ()))})


def encode(kind: str, **fields: Any) -> bytes:  # noqa: ANN401  (a message's fields are JSON values)
    """Return one message as a line."""
    return json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Read one message; ValueError if the line is not an object with a kind."""
    message = json.loads(line)
    if not isinstance(message, dict) or "kind" not in message:
        raise ValueError(f"not a control message: {line!r}")
    return message
