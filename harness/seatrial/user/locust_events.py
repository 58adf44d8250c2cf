"""Users that are not ours (HttpUser, FastHttpUser, any User): let in as ours, recorded from Locust's events.

An event tells name, method, status, duration and the length of the body. It is silent about the first byte, the
connection, the bytes sent, and a request that was in flight at the end: those stay null, or are not there.
"""

from __future__ import annotations

import os
import time
from functools import wraps
from typing import Any

import gevent
import locust
from locust import User
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner

from seatrial.errors import SeatrialError
from seatrial.http.response import Response
from seatrial.units import NS_PER_S
from seatrial.user import log_lines, numbering
from seatrial.user import standalone as recording
from seatrial.user.diary import foreign_classes
from seatrial.user.outcomes import outcome_of
from seatrial.user.session import Session
from seatrial.wire.control import PLAN_VARIABLE
from seatrial.wire.redaction import masked_url
from seatrial.wire.streams import NULL
from seatrial.wire.tables import LABEL_LIMIT, METHODS, UNKNOWN_USER

SOURCE = "locust events"
_NUMBER = "seatrial_user"
_NS_PER_MS = 1_000_000
_LARGEST_STATUS = 65_535


def listen() -> None:
    """Take part in this process's Locust, whatever it will run."""
    events: Any = locust.events
    events.init_command_line_parser.add_listener(recording.add_option)
    events.init.add_listener(_on_init)


def _on_init(environment: Environment, runner: object, **_: object) -> None:
    if PLAN_VARIABLE in os.environ:
        log_lines.tidy()
    foreign = foreign_classes(environment)
    if foreign:
        numbering.attend(environment)
    if not foreign or isinstance(runner, MasterRunner):
        return
    with recording.at_the_start():
        if PLAN_VARIABLE not in os.environ and recording.plan_of(environment) is None:
            return
        session = Session.of(environment)
    session.account.source = SOURCE
    for user_class in foreign:
        let_in(user_class, session)
    events: Any = environment.events
    events.request.add_listener(Events(session).on_request)


def let_in(user_class: Any, session: Session) -> None:  # noqa: ANN401  (`run` is declared final)
    """Have users of this class wait at the gate before they do anything, and give each a number."""
    own = user_class.run
    if hasattr(own, "__wrapped__"):  # a class that it inherits from was here before
        return

    @wraps(own)
    def run(user: User) -> None:
        try:
            session.gate.enter()
        except StopUser:
            return
        greenlet: Any = gevent.getcurrent()
        greenlet.spawn_tree_locals = {**(greenlet.spawn_tree_locals or {}), _NUMBER: session.user_number()}
        own(user)

    user_class.run = run


class Events:
    """Turns Locust's `request` events into records."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._refused = False
        self._labels: dict[str, str] = {}
        self._wall_minus_monotonic_ns = time.time_ns() - time.monotonic_ns()

    def on_request(self, response: object = None, **event: Any) -> None:  # noqa: ANN401  (whatever a client tells)
        """Record one event; those of LeanUsers are recorded already."""
        recorder = self._session.recorder
        if isinstance(response, Response) or recorder is None or self._refused:
            return
        row = self._row(response, event)
        # Greenlets that a user spawns share these locals with the user's own.
        shared = getattr(gevent.getcurrent(), "spawn_tree_locals", None) or {}
        try:
            recorder.learn(row.endpoint)
            recorder.request(row, NULL, int(shared.get(_NUMBER, UNKNOWN_USER)))
        except SeatrialError as error:
            self._refused = True
            self._session.refuse(error)
            return
        self._session.told(row)

    def _row(self, response: object, event: dict[str, Any]) -> Response:
        method = str(event["request_type"]).upper()
        start_ns, end_ns = self._stamps(event.get("start_time"), event["response_time"])
        row = Response(method if method in METHODS else "OTHER", self._label(str(event["name"])), start_ns)
        row.t_end_ns = end_ns
        status = getattr(response, "status_code", 0)
        row.status = status if isinstance(status, int) and 0 <= status <= _LARGEST_STATUS else 0
        row.outcome = outcome_of(row.status, event.get("exception"), getattr(response, "error", None))
        length = event["response_length"]
        row.bytes_received = int(length) if length is not None else NULL
        row.bytes_sent = NULL
        row.connection = ""
        return row

    def _label(self, name: str) -> str:
        known = self._labels.get(name)
        if known is None:
            known = masked_url(name)
            if len(self._labels) < LABEL_LIMIT:  # signed URLs are all different
                self._labels[name] = known
        return known

    def _stamps(self, start_s: float | None, took_ms: float | None) -> tuple[int, int]:
        """Return start and end; without a duration the end is not known, and without a start it is now."""
        took_ns = None if took_ms is None else round(took_ms * _NS_PER_MS)
        if start_s is None:
            start_ns = time.monotonic_ns() - (took_ns or 0)
        else:
            start_ns = round(start_s * NS_PER_S) - self._wall_minus_monotonic_ns
        return start_ns, NULL if took_ns is None else start_ns + took_ns
