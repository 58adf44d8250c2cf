"""Calls that may never return, with an end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def bounded(work: Callable[[], T], within_s: float) -> T:
    """Return what `work` returns, or raise what it raises; TimeoutError if that takes longer than `within_s`.

    The work is abandoned then: it goes on in a thread that does not keep this process alive.
    """
    outcome: Future[T] = Future()

    def do() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  (handed on to the caller as it is)
            outcome.set_exception(error)

    Thread(target=do, daemon=True).start()
    return outcome.result(timeout=within_s)
