"""A small real HTTP server that counts what it was asked, by path."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUS = {"/ok": 200, "/missing": 404, "/broken": 500}
BODY = b"x" * 20


class Counting:
    """The server: `url`, and how often each path was asked for and answered."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.released = threading.Event()
        asked, released, lock = self.asked, self.released, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                with lock:
                    asked[self.path] += 1
                if self.path == "/slow":
                    released.wait(10)
                    self.close_connection = True
                    return
                self.send_response(STATUS.get(self.path.partition("?")[0], 200))
                self.send_header("Content-Length", str(100 if self.path == "/short" else len(BODY)))
                self.end_headers()
                self.wfile.write(BODY)
                self.close_connection = self.path == "/short"

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that is killed hangs up in the middle of an answer

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self.released.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@contextmanager
def counting_server() -> Iterator[Counting]:
    """Serve on port 0 of loopback until the block ends."""
    server = Counting()
    try:
        yield server
    finally:
        server.close()
