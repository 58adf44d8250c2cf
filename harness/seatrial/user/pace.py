"""When a user begins its next task: after its own wait and behind the gate, or with its next arrival."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
from gevent import GreenletExit
from locust import TaskSet, User
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from seatrial.errors import UsageError
from seatrial.user.arrivals import Arrivals
from seatrial.user.gate import Gate
from seatrial.user.ledger import UserLedger

_OWN_WAITS = ("wait_time", "wait", "min_wait", "max_wait", "wait_function")


class Pace:
    """Takes the place of a user's `wait_time`, and lets its first task wait, too.

    Locust calls `wait_time` in the state in which a user may be killed at once, and sleeps for what it returns; so
    the wait can be done within, and 0 returned. What a user does between two waits belongs to one arrival, also
    where Locust runs several tasks without a wait between them (`self.interrupt()`).
    """

    def __init__(self, user: Any, ledger: UserLedger, arrivals: Arrivals, gate: Gate) -> None:  # noqa: ANN401  (a User whose methods are replaced)
        self._user = user
        self._ledger = ledger
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
        """Return when the arrival that is being served was due, to the first who asks; later ones get None."""
        due_ns, self._due_ns = self._due_ns, None
        return due_ns

    def end(self) -> None:
        """Take note that the task, or the user, has ended."""
        if self._serving:
            self._serving = False
            self._due_ns = None
            self._ledger.intend(None)
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
        """Tell whether arrivals drive this user, or did: when they have ended, its own waits don't come back."""
        self._driven = self._driven or self._arrivals.on
        return self._driven

    def _await_arrival(self) -> None:
        due_ns = self._arrivals.wait()
        if self._user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001  (woken before the kill reached it)
            self._arrivals.give_back(due_ns)
            raise GreenletExit
        self._serving = True
        self._due_ns = self._began_due_ns = due_ns
        self._ledger.intend(due_ns)


def refuse_own_waits(user_class: type[User]) -> None:
    """Raise UsageError if a TaskSet of this class has a wait of its own, which arrivals could not replace."""
    for task_set in _task_sets(user_class.tasks):
        own = [name for cls in task_set.__mro__ if not _locusts(cls) for name in _OWN_WAITS if name in vars(cls)]
        if own:
            raise UsageError(
                "a TaskSet with a wait of its own can't be driven by arrivals",
                where=f"{user_class.__name__}: {task_set.__name__}",
                seen=", ".join(dict.fromkeys(own)),
                expected="that users wait for nothing but their next arrival",
                hint="set wait_time on the user class only, where --rate replaces it",
            )


def _task_sets(tasks: Any) -> Iterator[type[TaskSet]]:  # noqa: ANN401  (list, or TaskSet, as Locust takes it)
    for one in dict.fromkeys(tasks):
        if isinstance(one, type) and issubclass(one, TaskSet):
            yield one
            yield from _task_sets(one.tasks)


def _locusts(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in {"locust", "builtins"}
