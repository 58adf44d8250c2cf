"""Asks a server the range cases, one connection and a bounded answer each, and reports what came of them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, quote, urlsplit

from seatrial.errors import PreflightFailed
from seatrial.measure.range_answers import RangeJudge
from seatrial.measure.ranges import LEAST_BYTES, RangeAnswer, RangeCase, RangeReport, RangeTarget, cases, target_of
from seatrial.stack.readiness import AGENT
from seatrial.wire.redaction import masked_url

MOST_BYTES = 1 << 20
"""Read of each answer; then the connection is closed."""
ANSWER_S = 5.0
"""The longest time for one answer; what came of its body until then is judged."""
_PIECE_BYTES = 64 << 10
_IN_TARGET = "/?%:@!$&'()*+,;="
"""Characters of a target that stay as they are (RFC 3986); what is encoded already stays so, too."""
_OK = 200


def ask_ranges(url: str, *, answer_s: float = ANSWER_S) -> RangeReport:
    """Ask all range cases of the file at `url`; PreflightFailed if that can't be fetched, or is too short.

    Nothing is asked twice, redirects are not followed, and no proxy is used.
    """
    place = urlsplit(url)
    plain = _answer(place, "GET", {}, answer_s)
    if plain.status != _OK:
        raise PreflightFailed(
            "there is no file to ask ranges of",
            where=f"GET {masked_url(url)}",
            seen=f"status {plain.status}" if plain.status else plain.error,
            expected="status 200",
        )
    first, *_ = cases(RangeTarget(size=None, plain=plain))
    opened = _ask(place, first, answer_s)
    target = target_of(plain, opened)
    if target.size is not None and target.size < LEAST_BYTES:
        raise PreflightFailed(
            "the file is too short for the range cases",
            where=f"GET {masked_url(url)}",
            seen=f"{target.size} bytes",
            expected=f"at least {LEAST_BYTES}",
        )
    judge, results = RangeJudge(target), []
    for case in cases(target):
        if case.prevented:
            results.append(judge.not_asked(case))
        else:
            answer = opened if case.name == first.name else _ask(place, case, answer_s)
            results.append(judge.judge(case, answer))
    return RangeReport(url=masked_url(url), size=target.size, results=tuple(results))


def _ask(place: SplitResult, case: RangeCase, answer_s: float) -> RangeAnswer:
    return _answer(place, case.method, dict(case.headers), answer_s)


def _answer(place: SplitResult, method: str, headers: dict[str, str], answer_s: float) -> RangeAnswer:
    """Send one request on a connection of its own, and read the beginning of its answer.

    The client of the standard library sends nothing but what it is told and decodes nothing.
    """
    kind = HTTPSConnection if place.scheme == "https" else HTTPConnection
    connection = kind(place.hostname or "", place.port, timeout=answer_s)
    target = quote((place.path or "/") + (f"?{place.query}" if place.query else ""), safe=_IN_TARGET)
    ends = time.monotonic() + answer_s
    try:
        connection.connect()
        with _cut_off(connection.sock, answer_s):
            named = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
            connection.request(method, target, headers=named)
            response = connection.getresponse()
            return _read(response, lambda: time.monotonic() < ends)
    except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: a host that is no name
        late = isinstance(error, TimeoutError) or time.monotonic() >= ends
        return RangeAnswer(error=f"none within {answer_s:g} s" if late else _words(error))
    finally:
        connection.close()


def _read(response: HTTPResponse, in_time: Callable[[], bool]) -> RangeAnswer:
    """Read at most MOST_BYTES of the body.

    A body that ends early has an `error`; one that is slow only if less than a piece came.
    """
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        seen = headers.get(name.lower())
        headers[name.lower()] = value if seen is None else f"{seen}, {value}"
    body, error, whole = bytearray(), "", False
    with response:
        try:
            while len(body) < MOST_BYTES and not whole:
                piece = response.read(min(_PIECE_BYTES, MOST_BYTES - len(body)))
                body += piece
                whole = not piece or response.isclosed()
            if response.length and len(body) < MOST_BYTES:
                error, whole = f"the body ends {response.length} bytes early", False
        except (OSError, HTTPException) as broken:
            error = _words(broken)
    if error and not in_time():
        error = "" if len(body) >= _PIECE_BYTES else f"{len(body)} bytes of the body within the time"
    return RangeAnswer(status=response.status, headers=headers, body=bytes(body), whole=whole, error=error)


@contextmanager
def _cut_off(connection: socket.socket, after_s: float) -> Iterator[None]:
    """Shut a connection down after this time: a time-out of a socket is that of each read, not of an answer."""

    def shut() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(after_s, shut)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
