"""How a trial is done, beside what is done: what differs between the verbs and the designs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from seatrial.load import driving
from seatrial.load.orders import Driven, Hooks, Orders
from seatrial.model import Spawn


class Perform(Protocol):
    """Drives a load through its phases, as `load.driving.drive` does."""

    def __call__(self, orders: Orders, hooks: Hooks, *, spawn: Spawn) -> Driven:
        """Drive it to its end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one trial is done.

    With `built` the images of its stack are taken as they are; `perform` drives its load, and `words` say how,
    where the load's own do not; its stack may stand `longer_s` than that load takes.
    """

    built: bool = False
    perform: Perform = driving.drive
    words: str = ""
    longer_s: float = 0.0
