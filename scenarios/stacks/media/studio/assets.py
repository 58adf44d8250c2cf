"""The permission service: which user may see which asset. It stands for the site's asset tracking system.

Environment: USER_ASSETS (`screening:* editor:clip-*`: users and shell patterns of assets), ASSETS_LATENCY_MS (each
answer takes that long), ASSETS_FAILURE_RATIO (share of requests that get 503, from a fixed seed).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from http import HTTPStatus

from flask import Flask

EVERYTHING = "screening:* director:* editor:clip-*"


class Failures:
    """Fails a stated share of requests, each process with the same sequence."""

    def __init__(self, ratio: float) -> None:
        if not 0 <= ratio <= 1:
            raise ValueError(f"ASSETS_FAILURE_RATIO is {ratio}; it is a share from 0 to 1")
        self._ratio = ratio
        self._random = random.Random(7)  # noqa: S311  (no secret)

    def next(self) -> bool:
        """Return whether this request fails."""
        return self._random.random() < self._ratio


def create(environment: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> Flask:
    """Make the application; ValueError for a setting that makes no sense."""
    app = Flask("assets", static_folder=None)
    rules = [rule.partition(":")[::2] for rule in environment.get("USER_ASSETS", EVERYTHING).split()]
    latency_s = float(environment.get("ASSETS_LATENCY_MS", "20")) / 1000
    if latency_s < 0:
        raise ValueError("ASSETS_LATENCY_MS is below 0")
    failures = Failures(float(environment.get("ASSETS_FAILURE_RATIO", "0")))

    @app.get("/assets/<asset>/users/<user>")
    def allowed(asset: str, user: str) -> tuple[dict[str, bool], HTTPStatus]:
        sleep(latency_s)
        if failures.next():
            return {}, HTTPStatus.SERVICE_UNAVAILABLE
        return {"allowed": any(user == who and fnmatchcase(asset, what) for who, what in rules)}, HTTPStatus.OK

    return app


def application() -> Flask:
    """Make the application as gunicorn does: `studio.assets:application()`."""
    return create(os.environ)
