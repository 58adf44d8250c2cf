"""What one process tells of itself, to its records and to the harness: each second, each mistake, its end."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent
from locust import User
from locust.env import Environment

from seatrial.errors import SeatrialError
from seatrial.http.response import Response
from seatrial.units import NS_PER_S
from seatrial.user import quota
from seatrial.user.accounting import Statistics
from seatrial.user.arrivals import Arrivals
from seatrial.user.control import Steering
from seatrial.user.flows import Flow
from seatrial.user.ledger import UserLedger
from seatrial.user.mistakes import Mistakes
from seatrial.user.recorder import Recorder
from seatrial.user.seconds import LEAST_NS, Seconds, health
from seatrial.wire import histogram as buckets
from seatrial.wire.tables import MOST_DETAILS, NOT_FAILURES, detail_ending, detail_numbers

_log = logging.getLogger("seatrial.user")


class DetailCounts:
    """Counts the numbers in flows' details by bucket; the first MOST_DETAILS pairs of flow and key are kept."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()
        self._counts: dict[str, dict[str, Counter[int]]] = {}

    def add(self, flow: str, detail: Mapping[str, object]) -> None:
        """Count the details of one flow."""
        for key, value in detail_numbers(detail).items():
            if (flow, key) not in self._known:
                if len(self._known) >= MOST_DETAILS:
                    continue
                self._known.add((flow, key))
            number = buckets.of_detail(detail_ending(key) or "", value)
            self._counts.setdefault(flow, {}).setdefault(key, Counter())[number] += 1

    def take(self) -> dict[str, dict[str, Counter[int]]]:
        """Return the counts since the last call: by flow, key and bucket."""
        counts, self._counts = self._counts, {}
        return counts


class Account:
    """Keeps the counts of process `worker`, and tells them once a second from `begin` until `finish`.

    `full` is called when more waits to be written than may be held in memory, with the reason. `source` says who
    tells of requests: our own client, or Locust's events, which are silent about a request's begin.
    """

    def __init__(
        self,
        environment: Environment,
        worker: int,
        arrivals: Arrivals,
        *,
        recorder: Recorder | None,
        steering: Steering | None,
        full: Callable[[SeatrialError], object],
    ) -> None:
        self.source = "client"
        self._environment = environment
        self._worker = worker
        self._arrivals = arrivals
        self._recorder = recorder
        self._steering = steering
        self._full = full
        self._endpoints: Sequence[str] = ()
        self._mistakes = Mistakes(self._tell_mistake)
        self._seconds = Seconds(allowed=quota.this_process(_siblings(environment)))
        self._statistics = Statistics(environment, buckets=steering is not None)
        self._details = DetailCounts()
        self._flows: Counter[str] = Counter()
        gevent.spawn(self._statistics.run)
        self._failed_write = ""
        self._finished = False

    def begin(self, endpoints: Sequence[str]) -> None:
        """Begin to tell; `endpoints` are the labels that are known from the beginning."""
        self._endpoints = endpoints
        events: Any = self._environment.events
        events.user_error.add_listener(self._mistakes.on_user_error)
        events.spawning_complete.add_listener(self._on_spawning_complete)
        gevent.spawn(self._seconds.lag.run)
        gevent.spawn(self._each_second)

    def ledger(self, user: User, number: int) -> UserLedger:
        """Return where the requests of this user are entered."""
        return UserLedger(user, number, self._seconds.pulse, self._recorder, self._statistics)

    def told(self, response: Response) -> None:
        """Count a request of which only its end is told."""
        self._statistics.note(response)
        pulse = self._seconds.pulse
        pulse.completed += 1
        pulse.failed += response.outcome not in NOT_FAILURES

    def flow_ended(self, flow: Flow) -> None:
        """Count a flow that ended, and what it reports of itself, where the harness listens."""
        if self._steering is not None:
            self._flows["flows"] += 1
            self._flows["flows_failed"] += flow.outcome not in NOT_FAILURES
            self._details.add(flow.name, flow.detail)

    def refused(self, error: SeatrialError) -> None:
        """Tell the harness that the load can't be run as it was asked for."""
        self._send("refused", what=str(error), exit_code=error.exit_code)

    def finish(self) -> None:
        """Count the last part of a second, and say `drained`, which is the last message; again does nothing."""
        if self._finished:
            return
        self._second()
        self._finished = True
        self._send("drained", errors=self._mistakes.count)

    def _send(self, kind: str, **fields: Any) -> None:  # noqa: ANN401  (a message's fields are JSON values)
        if self._steering is not None:
            self._steering.send(kind, worker=self._worker, **fields)

    def _on_spawning_complete(self, **_: object) -> None:
        self._send(
            "ready", pid=os.getpid(), endpoints=list(self._endpoints), source=self.source, users=self._users()
        )
        events: Any = self._environment.events
        events.spawning_complete.remove_listener(self._on_spawning_complete)

    def _tell_mistake(self, row: Mapping[str, Any]) -> None:
        if self._recorder is not None:
            self._recorder.error(row)
        self._send("error", **row)

    def _each_second(self) -> None:
        due_ns = time.monotonic_ns()
        while not self._finished:
            # after a blocked loop, too, a second and no mere rest
            due_ns = max(due_ns + NS_PER_S, time.monotonic_ns() + LEAST_NS)
            gevent.sleep(max(due_ns - time.monotonic_ns(), 0) / NS_PER_S)
            if not self._finished:
                self._second()

    def _second(self) -> None:
        counts, row = self._seconds.take(self._users(), *self._arrivals.take())
        if self._steering is not None:
            told = {"latency": self._statistics.latency(), "failures": self._statistics.failures(), **health(row)}
            flows, self._flows = self._flows, Counter()
            told |= {"details": self._details.take(), **flows}
            self._send("second", **counts, **told, errors=self._mistakes.count)
        if self._recorder is None:
            return
        begins_told = self.source == "client"
        self._recorder.second(row if begins_told else {**row, "in_flight": None, "offered": None})
        try:
            self._recorder.flush()
        except SeatrialError as error:
            self._on_unwritable(error, self._recorder)

    def _users(self) -> int:
        return int(getattr(self._environment.runner, "user_count", 0))

    def _on_unwritable(self, error: SeatrialError, recorder: Recorder) -> None:
        """Tell the harness, which ends the run; where nobody does, end it before the memory is full."""
        if str(error) != self._failed_write:
            self._failed_write = str(error)
            _log.error("%s", error)
            self._send("error", t_ns=time.monotonic_ns(), what=self._failed_write, fatal=True)
        if recorder.overflowing:
            self._full(error)


def _siblings(environment: Environment) -> int:
    """Return how many load processes of this machine share its cores."""
    return max(getattr(environment.parsed_options, "processes", 1) or 1, 1)
