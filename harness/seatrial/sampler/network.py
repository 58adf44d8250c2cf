"""Bytes received and sent, from `net/dev` of a network namespace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seatrial.sampler.reading import Descriptors, whole
from seatrial.wire.streams import NULL

_SENT_AT = 8
"""`net/dev`: eight receive fields (bytes first), then eight transmit fields (bytes first)."""


class Network:
    """The summed counters of the interfaces that `counts` says yes to; the loopback interface never counts."""

    def __init__(
        self, files: Descriptors, path: Path | None, counts: Callable[[str], bool] = lambda _name: True
    ) -> None:
        self._descriptor = files.optional(path)
        self._counts = counts

    def received_and_sent(self) -> tuple[int, int]:
        """Return both sums in bytes; NULL where there is no such file."""
        if self._descriptor is None:
            return NULL, NULL
        received = sent = 0
        for line in whole(self._descriptor).splitlines()[2:]:
            name, _, rest = line.partition(b":")
            name = name.strip()
            if name != b"lo" and self._counts(name.decode()):
                fields = rest.split()
                received += int(fields[0])
                sent += int(fields[_SENT_AT])
        return received, sent


def namespace_of_its_own(pid: int, proc: Path) -> Path | None:
    """Return the process's `net/dev`; None if it shares our network namespace, whose counters are not its own."""
    folder = proc / str(pid)
    try:
        shared = (folder / "ns/net").readlink() == (proc / "self/ns/net").readlink()
    except OSError:
        return None
    return None if shared else folder / "net/dev"
