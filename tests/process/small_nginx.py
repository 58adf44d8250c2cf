"""A real nginx of one worker that serves one small file, and can be stopped for a time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trials import is_listening, wait_until

from seatrial.load.child import free_port

WITHIN_S = 10.0
_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
{user}
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000; root {folder}/files;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{ listen 127.0.0.1:{port} backlog=1024; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Stall:
    """A span in which not one instruction of the server was executed."""

    from_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Nginx:
    """The server: its URL, and the process of its master."""

    url: str
    pid: int

    def workers(self) -> list[int]:
        """Return the processes that serve."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(word) for word in children.split()]

    def stall(self, seconds: float) -> Stall:
        """Stop the workers for a time, and return a span within which they stood still."""
        workers = self.workers()
        try:
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: all(_state(pid) == "T" for pid in workers), WITHIN_S, every_s=0.005)
            from_ns = time.monotonic_ns()
            time.sleep(seconds)
            return Stall(from_ns, time.monotonic_ns())
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)


@contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """Serve `/small`, 1 KiB, from `folder` while the block runs."""
    (folder / "files").mkdir()
    (folder / "files" / "small").write_bytes(bytes(1024))
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # its worker has to reach the test's own folder
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, port=port, user=user))
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert program is not None
    argv = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_listening(port) or process.poll() is not None, WITHIN_S, every_s=0.005)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield Nginx(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()  # its workers end with it, unlike after SIGKILL
        process.wait(WITHIN_S)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
