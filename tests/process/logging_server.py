"""A real server that misbehaves by a rule, and logs what it did with each request: `PORT LOG`.

A request's `id` names it in the log, its path chooses the response: `/page` (each seventh of a connection's is a
503), `/slow` (answered after `SLOW_S`), `/held` (never). A connection is closed after its fifth answer; every 50th
is closed without an answer or in the middle of a body: see `Handler._verdict`. Each line of the log is
`t_ns id verdict`, written before the answer; the id of a request without one is `-`.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SLOW_S = 1.0
BODY = b"x" * 100
_ANSWERS_OF_A_CONNECTION = 5


class Misbehaving(ThreadingHTTPServer):
    """The server; its log is one `write` a line, which no two threads can mix."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, log: Path) -> None:
        self.connections = itertools.count(1)
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        super().__init__(("127.0.0.1", port), Handler)

    def note(self, name: str, verdict: str) -> None:
        """Write one line."""
        os.write(self._log, f"{time.monotonic_ns()} {name} {verdict}\n".encode())

    def handle_error(self, *_: object) -> None:
        """Print nothing of a client that has closed."""


class Handler(BaseHTTPRequestHandler):
    """Of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Misbehaving

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self._number = next(self.server.connections)
        self._answers = 0

    def do_GET(self) -> None:
        """Respond by the path and the number of the connection."""
        parts = urlsplit(self.path)
        name = parse_qs(parts.query).get("id", ["-"])[0]
        self._answers += 1
        verdict = self._verdict(parts.path)
        if verdict == "slow":
            self.server.note(name, "asked")
            time.sleep(SLOW_S)
        self.server.note(name, verdict)
        if verdict == "held":
            threading.Event().wait()
        if verdict == "closed":
            self.close_connection = True
            return
        self.close_connection = verdict == "truncated" or self._answers >= _ANSWERS_OF_A_CONNECTION
        self.send_response(503 if verdict == "status" else 200)
        self.send_header("Content-Length", str(len(BODY) * (2 if verdict == "truncated" else 1)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY)

    def _verdict(self, path: str) -> str:
        """Every 50th connection is closed instead of a first answer, or a third; every 50th cuts a body off."""
        number = self._number
        if path in {"/slow", "/held"}:
            return path[1:]
        if (number % 50 == 0 and self._answers == 1) or (number % 50 == 20 and self._answers == 3):
            return "closed"
        if number % 50 == 40 and self._answers == 2:
            return "truncated"
        return "status" if (number + self._answers) % 7 == 0 else "ok"

    def log_message(self, *_: object) -> None:
        """Stay silent: what counts is in the log."""


if __name__ == "__main__":
    Misbehaving(int(sys.argv[1]), Path(sys.argv[2])).serve_forever()
