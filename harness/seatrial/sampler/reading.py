"""Kernel text files read through open descriptors: numbers, keyed values, PSI, network and disk counters.

A `pread` at offset 0 makes the kernel write such a file again. Measured: 0.5 µs for a one-number file and 3 µs for
`memory.stat`, against 5 to 8 µs for each file that is opened and closed again.

PSI totals move only every two seconds (the kernel's PSI_FREQ), however often they are read; disk, network and task
counts are used as rates. Leaving them out of nine ticks in ten halves the cost of reading a container.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Protocol

from seatrial.units import NS_PER_S
from seatrial.wire.streams import NULL, Reading

_NULL_TEXT = str(NULL).encode()
_ONE_PAGE = 4096
_LONG = 8192
_SURELY_WHOLE = 2048
"""The kernel fills at least a page before it cuts a list, so a shorter answer has not been cut."""
_SENT_AT = 8
"""`net/dev`: eight receive fields (bytes first), then eight transmit fields (bytes first)."""
_STACKED = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")
DEVICES = Path("/sys/dev/block")
GONE_ERRORS = frozenset({errno.ENOENT, errno.ENODEV, errno.ESRCH})
"""What the kernel answers on a descriptor whose cgroup or process no longer exists."""


class Descriptors:
    """The open files of one source."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def open(self, path: Path) -> int:
        """Open for reading; OSError if that can't be."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._open.append(descriptor)
        return descriptor

    def optional(self, path: Path | None) -> int | None:
        """Open, and read once: None where this kernel, or this user, has no such file."""
        try:
            descriptor = None if path is None else self.open(path)
            if descriptor is not None:
                os.pread(descriptor, _ONE_PAGE, 0)  # PSI files open, and answer EOPNOTSUPP, when psi=0
        except OSError:
            return None
        return descriptor

    def close(self) -> None:
        """Close all; may be called twice."""
        while self._open:
            os.close(self._open.pop())


def number(descriptor: int | None) -> int:
    """Read a file that holds one number; `max` and a missing file are NULL."""
    if descriptor is None:
        return NULL
    text = os.pread(descriptor, 32, 0)
    return NULL if text == b"max\n" else int(text)


def whole(descriptor: int) -> bytes:
    """Read a list file to its end: the kernel hands these out a page at a time."""
    parts = [os.pread(descriptor, _LONG, 0)]
    while len(parts[-1]) >= _SURELY_WHOLE:
        parts.append(os.pread(descriptor, _LONG, sum(map(len, parts))))
    return b"".join(parts)


class Keyed:
    """Selected values of a file of `key value` lines.

    The positions are fixed for a kernel, so they are looked up once; that the expected keys still stand there is
    verified at each reading, which costs a tenth of building a dictionary.
    """

    def __init__(self, descriptor: int | None, keys: Sequence[str], *, pages: bool = False) -> None:
        self._descriptor = descriptor
        self._keys = [key.encode() for key in keys]
        self._pages = pages
        self._names: tuple[bytes, ...] = ()
        self._names_of = itemgetter(-1, -1)
        self._values_at: list[int] = []

    def values(self) -> list[int]:
        """Return the values in the order of the keys; NULL where a key, or the file, is missing."""
        if self._descriptor is None:
            return [NULL] * len(self._keys)
        text = whole(self._descriptor) if self._pages else os.pread(self._descriptor, _LONG, 0)
        tokens = text.split()
        tokens.append(_NULL_TEXT)
        try:
            in_place = self._names_of(tokens) == self._names
        except IndexError:
            in_place = False
        if not in_place:
            self._learn(tokens)
        return [int(tokens[at]) for at in self._values_at]

    def _learn(self, tokens: list[bytes]) -> None:
        positions = {token: at for at, token in reversed(list(enumerate(tokens)))}
        keys_at = [positions.get(key, -2) for key in self._keys]
        self._names_of = itemgetter(-1, -1, *(at for at in keys_at if at >= 0))  # of one it would be no tuple
        self._names = self._names_of(tokens)
        self._values_at = [at + 1 for at in keys_at]  # a missing key points at the last token: NULL


class Pressure:
    """The three PSI files of a cgroup (`cpu.pressure`, ...) or of the host (`/proc/pressure/cpu`, ...)."""

    def __init__(self, files: Descriptors, folder: Path | None, suffix: str) -> None:
        paths = [None if folder is None else folder / f"{name}{suffix}" for name in ("cpu", "memory", "io")]
        self._descriptors = [files.optional(path) for path in paths]

    def columns(self) -> dict[str, int]:
        """Return the `some` totals of CPU, memory and I/O in nanoseconds (the kernel counts microseconds)."""
        columns = dict.fromkeys(("cpu_stall_ns", "memory_stall_ns", "io_stall_ns"), NULL)
        for name, descriptor in zip(columns, self._descriptors, strict=True):
            if descriptor is not None:
                line = os.pread(descriptor, 256, 0)
                columns[name] = int(line[line.index(b"total=") + 6 : line.index(b"\n")]) * 1000
        return columns


class Source(Protocol):
    """Reads one target through descriptors that stay open between readings."""

    @property
    def kind(self) -> str:
        """The name of this source in the summary, such as `cgroup v1`."""
        ...

    def read(self) -> Reading | None:
        """Read now; None where there is nothing new; OSError of GONE_ERRORS when the target has ended."""
        ...

    def close(self) -> None:
        """Close every descriptor."""
        ...


def scaled(value: int, factor: int) -> int:
    """Multiply `value`, and keep NULL."""
    return NULL if value == NULL else value * factor


def known_sum(*values: int) -> int:
    """Add the values that are not NULL; NULL if all are."""
    known = [value for value in values if value != NULL] if NULL in values else values
    return sum(known) if known else NULL


def remainder(whole: int, *parts: int) -> int:
    """Subtract the parts, never below 0: counters move in batches, at their own times; NULL if any is NULL."""
    if whole == NULL or NULL in parts:
        return NULL
    left = whole - sum(parts)
    return left if left > 0 else 0  # noqa: FURB136  (a call of `max` for each of many columns)


class SlowColumns:
    """A timer for the columns that are read once a second; due at the first call."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._due_ns = 0

    def due(self) -> bool:
        """Whether a second has passed since this was last true."""
        now_ns = self._clock()
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + NS_PER_S
        return True


