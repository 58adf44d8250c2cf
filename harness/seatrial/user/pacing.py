"""Pacing: when a user's next task begins, by its own wait, by arrivals, or by the gate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from gevent import GreenletExit
from locust import TaskSet, User
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, WorkerRunner
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from seatrial.errors import SeatrialError, UsageError
from seatrial.units import NS_PER_S
from seatrial.user.accounting import RequestAccounting
from seatrial.user.arrivals import Arrivals
from seatrial.user.distributed import ShareInbox, wall_minus_monotonic_ns
from seatrial.user.gate import Gate
from seatrial.user.options import rate_of
from seatrial.user.schedule import ArrivalFeed, Schedule
from seatrial.wire.control import Message
from seatrial.wire.rates import Rate

_OWN_WAITS = ("wait_time", "wait", "min_wait", "max_wait", "wait_function")


class Pacing:
    """Takes the place of a user's `wait_time`, and lets its first task wait, too.

    Locust calls `wait_time` in the state in which a user may be killed at once, and sleeps for as long as it
    returns: so the wait is done within, and 0 returned. Everything between two waits belongs to one arrival, also
    where Locust runs several tasks without a wait between them (`self.interrupt()`).
    """

    def __init__(self, user: Any, accounting: RequestAccounting, arrivals: Arrivals, gate: Gate) -> None:  # noqa: ANN401  (a User whose methods are replaced)
        self._user = user
        self._accounting = accounting
        self._arrivals = arrivals
        self._gate = gate
        self._serving = False
        self._driven = False
        self._due_ns: int | None = None
        self._began_due_ns = 0
        self._own_wait = user.wait_time
        self._own_start = user.on_start
        self._user.wait_time, self._user.on_start = self._wait, self._start

    def take_due_ns(self) -> int | None:
        """Return when the arrival that is being served was due; None from the second call on."""
        due_ns, self._due_ns = self._due_ns, None
        return due_ns

    def end(self) -> None:
        """Count the arrival that is being served, if any, as completed."""
        if self._serving:
            self._serving = False
            self._due_ns = None
            self._accounting.intend(None)
            self._arrivals.completed(self._began_due_ns)

    def _start(self) -> None:
        self._own_start()
        if self._is_driven():
            self._user._state = LOCUST_STATE_WAITING  # noqa: SLF001  (as in TaskSet.wait: it may be killed here)
            self._await_arrival()
            self._user._state = LOCUST_STATE_RUNNING  # noqa: SLF001

    def _wait(self) -> float:
        self.end()
        if self._is_driven():
            self._await_arrival()
            return 0.0
        wait_s = self._own_wait() if self._own_wait else 0.0
        if wait_s > 0:
            gevent.sleep(wait_s)
        self._gate.enter()
        return 0.0

    def _is_driven(self) -> bool:
        """Return whether arrivals drive this user, or did: when they have ended, its own waits don't come back."""
        self._driven = self._driven or self._arrivals.on
        return self._driven

    def _await_arrival(self) -> None:
        due_ns = self._arrivals.wait()
        if self._user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001  (woken before the kill reached it)
            self._arrivals.give_back(due_ns)
            raise GreenletExit
        self._serving = True
        self._due_ns = self._began_due_ns = due_ns
        self._accounting.intend(due_ns)


