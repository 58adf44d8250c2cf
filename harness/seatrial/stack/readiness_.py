"""Waits until the declared probes succeed through the front door."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import requests

from seatrial.errors import NotReady
from seatrial.model import HttpProbe, Probe

AGENT = "seatrial-probe"
_IN_A_ROW = 3
_PAUSE_S = 0.1
_ANSWER_S = 2.0

Ask = Callable[[str], int]
"""GET an address: the status, or OSError (which requests' errors are)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessWatch:
    """What is done during the wait: `watch` may raise, `report` returns the services' states for the error."""

    watch: Callable[[], None]
    report: Callable[[], str]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def await_ready(url: str, probes: tuple[Probe, ...], watch: ReadinessWatch, *, ask: Ask | None = None) -> None:
    """Try each probe until it succeeds three times in a row; NotReady when its time is over."""
    if ask is not None:
        for probe in probes:
            _await(url, probe, watch, ask)
        return
    with requests.Session() as session:
        session.trust_env = False  # a proxy can't reach the stack
        session.headers["User-Agent"] = AGENT
        for probe in probes:
            _await(url, probe, watch, lambda address: _status(session, address))


def _await(url: str, probe: HttpProbe, watch: ReadinessWatch, ask: Ask) -> None:
    started = watch.clock()
    successes, last = 0, "nothing"
    while successes < _IN_A_ROW:
        watch.watch()
        waited_s = watch.clock() - started
        if waited_s > probe.within_s:
            raise NotReady(
                f"the stack is not ready after {waited_s:.0f} s",
                where=f"GET {url}{probe.path}",
                seen=f"{last}\n{watch.report()}",
                expected=f"{probe.expect}, {_IN_A_ROW} times in a row, within {probe.within_s:g} s",
                hint="raise `within`, or mend what the log complains about",
            )
        try:
            status = ask(url + probe.path)
            successes = successes + 1 if status == probe.expect else 0
            last = f"status {status}"
        except OSError as error:
            successes, last = 0, _short(error)
        watch.sleep(_PAUSE_S)


def _status(session: requests.Session, address: str) -> int:
    with session.get(address, allow_redirects=False, timeout=_ANSWER_S, stream=True) as answer:
        return answer.status_code


def _short(error: OSError) -> str:
    text = str(error)
    for known in ("Connection refused", "timed out", "Connection reset", "No route to host"):
        if known in text:
            return known.lower()
    return f"{type(error).__name__}: {text}"
