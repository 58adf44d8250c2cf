"""The kinds of work at which the clients are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SMALL_BYTES = 1024
LARGE_BYTES = 64 * 1024 * 1024
Conduct = Literal["drain", "read", "sha256"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One kind of requests: how many at once, of which body, over which connections.

    `conduct` is the use of a body: discarded, read by the client's program, or hashed. `most` bounds
    the requests of a window, because each new connection keeps a port busy for a while.
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
        Work(name="sha256", connections=4, body_bytes=LARGE_BYTES, conduct="sha256"),
        Work(name="tls", connections=4, body_bytes=LARGE_BYTES, tls=True),
        Work(name="tls sha256", connections=4, body_bytes=LARGE_BYTES, conduct="sha256", tls=True),
    )
}
