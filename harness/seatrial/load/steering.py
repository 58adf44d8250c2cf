"""Commands to the load while it runs: gate, rate, shares and stop, each with the moment from which it holds."""

from __future__ import annotations

import time
from collections.abc import Callable

from seatrial.load.channel import Channel
from seatrial.load.workers_ import Workers
from seatrial.wire.rates import Rate

LEAD_NS = 200_000_000
"""How far ahead a change is sent: a busy event loop may be a few tens of milliseconds late."""


class LoadCommands:
    """Sends gate, rate, shares and stop to the load processes.

    All moments are CLOCK_MONOTONIC nanoseconds; a moment that is left out is `LEAD_NS` from now.
    """

    def __init__(
        self, channel: Channel, workers: Workers, seed: int, *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._channel = channel
        self._workers = workers
        self._seed = seed
        self._clock = clock
        self._shares: dict[int, tuple[float, float]] = {}
        self._stopped = False

    def gate(self, open_ns: int, until_ns: int | None = None) -> None:
        """Let users begin flows from `open_ns` on and, where `until_ns` is given, none from then on."""
        self._channel.send("gate", open_ns=open_ns, until_ns=until_ns)

    def set_rate(self, rate: Rate, from_ns: int | None = None, *, seed: int | None = None) -> None:
        """Let arrivals follow `rate` from a moment on, which is also where its schedule begins.

        A `seed` of its own gives other random arrivals than those that were made before.
        """
        begin_ns = self._clock() + LEAD_NS if from_ns is None else from_ns
        self._channel.send(
            "rate",
            from_ns=begin_ns,
            origin_ns=begin_ns,
            **rate.to_json(),
            seed=self._seed if seed is None else seed,
        )

    def share_out(self, from_ns: int | None = None) -> None:
        """Tell each worker which arrivals are its own, if that has changed since it was last told."""
        shares = self._workers.shares()
        if shares == self._shares or self._stopped:
            return
        begin_ns = self._clock() + LEAD_NS if from_ns is None else from_ns
        for connection, (low, high) in shares.items():
            if self._shares.get(connection) != (low, high):
                self._channel.send_to(connection, "share", from_ns=begin_ns, low=low, high=high)
        self._shares = shares

    def stop(self, drain_s: float) -> None:
        """Let no new flow begin; what runs may end within `drain_s`."""
        self._stopped = True
        self._channel.send("stop", drain_s=drain_s)
