"""Recording of any HttpUser or FastHttpUser from Locust's `request` events; log filters for their processes.

An event has name, method, status, duration and the length of the body. First byte, connection and bytes sent are
unknown, and stay null; a request that is in flight at the end has no event.

Locust logs requests by their URLs, and a traceback of every exception in a task: the filters mask and limit that.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
import traceback
import zlib
from collections.abc import Iterator
from functools import lru_cache, wraps
from http import client as http
from typing import Any

import gevent
import locust
import requests
import urllib3.exceptions as pool
from geventhttpclient._parser import HTTPParseError
from geventhttpclient.response import HTTPConnectionClosed
from geventhttpclient.useragent import BadStatusCode, EmptyResponse
from locust import User
from locust.env import Environment
from locust.exception import CatchResponseError, StopUser
from locust.runners import MasterRunner

from seatrial.errors import SeatrialError
from seatrial.http.connection import UNREACHABLE
from seatrial.http.messages import Response
from seatrial.units import NS_PER_S
from seatrial.user import distributed, standalone
from seatrial.user.health import DISTINCT_LIMIT
from seatrial.user.session import Session
from seatrial.user.standalone import foreign_classes
from seatrial.wire.control import PLAN_VARIABLE
from seatrial.wire.redaction import masked, masked_url
from seatrial.wire.streams import LABEL_LIMIT, METHODS, NULL, UNKNOWN_USER, Outcome

_LEAST_FAILED_STATUS = 400
_MOST_CHAINED = 12
_CAUSES = ("reason", "original")
"""Attributes in which urllib3's MaxRetryError and geventhttpclient's RetriesExceeded keep their cause."""
_CUT_OFF = "Incomplete response"
"""The message of geventhttpclient's parser when a connection ends in the middle of a body."""
_BAD_STATUS = (requests.HTTPError, BadStatusCode)
_KINDS: tuple[tuple[tuple[type[BaseException], ...], Outcome], ...] = (
    ((ConnectionRefusedError, socket.gaierror, pool.NameResolutionError), Outcome.REFUSED),
    ((TimeoutError, gevent.Timeout, requests.Timeout, pool.TimeoutError), Outcome.TIMEOUT),
    ((http.IncompleteRead, pool.IncompleteRead), Outcome.TRUNCATED),
    ((ConnectionResetError, BrokenPipeError, ConnectionAbortedError, EmptyResponse), Outcome.RESET),
    (
        (
            *(ssl.SSLError, pool.SSLError, requests.exceptions.SSLError, http.HTTPException, HTTPParseError),
            *(zlib.error, pool.DecodeError, requests.exceptions.ContentDecodingError),
            *(requests.TooManyRedirects, requests.exceptions.InvalidHeader),
        ),
        Outcome.PROTOCOL,
    ),
    ((requests.exceptions.ChunkedEncodingError,), Outcome.TRUNCATED),
    ((pool.NewConnectionError,), Outcome.REFUSED),
)
"""The first line that has an exception of the chain gives the outcome."""
SOURCE = "locust events"
_NUMBER = "seatrial_user"
_NS_PER_MS = 1_000_000
_LARGEST_STATUS = 65_535
_LOGGERS = ("", "locust", "locust.stats_logger")
"""The loggers to which `locust.log.setup_logging` gives handlers."""
_TASKS = "locust.user.task"


def listen() -> None:
    """Take part in this process's Locust, whatever users it will run."""
    events: Any = locust.events
    events.init_command_line_parser.add_listener(standalone.add_option)
    events.init.add_listener(_on_init)


def _on_init(environment: Environment, runner: object, **_: object) -> None:
    if PLAN_VARIABLE in os.environ:
        add_log_filters()
    foreign = foreign_classes(environment)
    if foreign:
        distributed.attend_numbers(environment)
    if not foreign or isinstance(runner, MasterRunner):
        return
    with standalone.exit_on_error():
        if PLAN_VARIABLE not in os.environ and standalone.plan_of(environment) is None:
            return
        session = Session.of(environment)
    session.reporter.source = SOURCE
    for user_class in foreign:
        put_behind_gate(user_class, session)
    events: Any = environment.events
    events.request.add_listener(LocustEvents(session).on_request)


def put_behind_gate(user_class: Any, session: Session) -> None:  # noqa: ANN401  (`run` is declared final)
    """Have users of this class wait at the gate before they do anything, and give each a number."""
    original = user_class.run
    if hasattr(original, "__wrapped__"):  # inherited from a class that was wrapped before
        return

    @wraps(original)
    def run(user: User) -> None:
        try:
            session.gate.enter()
        except StopUser:
            return
        greenlet: Any = gevent.getcurrent()
        greenlet.spawn_tree_locals = {**(greenlet.spawn_tree_locals or {}), _NUMBER: session.user_number()}
        original(user)

    user_class.run = run


