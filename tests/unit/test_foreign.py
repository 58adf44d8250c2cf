"""What Locust's events are taken for: outcomes, labels, stamps, and which options may be kept."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
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
from seatrial.user.standalone import option_names, without_secrets
from seatrial.wire.redaction import masked, masked_url
from seatrial.wire.streams import NULL, UNKNOWN_USER


def _requests_error(inner: Exception) -> requests.ConnectionError:
    """Wrap as requests and urllib3 do."""
    return requests.ConnectionError(pool.MaxRetryError(_no_pool(), "/", inner))


def _body_error(inner: Exception) -> requests.exceptions.ChunkedEncodingError:
    """Wrap as requests and urllib3 do while a body is read."""
    return requests.exceptions.ChunkedEncodingError(pool.ProtocolError("Connection broken", inner))


def _no_pool() -> Any:  # noqa: ANN401  (urllib3 only prints it)
    return None


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
        (0, _requests_error(pool.ReadTimeoutError(_no_pool(), "/", "late")), "timeout"),
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
    """The same failure has the same word, whichever client met it."""
    assert outcome_of(status, exception) == outcome


def test_words_of_the_locustfile_do_not_hide_what_happened() -> None:
    """`rest()` gives a refused connection words of its own; the client keeps the exception."""
    assert outcome_of(0, CatchResponseError("no JSON"), ConnectionRefusedError()) == "refused"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("/search?q=boat&page=2", "/search?q=boat&page=2"),
        ("/layer?X-Amz-Signature=0a1b&n=1", "/layer?X-Amz-Signature=...&n=1"),
        ("/login?user=me&access_token=abc#top", "/login?user=me&access_token=...#top"),
        ("http://me:word@host/x", "http://host/x"),
    ],
)
def test_a_label_holds_no_secret(name: str, kept: str) -> None:
    """Locust names a request after its whole URL, and tables are shown to others."""
    assert masked_url(name) == kept


def test_a_log_holds_no_secret() -> None:
    """The text around a URL stays: a table of Locust's, a traceback, a word with an `@`."""
    log = """GET      /item?page=2&token=TOPSECRET      10     0(0.00%)
    url = "http://me:word@host/x?Sig=0a1b", mail me@home? the key = 7
"""
    assert (
        masked(log)
        == """GET      /item?page=2&token=...      10     0(0.00%)
    url = "http://host/x?Sig=...", mail me@home? the key = 7
"""
    )


def test_only_the_names_of_options_are_kept() -> None:
    """A value may be a password."""
    assert option_names(["-f", "x.py", "-Hhttp://me:word@host", "--password=word", "--user", "me"]) == [
        "-f",
        "-H",
        "--password",
        "--user",
    ]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://me:word@host:80/v2/?key=1", "http://host:80/v2/"),
        ("http://[bad", "http://[bad"),
        ("http://me:word@[bad", "[bad"),
        ("http://me:wo/rd@host", "host"),
        ("me:word@host:80", "host:80"),
        ("localhost", "localhost"),
        ("", ""),
    ],
)
def test_a_host_is_kept_without_secrets(url: str, kept: str) -> None:
    """Also where it is no URL: it is written down before anybody finds that out."""
    assert without_secrets(url) == kept


class _Recorder:
    def __init__(self) -> None:
        self.rows: list[tuple[Response, int, int]] = []

    def learn(self, _label: str) -> None:
        """Know it."""

    def request(self, response: Response, flow_id: int, user: int) -> None:
        """Keep it."""
        self.rows.append((response, flow_id, user))


class _Session:
    def __init__(self) -> None:
        self.recorder = _Recorder()

        self.reporter = self

    def count_event(self, response: Response) -> None:
        """Count it."""


def _told(**fields: object) -> tuple[Response, int, int]:
    session: Any = _Session()
    whole = {"request_type": "GET", "name": "/", "response_time": 5.0, "response_length": 7}
    LocustEvents(session).on_request(**(whole | fields))
    (row,) = session.recorder.rows
    return row  # type: ignore[no-any-return]


def test_what_an_event_does_not_tell_is_null() -> None:
    """No first byte, no bytes sent, no connection, no flow, no user outside of a user's greenlet."""
    row, flow_id, user = _told(start_time=None)
    assert (row.t_first_byte_ns, row.bytes_sent, row.connection, row.status) == (NULL, NULL, "", 0)
    assert (flow_id, user) == (NULL, UNKNOWN_USER)
    assert row.t_end_ns - row.t_start_ns == 5_000_000


def test_an_event_of_another_protocol_is_kept_as_other() -> None:
    """A locustfile may tell of anything; without a duration there is no end, and so no latency."""
    row, _, _ = _told(request_type="WSR", response_time=None, response_length=None)
    assert (row.method, row.t_end_ns, row.bytes_received) == ("OTHER", NULL, NULL)


def test_a_bad_status_is_not_what_was_handled_before_it() -> None:
    """A locustfile that asks again after a timeout, and gets a 503."""
    answer = requests.HTTPError("503")
    answer.__context__ = requests.ReadTimeout("the first time")
    assert outcome_of(503, answer) == "status"
