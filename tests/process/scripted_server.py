"""A server that runs a script on each connection, byte by byte, and a client of it; plain threads, port 0."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seatrial.http.client import Client
from seatrial.http.messages import ClientOptions, Response, Timeouts
from seatrial.http.network import Dialer

GIVE_UP_S = 10.0
GIVE_UP_BYTES = 65_536
HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BIG = bytes(range(256)) * 16_384  # 4 MiB


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, requests: list[bytes], released: threading.Event) -> None:
        self._socket = sock
        self._requests = requests
        self._released = released
        self.address: str = sock.getpeername()[0]

    def request(self) -> bytes:
        """Read one request, body included, and log it."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._received()
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < int(lengths[0] if lengths else 0):
            body += self._received()
        self._requests.append(head + b"\r\n\r\n" + body)
        return self._requests[-1]

    def head(self) -> None:
        """Read one request's head, and log it; what follows it is left to `exactly`."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += self._socket.recv(1)
            if len(data) > GIVE_UP_BYTES:
                raise ConnectionError("no head")
        self._requests.append(data)

    def exactly(self, count: int) -> None:
        """Read so many bytes, and log them."""
        data = b""
        while len(data) < count:
            data += self._received()
        self._requests.append(data)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def answer(self, data: bytes) -> None:
        """Read one request, and send this."""
        self.request()
        self.send(data)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hold(self) -> None:
        """Keep the connection open until the test is over."""
        self._released.wait(GIVE_UP_S)

    def gone(self) -> bool:
        """Whether the client closes."""
        try:
            return self._socket.recv(1) == b""
        except OSError:
            return True

    def _received(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the client closed")
        return data


Script = Callable[[Peer], object]


def answers(*messages: bytes) -> Script:
    """Answer one request by each message."""

    def script(peer: Peer) -> None:
        for message in messages:
            peer.answer(message)

    return script


def answers_for_ever(peer: Peer) -> None:
    """Answer every request by `hi`."""
    while True:
        peer.answer(HI)


def with_length(body: bytes) -> bytes:
    """Return a whole answer with this body."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def sha256(body: bytes) -> str:
    """Return the digest of a body, as the client takes it."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


class Scripted:
    """The server: `requests` as they came, `accepted` connections, `sent_all` once a script has ended."""

    def __init__(self, scripts: Sequence[Script], tls: ssl.SSLContext | None) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0
        self.released = threading.Event()
        self.sent_all = threading.Event()
        self._tls = tls
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(GIVE_UP_S)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        for script in self._scripts:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.released.is_set():
                sock.close()
                return
            self.accepted += 1
            thread = threading.Thread(target=self._play, args=(sock, script))
            self._threads.append(thread)
            thread.start()

    def _play(self, sock: socket.socket, script: Script) -> None:
        sock.settimeout(GIVE_UP_S)
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            script(Peer(sock, self.requests, self.released))
            self.sent_all.set()
        except OSError:
            pass
        finally:
            sock.close()

    def close(self) -> None:
        """End every script."""
        self.released.set()
        with socket.socket() as wake:  # a thread that waits in accept() is not woken by close()
            wake.connect(self._listener.getsockname())
        for thread in self._threads:
            thread.join(GIVE_UP_S)
        self._listener.close()


@contextmanager
def scripted(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Serve one script for each connection, in their order."""
    server = Scripted(scripts, tls)
    try:
        yield server
    finally:
        server.close()


def tls_keywords(folder: Path) -> dict[str, Any]:
    """Make a certificate for 127.0.0.1; return the keywords of `served` for it, with a client that trusts it."""
    path, key = folder / "server.pem", folder / "server.key"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    subprocess.run([*made, "-keyout", key, "-out", path], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    return {"tls": context, "network": Dialer(ca_file=str(path))}


class Book:
    """An observer that keeps the rows of all requests."""

    def __init__(self) -> None:
        self.open = 0
        self.rows: list[Response] = []

    def begun(self) -> None:
        """Count a request."""
        self.open += 1

    def ended(self, response: Response) -> None:
        """Keep its row."""
        self.open -= 1
        self.rows.append(response)


QUICK = Timeouts(connect_s=2.0, first_byte_s=2.0, idle_s=2.0, total_s=5.0)


@contextmanager
def client_of(
    url: str, *, keep_alive: bool = True, timeouts: Timeouts = QUICK, network: Dialer | None = None
) -> Iterator[tuple[Client, Book]]:
    """Give a client of this host, and the rows of its requests."""
    book = Book()
    client_options = ClientOptions("test/1", keep_alive=keep_alive, timeouts=timeouts)
    client = Client(url, ("page", "other"), client_options, network or Dialer(), book)
    try:
        yield client, book
    finally:
        client.close()


@contextmanager
def served(
    *scripts: Script,
    tls: ssl.SSLContext | None = None,
    **client: Any,  # noqa: ANN401  (as client_of takes them)
) -> Iterator[tuple[Scripted, Client, Book]]:
    """Serve the scripts to a client; `client` are the keywords of `client_of`."""
    with scripted(*scripts, tls=tls) as server, client_of(server.url, **client) as (user, book):
        yield server, user, book


def ask(message: bytes, method: str = "GET", **keywords: Any) -> Response:  # noqa: ANN401  (as requests take them)
    """Return the result of one request that is answered by this message."""
    with served(answers(message)) as (_, client, _):
        return client.request(method, "/", endpoint="page", **keywords)
