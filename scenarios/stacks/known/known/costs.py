"""The costs themselves: CPU in work units, memory that is really there, failures by count."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable

from known.settings import Settings

KIB = 1024
MIB = 1024 * KIB
PAGE_BYTES = 4096
BLOCK = bytes(range(256)) * 4
"""What one round hashes: 1 KiB, short of the 2,048 bytes from which hashlib lets go of the interpreter's lock."""

Sleep = Callable[[float], None]


def work(rounds: int) -> str:
    """Do so many rounds of SHA-256; the digest proves that all were done."""
    digest = hashlib.sha256()
    for _ in range(rounds):
        digest.update(BLOCK)
    return digest.hexdigest()


def held(size_bytes: int) -> bytearray:
    """Return memory with every page written to, so that the kernel had to give it."""
    memory = bytearray(size_bytes)
    for at in range(0, size_bytes, PAGE_BYTES):
        memory[at] = 1
    return memory


class Costs:
    """One worker's costs; what it holds is taken when it is made."""

    def __init__(
        self, settings: Settings, *, clock_s: Callable[[], float] = time.monotonic, sleep: Sleep = time.sleep
    ) -> None:
        self.settings = settings
        self._clock_s = clock_s
        self._sleep = sleep
        self._numbers = itertools.count(1)  # `next` of it is one step of the interpreter: threads share it
        self._held = held(settings.hold_mib * MIB)
        self._leaked: list[bytearray] = []

    @property
    def memory_bytes(self) -> int:
        """What is held and what has leaked."""
        return len(self._held) + sum(map(len, self._leaked))

    def work(self) -> str | None:
        """Pay for one request for work; None if it is one that fails, which costs nothing."""
        every = self.settings.fail_every
        if every and next(self._numbers) % every == 0:
            return None
        if self.settings.leak_kib:
            self._leaked.append(held(self.settings.leak_kib * KIB))
        return work(self.settings.work_rounds)

    def wait(self, started_s: float) -> None:
        """Keep the worker until the service time of a request that began at `started_s` is over."""
        self._sleep(max(0.0, started_s + self.settings.service_ms / 1000 - self._clock_s()))
