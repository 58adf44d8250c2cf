"""A small HTTP server that counts its requests by path."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from process.served import Handler, served

STATUS = {"/ok": 200, "/missing": 404, "/broken": 500}
BODY = b"x" * 20


@dataclass
class Counting:
    """The server: `url`, and how often each path was requested and answered."""

    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def counting_server() -> Iterator[Counting]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    counting, lock = Counting(), threading.Lock()

    class CountingHandler(Handler):
        def do_GET(self) -> None:
            with lock:
                counting.asked[self.path] += 1
            if self.path == "/slow":
                counting.released.wait(10)
                self.close_connection = True
                return
            self.send_response(STATUS.get(self.path.partition("?")[0], 200))
            self.send_header("Content-Length", str(100 if self.path == "/short" else len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)
            self.close_connection = self.path == "/short"

    with served(CountingHandler) as counting.url:
        try:
            yield counting
        finally:
            counting.released.set()
