"""Outcomes and rows of Locust's request events."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
import requests
import urllib3.exceptions as pool
from geventhttpclient.response import HTTPConnectionClosed
from geventhttpclient.useragent import BadStatusCode
from locust.exception import CatchResponseError

from seatrial.http.messages import Response
from seatrial.user.locust_events import LocustEvents, outcome_of
from seatrial.wire.streams import NULL, UNKNOWN_USER

NO_POOL: Any = None  # urllib3 only prints it


def _requests_error(inner: Exception) -> requests.ConnectionError:
    """Wrap as requests and urllib3 do."""
    return requests.ConnectionError(pool.MaxRetryError(NO_POOL, "/", inner))


def _body_error(inner: Exception) -> requests.exceptions.ChunkedEncodingError:
    """Wrap as requests and urllib3 do while a body is read."""
    return requests.exceptions.ChunkedEncodingError(pool.ProtocolError("Connection broken", inner))


@pytest.mark.parametrize(
    ("status", "exception", "outcome"),
    [
        (200, None, "ok"),
        (404, None, "ok"),
        (404, requests.HTTPError("404"), "status"),
        (500, BadStatusCode("/", code=500), "status"),
        (500, CatchResponseError("no"), "status"),
        (200, CatchResponseError("no cart in it"), "rejected"),
        (200, ValueError("what a locustfile raises"), "rejected"),
        (0, "only words", "rejected"),
        (0, ConnectionRefusedError(errno.ECONNREFUSED, "no"), "refused"),
        (0, socket.gaierror(-2, "no such name"), "refused"),
        (0, OSError(errno.EHOSTUNREACH, "no route"), "refused"),
        (0, _requests_error(pool.ReadTimeoutError(NO_POOL, "/", "late")), "timeout"),
        (0, requests.ReadTimeout("late"), "timeout"),
        (0, gevent.Timeout(1), "timeout"),
        (0, TimeoutError("late"), "timeout"),
        (0, ConnectionResetError(), "reset"),
        (0, http.client.RemoteDisconnected("gone"), "reset"),
        (0, HTTPConnectionClosed("gone"), "reset"),
        (200, HTTPConnectionClosed("gone"), "truncated"),
        (0, _body_error(pool.IncompleteRead(1, 2)), "truncated"),
        (0, _body_error(ConnectionResetError()), "reset"),
        (0, ssl.SSLCertVerificationError("whose?"), "protocol"),
        (0, http.client.BadStatusLine("SSH-2.0"), "protocol"),
    ],
)  # fmt: skip
def test_an_exception_has_one_outcome(status: int, exception: object, outcome: str) -> None:
    """The same failure has the same word, whichever client had it."""
    assert outcome_of(status, exception) == outcome


def test_another_exception_does_not_hide_the_cause() -> None:
    """Neither a message by `rest()` a refused connection, nor a timeout before it the 503 of a second request."""
    assert outcome_of(0, CatchResponseError("no JSON"), ConnectionRefusedError()) == "refused"
    answer = requests.HTTPError("503")
    answer.__context__ = requests.ReadTimeout("the first time")
    assert outcome_of(503, answer) == "status"


def _row(**fields: object) -> tuple[Response, int, int]:
    """Return the row of one event with these fields: response, flow, user."""
    rows: list[Any] = []
    recorder = SimpleNamespace(learn=lambda _label: None, request=lambda *row: rows.append(row))
    session: Any = SimpleNamespace(recorder=recorder, reporter=SimpleNamespace(count_event=lambda _response: None))
    event = {"request_type": "GET", "name": "/", "response_time": 5.0, "response_length": 7}
    LocustEvents(session).on_request(**(event | fields))
    return rows[0]  # type: ignore[no-any-return]


def test_what_an_event_does_not_have_is_null() -> None:
    """Such as first byte, bytes sent, connection, flow, and user; any protocol, whose requests may have no end."""
    row, flow_id, user = _row(start_time=None)
    assert (row.t_first_byte_ns, row.bytes_sent, row.connection, row.status) == (NULL, NULL, "", 0)
    assert (flow_id, user) == (NULL, UNKNOWN_USER)
    assert row.t_end_ns - row.t_start_ns == 5_000_000
    other, _, _ = _row(request_type="WSR", response_time=None, response_length=None)
    assert (other.method, other.t_end_ns, other.bytes_received) == ("OTHER", NULL, NULL)
