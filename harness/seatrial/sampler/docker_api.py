"""A container through the Docker API's stream of statistics, where this host does not show its cgroup files.

Docker Desktop and remote engines: one reading a second, the daemon's own pace. Usage, working set and CPU; the
rest is NULL. A row is stamped when it is taken over, up to one tick after it came.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError

from seatrial.sampler.reading_ import remainder
from seatrial.wire.streams import NULL
from seatrial.wire.tables import Reading

STREAM_ERRORS = (APIError, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
"""What a stream of the daemon ends with when the container, or the connection, goes away."""


class DockerApi:
    """One container's stream, read by a thread of its own; ends when the stream does."""

    kind = "docker api"

    def __init__(self, client: APIClient, container: str) -> None:
        """Start the stream; APIError if the container does not exist."""
        self._stream = iter(client.stats(container, decode=True, stream=True))
        self._latest: Reading | None = None
        self._ended = False
        self._closed = False
        threading.Thread(target=self._follow, name=f"stats-{container[:12]}", daemon=True).start()

    def read(self) -> Reading | None:
        """Return what came since the last call, or None; OSError of GONE_ERRORS when the stream has ended."""
        reading, self._latest = self._latest, None
        if reading is None and self._ended:
            raise ProcessLookupError(errno.ESRCH, "the container's statistics have ended")
        return reading

    def close(self) -> None:
        """Let the thread end at the stream's next message."""
        self._closed = True

    def _follow(self) -> None:
        try:
            for statistics in _running(self._stream):
                if self._closed:
                    break
                self._latest = reading_of(statistics)
        except STREAM_ERRORS:
            pass  # the end of the stream is told by `_ended`, whichever way it came
        finally:
            self._ended = True


def _running(stream: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield until the container stops: the daemon goes on sending empty statistics for a stopped one."""
    for statistics in stream:
        if not statistics.get("memory_stats", {}).get("usage"):
            return
        yield statistics


def reading_of(statistics: Mapping[str, Any]) -> Reading:
    """Take usage, working set and CPU; cgroup v1 names its inactive file pages `total_inactive_file`."""
    memory = statistics["memory_stats"]
    parts = memory.get("stats", {})
    inactive = parts.get("total_inactive_file", parts.get("inactive_file", NULL))
    return Reading(
        usage_bytes=memory["usage"],
        working_set_bytes=remainder(memory["usage"], inactive),
        cpu_ns=statistics["cpu_stats"]["cpu_usage"]["total_usage"],
    )
