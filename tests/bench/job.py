"""One client's job in one window, and its result: plain values, which a child process can take."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

SMALL_BYTES = 1024
LARGE_BYTES = 64 * 1024 * 1024
READ_BYTES = 64 * 1024
Conduct = Literal["drain", "read", "stream", "sha256"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One kind of requests: how many at once, of which body, over which connections.

    `conduct` is the use of a body: discarded, read by the client's program, the same in reads of READ_BYTES that
    the program asks for, or hashed. `most` bounds the requests of a window, because each new connection keeps a
    port busy for a while.
    """

    name: str
    connections: int
    body_bytes: int = SMALL_BYTES
    conduct: Conduct = "drain"
    tls: bool = False
    keep_alive: bool = True
    most: int = 10_000_000

    @property
    def large(self) -> bool:
        """Whether the body is the cost; then CPU time is given for each GiB."""
        return self.body_bytes == LARGE_BYTES

    @property
    def path(self) -> str:
        """The file of the server."""
        return "/large" if self.large else "/small"


WORKS = {
    work.name: work
    for work in (
        Work(name="small", connections=10),
        Work(name="new connection", connections=10, keep_alive=False, most=8_000),
        Work(name="1500 connections", connections=1_500),
        Work(name="drain", connections=4, body_bytes=LARGE_BYTES),
        Work(name="read", connections=4, body_bytes=LARGE_BYTES, conduct="read"),
        Work(name="stream", connections=4, body_bytes=LARGE_BYTES, conduct="stream"),
        Work(name="sha256", connections=4, body_bytes=LARGE_BYTES, conduct="sha256"),
        Work(name="tls", connections=4, body_bytes=LARGE_BYTES, tls=True),
        Work(name="tls sha256", connections=4, body_bytes=LARGE_BYTES, conduct="sha256", tls=True),
    )
}

GIVE_UP_S = 30.0
_ACCEPTS_LINE = 2
_STATUS_BYTES = 4096


class BenchFailed(Exception):
    """A client failed at its work, so that its figures mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One window of one client; `url` has no path, `sha256` is the digest of the large file, in hex."""

    client: str
    work_name: str
    url: str
    status_url: str
    ca_file: str
    sha256: str
    seconds: float

    @property
    def work(self) -> Work:
        """The work of this job."""
        return WORKS[self.work_name]

    @property
    def target(self) -> str:
        """The absolute URL of its file."""
        return self.url + self.work.path

    def encode(self) -> str:
        """Return it as one argument."""
        return json.dumps(asdict(self))

    @staticmethod
    def decode(text: str) -> Job:
        """Read that argument."""
        return Job(**json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One window's figures; `new_connections` are those beyond the ones that it began with."""

    requests: int
    body_bytes: int
    cpu_s: float
    peak_rss_mib: float
    new_connections: int
    stall_p99_ms: float | None = None


def accepts(status_url: str) -> int:
    """Return how many connections the server has accepted so far, that of this request included.

    Format: https://nginx.org/en/docs/http/ngx_http_stub_status_module.html
    """
    parts = urlsplit(status_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as client:
        client.sendall(f"GET {parts.path} HTTP/1.0\r\n\r\n".encode())
        answer = b""
        while (more := client.recv(_STATUS_BYTES)) and len(answer) < _STATUS_BYTES:
            answer += more
    return int(answer.partition(b"\r\n\r\n")[2].splitlines()[_ACCEPTS_LINE].split()[0])


def peak_rss_mib(pid: int | str) -> float:
    """Return a process's peak of resident memory, 0 once it has none.

    Not `ru_maxrss`: that begins with the size of the process that started this one (kernel, `exec_mmap`).
    """
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
