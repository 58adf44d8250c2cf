"""A child process: does one job (its only argument, JSON) with a Python client, and prints the result as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.job import BenchFailed, Job, Measured


def _in_locust(job: Job) -> Measured:
    """Run a user class in Locust's own runner, with its statistics listening."""
    from bench import locust_clients  # noqa: PLC0415  (Locust comes first)
    from bench.meter import Meter  # noqa: PLC0415  (the same: it imports gevent)
    from locust.env import Environment  # noqa: PLC0415  (patches every socket; the bare client must not have that)

    meter = Meter(job)
    of_job = locust_clients.lean_user_class if job.client == "seatrial" else locust_clients.user_class
    environment = Environment(user_classes=[of_job(job, meter)])
    events: Any = environment.events
    events.user_error.add_listener(lambda exception, **_: meter.fail(exception))
    runner = environment.create_local_runner()
    runner.start(job.work.connections, spawn_rate=job.work.connections)
    try:
        measured = meter.measure()
    finally:
        runner.quit()
    if environment.stats.total.num_failures:
        raise BenchFailed(f"requests failed: {list(environment.stats.errors.values())[:1]}")
    return measured


def _in_gevent(job: Job) -> Measured:
    from bench import bare_client  # noqa: PLC0415  (the same)

    return bare_client.measure(job) if job.client == "bare" else bare_client.hash_alone(job)


def main(argument: str) -> None:
    """Do the job."""
    job = Job.decode(argument)
    measure: Callable[[Job], Measured] = _in_gevent if job.client in {"bare", "hashlib"} else _in_locust
    print(json.dumps(asdict(measure(job))))  # noqa: T201  (its result)


if __name__ == "__main__":
    main(sys.argv[1])
