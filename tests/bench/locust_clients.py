"""Locust's own users, as in its documentation."""

from __future__ import annotations

import hashlib
from typing import Any

from bench.job import BenchFailed, Job
from bench.meter import Meter
from locust import FastHttpUser, HttpUser, User, task

_CHUNK_BYTES = 64 * 1024


def user_class(job: Job, meter: Meter) -> type[User]:
    """Return the user class that does this job."""
    work = job.work
    keywords: dict[str, Any] = {} if work.keep_alive else {"headers": {"Connection": "close"}}
    read = _whole
    if work.conduct != "drain":
        keywords["stream"] = True
        read = _hashed if work.conduct == "sha256" else _chunk_by_chunk
    if work.tls and job.client == "httpuser":
        keywords["verify"] = job.ca_file
    base: type[Any] = FastHttpUser if job.client == "fasthttp" else HttpUser

    class LocustUser(base):  # type: ignore[misc]  # Locust's classes have no types
        host = job.url

        @task
        def once(self) -> None:
            count = read(self.client.get(work.path, **keywords))
            if count != work.body_bytes:
                raise BenchFailed(f"{count} bytes instead of {work.body_bytes}")
            meter.turn()

    return LocustUser


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
