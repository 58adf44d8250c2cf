"""Locust's own users, written as its documentation writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from bench.job import BenchFailed, Job
from bench.meter import Meter
from locust import FastHttpUser, HttpUser, User, task

_CHUNK_BYTES = 64 * 1024


def user_class(job: Job, meter: Meter) -> type[User]:
    """Return the user class that does this job."""
    work = job.work
    asked: dict[str, Any] = {} if work.keep_alive else {"headers": {"Connection": "close"}}
    taken = _whole
    if work.conduct != "drain":
        asked["stream"] = True
        taken = _hashed if work.conduct == "sha256" else _chunk_by_chunk
    if work.tls and job.client == "httpuser":
        asked["verify"] = job.ca_file
    base = FastHttpUser if job.client == "fasthttp" else HttpUser
    return _class_of(base, job, lambda client: taken(client.get(work.path, **asked)), meter)


def _class_of(base: type[Any], job: Job, request: Callable[[Any], int], meter: Meter) -> type[User]:
    wanted = job.work.body_bytes

    class Theirs(base):  # type: ignore[misc]  # Locust's classes have no types
        host = job.url

        @task
        def once(self) -> None:
            if (got := request(self.client)) != wanted:
                raise BenchFailed(f"{got} bytes instead of {wanted}")
            meter.turn()

    return Theirs


def _whole(response: Any) -> int:  # noqa: ANN401  (two classes of two libraries)
    return len(response.content)


def _chunk_by_chunk(response: Any) -> int:  # noqa: ANN401  (the same)
    return sum(len(chunk) for chunk in response.iter_content(_CHUNK_BYTES))


def _hashed(response: Any) -> int:  # noqa: ANN401  (the same)
    digest, count = hashlib.sha256(), 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        digest.update(chunk)
        count += len(chunk)
    return count
