"""Locust's own users, as in its documentation, and Seatrial's."""

from __future__ import annotations

import hashlib
from typing import Any

from bench.job import READ_BYTES, BenchFailed, Job
from bench.meter import Meter
from locust import FastHttpUser, HttpUser, User, task

from seatrial.user import LeanUser
from seatrial.user.response import Response


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
    return sum(len(chunk) for chunk in response.iter_content(READ_BYTES))


def _hashed(response: Any) -> int:  # noqa: ANN401  (the same)
    digest, count = hashlib.sha256(), 0
    for chunk in response.iter_content(READ_BYTES):
        digest.update(chunk)
        count += len(chunk)
    return count


def lean_user_class(job: Job, meter: Meter) -> type[User]:
    """Return the class of Seatrial's user; the plan in the environment names the folder of its records."""
    work = job.work
    keywords: dict[str, Any] = {"endpoint": "it"}
    if work.conduct == "sha256":
        keywords["digest"] = f"sha256:{job.sha256}"
    elif work.conduct == "read":
        keywords["into"] = len  # a program that reads each piece, and does next to nothing with it

    class Lean(LeanUser):
        host = job.url
        endpoints = ("it",)
        keep_alive = work.keep_alive
        ca_file = job.ca_file

        @task
        def once(self) -> None:
            response = self._streamed() if work.conduct == "stream" else self.client.get(work.path, **keywords)
            if not response.ok:
                raise BenchFailed(f"{response!r}: {response.reason}")
            meter.turn()

        def _streamed(self) -> Response:
            with self.client.stream(work.path, endpoint="it") as stream:
                while stream.read(READ_BYTES):
                    pass
            return stream.response

    return Lean