class NetworkCounters:
    """The summed counters of the interfaces that `counts` accepts; the loopback interface never counts."""

    def __init__(
        self, files: Descriptors, path: Path | None, counts: Callable[[str], bool] = lambda _name: True
    ) -> None:
        self._descriptor = files.optional(path)
        self._counts = counts

    def columns(self) -> dict[str, int]:
        """Return the bytes received and sent; NULL where there is no such file."""
        if self._descriptor is None:
            return {"rx_bytes": NULL, "tx_bytes": NULL}
        received = sent = 0
        for line in whole(self._descriptor).splitlines()[2:]:
            name, _, rest = line.partition(b":")
            name = name.strip()
            if name != b"lo" and self._counts(name.decode()):
                fields = rest.split()
                received += int(fields[0])
                sent += int(fields[_SENT_AT])
        return {"rx_bytes": received, "tx_bytes": sent}


def own_net_dev(pid: int, proc: Path) -> Path | None:
    """Return the path of a process's `net/dev`; None if it shares our network namespace and its counters."""
    folder = proc / str(pid)
    try:
        shared = (folder / "ns/net").readlink() == (proc / "self/ns/net").readlink()
    except OSError:
        return None
    return None if shared else folder / "net/dev"


def is_disk(name: str) -> bool:
    """Whether a device is a whole disk by its kernel name, not a loop or stacked device."""
    return not name.startswith(_STACKED)


class Disks:
    """Looks devices up by their numbers, as cgroup files name them, once each."""

    def __init__(self, devices: Path = DEVICES) -> None:
        self._devices = devices
        self._known: dict[bytes, bool] = {}

    def counts(self, number: bytes) -> bool:
        """Whether `major:minor` is a whole disk; a device that this host does not show counts as one."""
        if number not in self._known:
            try:
                self._known[number] = is_disk((self._devices / number.decode()).readlink().name)
            except OSError:
                self._known[number] = True
        return self._known[number]
