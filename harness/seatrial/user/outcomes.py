"""What became of a request of which only Locust's `request` event tells: a status, and perhaps an exception."""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Iterator
from http import client as http

import gevent
import requests
import urllib3.exceptions as pool
from geventhttpclient._parser import HTTPParseError
from geventhttpclient.response import HTTPConnectionClosed
from geventhttpclient.useragent import BadStatusCode, EmptyResponse
from locust.exception import CatchResponseError

from seatrial.http.connection import UNREACHABLE
from seatrial.wire.tables import Outcome

_LEAST_FAILED_STATUS = 400
_DEEPEST = 12
_KEPT_AS = ("reason", "original")
"""Where urllib3's MaxRetryError and geventhttpclient's RetriesExceeded keep the exception behind them."""
_CUT_OFF = "Incomplete response"
"""How geventhttpclient's parser words the end of a connection in the middle of a body."""

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
"""The first line wins that any exception of the chain belongs to: what lies deepest is what happened."""


def outcome_of(status: int, exception: object, error: object = None) -> Outcome:
    """Return the outcome of one event.

    `status` is 0 without a response. `exception` is the event's; None means that Locust, or the locustfile's own
    check, took it for a success, whatever the status. `error` is what the client keeps of a failure to which the
    locustfile gave words of its own.
    """
    if exception is None or exception == "":
        return Outcome.OK
    if isinstance(exception, _BAD_STATUS):  # not what was being handled when the request was made
        return Outcome.STATUS
    if isinstance(exception, CatchResponseError):
        exception = error if status == 0 else None
    chain = list(_chain(exception)) if isinstance(exception, BaseException) else []
    return _network(status, chain) or (Outcome.STATUS if status >= _LEAST_FAILED_STATUS else Outcome.REJECTED)


def _network(status: int, chain: list[BaseException]) -> Outcome | None:
    if any(isinstance(one, HTTPConnectionClosed) for one in chain):
        return Outcome.TRUNCATED if status else Outcome.RESET
    if any(isinstance(one, HTTPParseError) and _CUT_OFF in str(one) for one in chain):
        return Outcome.TRUNCATED
    for kinds, outcome in _KINDS:
        if any(isinstance(one, kinds) for one in chain):
            return outcome
    if any(isinstance(one, OSError) and one.errno in UNREACHABLE for one in chain):
        return Outcome.REFUSED
    return None


def _chain(exception: BaseException) -> Iterator[BaseException]:
    """Yield an exception, and those that it wraps in any of the ways that HTTP clients have."""
    waiting, seen = [exception], set[int]()
    while waiting and len(seen) < _DEEPEST:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        told = (getattr(one, name, None) for name in _KEPT_AS)
        wrapped = (one.__cause__, one.__context__, *told, *one.args)
        waiting += [inner for inner in wrapped if isinstance(inner, BaseException)]
