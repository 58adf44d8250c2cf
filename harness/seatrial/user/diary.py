"""recording.json, kept by the first process of a recording: whose load, on which host, from when to when.

No value of an option is kept, only the options' names: a value may be a secret.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import locust
from locust import User
from locust.env import Environment

from seatrial.wire.streams import SCHEMA_VERSION

NAME = "recording.json"
_log = logging.getLogger("seatrial.user")


class Diary:
    """Writes the file at the beginning, at each begin and end of a test, and at the end of the process."""

    def __init__(self, environment: Environment, path: Path) -> None:
        self._environment = environment
        self._path = path
        self._users = 0
        self._tests: list[dict[str, int | None]] = []
        self._clock = {"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()}
        self._ended = False
        events: Any = environment.events
        events.test_start.add_listener(self._on_start)
        events.test_stopping.add_listener(self._on_stopping)
        events.test_stop.add_listener(self._on_stop)
        self._write()

    def end(self) -> None:
        """Note that the process came to its own end."""
        self._ended = True
        self._write()

    def _on_start(self, **_: object) -> None:
        self._tests.append({"from_ns": time.monotonic_ns(), "stopping_ns": None, "until_ns": None})
        self._write()

    def _on_stopping(self, **_: object) -> None:
        self._stamp("stopping_ns")

    def _on_stop(self, **_: object) -> None:
        self._stamp("until_ns")

    def _stamp(self, name: str) -> None:
        runner: Any = self._environment.runner
        self._users = max(self._users, runner.target_user_count)
        if self._tests and self._tests[-1][name] is None:
            self._tests[-1][name] = time.monotonic_ns()
        self._write()

    def _write(self) -> None:
        environment = self._environment
        runner: Any = environment.runner
        told = {
            "schema_version": SCHEMA_VERSION,
            "clock": self._clock,
            "locustfile": environment.locustfile or "",
            "locust": locust.__version__,
            "host": without_secrets(environment.host or _host(environment)),
            "users": max(self._users, runner.target_user_count),
            "user_classes": [user_class.__name__ for user_class in environment.user_classes],
            "options": option_names(sys.argv[1:]),
            "source": source_of(environment),
            "tests": self._tests,
            "ended": self._ended,
        }
        part = self._path.with_name(f"{NAME}.part")
        try:
            part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            _log.error("%s can't be written: %s", self._path, error)


def source_of(environment: Environment) -> str:
    """Return who tells of requests: our own client (`client`), or `locust events`."""
    return "locust events" if foreign_classes(environment) else "client"


def foreign_classes(environment: Environment) -> list[type[User]]:
    """Return the user classes that don't build on LeanUser: those that run, or that the web UI lets one choose."""
    classes = dict.fromkeys(environment.user_classes)
    if getattr(environment.parsed_options, "class_picker", False):
        available: Any = environment.available_user_classes  # Locust declares instances, and holds classes
        classes |= dict.fromkeys((available or {}).values())
    return [user_class for user_class in classes if not _is_lean(user_class)]


def _is_lean(user_class: type[User]) -> bool:
    # By name: LeanUser's module imports, by way of its session, this one.
    return any((base.__module__, base.__name__) == ("seatrial.user", "LeanUser") for base in user_class.__mro__)


def option_names(words: Sequence[str]) -> list[str]:
    """Return the options among the words of a command line, without what follows their names."""
    return [
        word.partition("=")[0] if word.startswith("--") else word[:2] for word in words if word.startswith("-")
    ]


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query; of what is none, nothing up to its last `@`."""
    try:
        parts, _ = urlsplit(url), urlsplit(url).port
    except ValueError:
        parts = urlsplit("")
    if not parts.netloc:
        return url.rpartition("@")[2].partition("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _host(environment: Environment) -> str:
    return next((str(one.host) for one in environment.user_classes if one.host), "")
