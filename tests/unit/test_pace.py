"""When a user begins its next task, of which only the choice between its two ways of waiting is tested here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from seatrial.user.gate import Gate
from seatrial.user.pacing import Pacing


class _Arrivals:
    """Arrivals that come at once; `served` counts them."""

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self.served = 0

    def wait(self) -> int:
        self.served += 1
        return self.served

    def completed(self, due_ns: int) -> None:
        """Take note of an end; what was due has to be what was served."""
        assert due_ns == self.served


def _paced(arrivals: _Arrivals) -> tuple[Any, list[str]]:
    own: list[str] = []

    def own_wait() -> float:
        own.append("own")
        return 0.0

    user: Any = SimpleNamespace(_state="running", wait_time=own_wait, on_start=lambda: None)
    ledger: Any = SimpleNamespace(intend=lambda _: None)
    whole: Any = arrivals
    Pacing(user, ledger, whole, Gate(open_now=True))
    return user, own


def test_arrivals_take_the_place_of_the_users_own_wait() -> None:
    """Once they come, also from the middle of a test on."""
    arrivals = _Arrivals(on=False)
    user, own = _paced(arrivals)
    user.on_start()
    user.wait_time()
    arrivals.on = True
    user.wait_time()
    assert (own, arrivals.served) == (["own"], 1)


def test_the_own_wait_does_not_come_back_when_arrivals_end() -> None:
    """Between the end of a schedule and the user's own it would begin a task that no arrival stands for."""
    arrivals = _Arrivals(on=True)
    user, own = _paced(arrivals)
    user.on_start()
    arrivals.on = False
    user.wait_time()
    assert (own, arrivals.served) == ([], 2)