class OpenModel:
    """The arrivals of one process; without a rate this is the closed model.

    A harness (`steered`) sends rate and share. In plain Locust a schedule begins with each test, or, in a worker
    process, with the first share that the master sends.
    """

    def __init__(
        self,
        environment: Environment,
        gate: Gate,
        dropped: Callable[[int, int], None],
        *,
        steered: bool,
        seed: int,
    ) -> None:
        self.steered = steered
        self._environment = environment
        self._seed = seed
        self._origin_s: float | None = None
        self._wall_minus_monotonic_ns = 0
        self._refused: SeatrialError | None = None
        self._running: gevent.Greenlet[..., object] | None = None
        self._feed = ArrivalFeed(low=0.0, high=0.0, since_ns=time.monotonic_ns())  # nothing, until a share comes
        self.arrivals = Arrivals(self._feed, gate, dropped)
        events: Any = environment.events
        events.test_stopping.add_listener(lambda **_: self.arrivals.end())
        if not steered:
            events.test_start.add_listener(self._on_start)
            ShareInbox.of(environment).on_share(self._on_share)
            if getattr(environment.runner, "state", "") in {STATE_SPAWNING, STATE_RUNNING}:
                self._on_start()

    def admit(self, user_class: type[User]) -> None:
        """Raise UsageError if arrivals can't drive users of this class, or the rate of this test can't be read."""
        if self._refused is not None:
            raise self._refused
        if self.arrivals.on:
            check_drivable(user_class)

    def rate(self, message: Message) -> None:
        """Follow a `rate` message (`wire.control`); UsageError if these users can't be driven by arrivals."""
        for user_class in self._environment.user_classes:
            check_drivable(user_class)
        schedule = Schedule(Rate.from_json(message), origin_ns=message["origin_ns"], seed=message["seed"])
        self._follow(schedule, message["from_ns"])

    def share(self, message: Message) -> None:
        """Follow a `share` message (`wire.control`)."""
        self._feed.share(message["low"], message["high"], message["from_ns"])
        self.arrivals.wake()

    def _on_start(self, **_: object) -> None:
        """Begin with a test; its first user ends it if the rate can't be read, so that it is no closed one."""
        self._refused = None
        try:
            rate = rate_of(self._environment.parsed_options)
        except SeatrialError as error:
            self._refused = error
            return
        if rate is None:
            return
        if isinstance(self._environment.runner, WorkerRunner):
            self._begin()
        else:
            now_ns = time.monotonic_ns()
            self._feed.share(0.0, 1.0, now_ns)
            self._follow(Schedule(rate, origin_ns=now_ns, seed=self._seed), now_ns)

    def _on_share(self, message: Message) -> None:
        if not self.arrivals.on:  # sent before the end of the test, received after it
            return
        if message["origin_s"] != self._origin_s:
            self._origin_s = message["origin_s"]
            self._wall_minus_monotonic_ns = wall_minus_monotonic_ns()
            origin_ns = self._here_ns(message["origin_s"])
            rate = Rate.from_json(message["rate"])
            self._follow(Schedule(rate, origin_ns=origin_ns, seed=self._seed), origin_ns)
        self._feed.share(message["low"], message["high"], self._here_ns(message["from_s"]))
        self.arrivals.wake()

    def _here_ns(self, wall_s: float) -> int:
        return round(wall_s * NS_PER_S) - self._wall_minus_monotonic_ns

    def _follow(self, schedule: Schedule, from_ns: int) -> None:
        self._feed.follow(schedule, from_ns)
        self._begin()

    def _begin(self) -> None:
        if self._running is None:
            self._running = gevent.spawn(self.arrivals.run)
        self.arrivals.begin()


def check_drivable(user_class: type[User]) -> None:
    """Raise UsageError if arrivals can't drive users of this class, or replace the waits of its TaskSets."""
    if not hasattr(user_class, "endpoints"):
        raise UsageError(
            "only users that build on seatrial.user.LeanUser can be driven by arrivals",
            where=user_class.__name__,
            hint="leave out the rate: users then drive the load, each with its own waits",
        )
    for task_set in _task_sets(user_class.tasks):
        own = [
            name
            for cls in task_set.__mro__
            if cls.__module__.partition(".")[0] not in {"locust", "builtins"}
            for name in _OWN_WAITS
            if name in vars(cls)
        ]
        if own:
            raise UsageError(
                "a TaskSet with a wait of its own can't be driven by arrivals",
                where=f"{user_class.__name__}: {task_set.__name__}",
                seen=", ".join(dict.fromkeys(own)),
                expected="users that wait for nothing but their next arrival",
                hint="set wait_time on the user class only, where --rate replaces it",
            )


def _task_sets(tasks: Any) -> Iterator[type[TaskSet]]:  # noqa: ANN401  (list, or TaskSet, as Locust takes it)
    for task in dict.fromkeys(tasks):
        if isinstance(task, type) and issubclass(task, TaskSet):
            yield task
            yield from _task_sets(task.tasks)