def outcome_of(status: int, exception: object, error: object = None) -> Outcome:
    """Return the outcome of one event.

    `status` is 0 without a response. `exception` is the event's; None means that Locust, or the locustfile's own
    check, took it for a success, whatever the status. `error` is the client's own exception, where the locustfile
    replaced that of the event.
    """
    if exception is None or exception == "":
        return Outcome.OK
    if isinstance(exception, _BAD_STATUS):  # its context may be an exception of an earlier request
        return Outcome.STATUS
    if isinstance(exception, CatchResponseError):
        exception = error if status == 0 else None
    chain = list(_chain(exception)) if isinstance(exception, BaseException) else []
    outcome = Outcome.STATUS if status >= _LEAST_FAILED_STATUS else Outcome.REJECTED
    return _transport_outcome(status, chain) or outcome


def _transport_outcome(status: int, chain: list[BaseException]) -> Outcome | None:
    if any(isinstance(each, HTTPConnectionClosed) for each in chain):
        return Outcome.TRUNCATED if status else Outcome.RESET
    if any(isinstance(each, HTTPParseError) and _CUT_OFF in str(each) for each in chain):
        return Outcome.TRUNCATED
    for kinds, outcome in _KINDS:
        if any(isinstance(each, kinds) for each in chain):
            return outcome
    if any(isinstance(each, OSError) and each.errno in UNREACHABLE for each in chain):
        return Outcome.REFUSED
    return None


def _chain(exception: BaseException) -> Iterator[BaseException]:
    """Yield an exception, and those that it wraps in any of the ways of HTTP clients."""
    waiting, known = [exception], set[int]()
    while waiting and len(known) < _MOST_CHAINED:
        error = waiting.pop(0)
        if id(error) in known:
            continue
        known.add(id(error))
        yield error
        causes = (getattr(error, name, None) for name in _CAUSES)
        wrapped = (error.__cause__, error.__context__, *causes, *error.args)
        waiting += [inner for inner in wrapped if isinstance(inner, BaseException)]


def add_log_filters() -> None:
    """Install both filters in this process, whose log has been set up."""
    logging.getLogger(_TASKS).addFilter(Distinct())
    for handler in {handler for name in _LOGGERS for handler in logging.getLogger(name).handlers}:
        handler.addFilter(Masked())


class Distinct(logging.Filter):
    """Lets each message pass once, and DISTINCT_LIMIT of them; all are in the count of errors."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the message is new."""
        text = record.getMessage()
        if text in self._passed or len(self._passed) >= DISTINCT_LIMIT:
            return False
        self._passed.add(text)
        return True


class Masked(logging.Filter):
    """Takes secrets out of messages and tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record, and let it pass."""
        record.msg, record.args = masked(record.getMessage()), None
        if record.exc_info:
            record.exc_text = masked("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return True


class LocustEvents:
    """Turns Locust's `request` events into records."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._refused = False
        self._label = lru_cache(LABEL_LIMIT)(masked_url)
        self._wall_minus_monotonic_ns = time.time_ns() - time.monotonic_ns()

    def on_request(self, response: object = None, **event: Any) -> None:  # noqa: ANN401  (whatever fields a client has)
        """Record one event; requests of LeanUsers are recorded already."""
        recorder = self._session.recorder
        if isinstance(response, Response) or recorder is None or self._refused:
            return
        row = self._row(response, event)
        # Greenlets that a user spawns share these locals with the user's own.
        tree_locals = getattr(gevent.getcurrent(), "spawn_tree_locals", None) or {}
        try:
            recorder.learn(row.endpoint)
            recorder.request(row, NULL, int(tree_locals.get(_NUMBER, UNKNOWN_USER)))
        except SeatrialError as error:
            self._refused = True
            self._session.refuse(error)
            return
        self._session.reporter.count_event(row)

    def _row(self, response: object, event: dict[str, Any]) -> Response:
        method = str(event["request_type"]).upper()
        start_s, took_ms = event.get("start_time"), event["response_time"]
        took_ns = round((took_ms or 0) * _NS_PER_MS)
        start_ns = time.monotonic_ns() - took_ns  # without a start the end is now, without a duration unknown
        if start_s is not None:
            start_ns = round(start_s * NS_PER_S) - self._wall_minus_monotonic_ns
        row = Response(method if method in METHODS else "OTHER", self._label(str(event["name"])), start_ns)
        row.t_end_ns = NULL if took_ms is None else start_ns + took_ns
        status = getattr(response, "status_code", 0)
        row.status = status if isinstance(status, int) and 0 <= status <= _LARGEST_STATUS else 0
        row.outcome = outcome_of(row.status, event.get("exception"), getattr(response, "error", None))
        length = event["response_length"]
        row.bytes_received = int(length) if length is not None else NULL
        row.bytes_sent = NULL
        row.connection = ""
        return row
