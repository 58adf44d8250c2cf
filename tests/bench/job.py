"""The job of one client in one window, and its result: plain values, which a child process can take."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.works import WORKS, Work

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
