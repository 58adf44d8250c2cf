"""Seatrial's client in a Locust user; the plan in the environment names the folder of its records."""

from __future__ import annotations

from typing import Any

from bench.job import BenchFailed, Job
from bench.meter import Meter
from locust import User, task

from seatrial.user import LeanUser


def user_class(job: Job, meter: Meter) -> type[User]:
    """Return the user class that does this job."""
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
            response = self.client.get(work.path, **keywords)
            if not response.ok:
                raise BenchFailed(f"{response!r}: {response.reason}")
            meter.turn()

    return Lean
