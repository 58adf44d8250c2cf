"""The HTTP client: requests over kept connections."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection
from typing import Protocol, Unpack

from seatrial.errors import UsageError
from seatrial.http.connection import Connection
from seatrial.http.exchange import Exchange
from seatrial.http.messages import (
    Check,
    ClientOptions,
    Origin,
    OriginCache,
    RequestKeywords,
    RequestOptions,
    Response,
    check_method,
    outcome_of_exception,
    render,
)
from seatrial.http.network import Dialer
from seatrial.http.parser import RequestError
from seatrial.wire.streams import Outcome

_LATEST_MESSAGES = 16
"""Each user has its own: 1,500 of them with a long token in each message hold 24 MiB at most."""
_Way = tuple[Origin, bytes, list[Connection]]
"""Where a request goes, its message, and the idle connections to there."""


class RequestObserver(Protocol):
    """Takes note of requests."""

    def begun(self) -> None:
        """Take note that a request is on its way."""

    def ended(self, response: Response) -> None:
        """Take note of what it became; called exactly once for each that begun."""


class Client:
    """Requests of one user, relative to `host` or with an absolute URL.

    Each host has its own pool of kept connections. Redirects are not followed. Before anything is sent a kept
    connection is looked at: where the server has closed it, or sent what nobody asked for (RFC 9112 9.2), another
    is taken, and the row says `new` if that one is. What remains is a server that closes while the request is on
    its way: where no byte of a response came, a method that may be repeated (RFC 9110 9.2.2) is sent once more,
    over a new connection; the row says `replaced`, and its `bytes_sent` counts both. Nothing else is repeated.
    """

    def __init__(
        self,
        host: str,
        endpoints: Collection[str],
        manners: ClientOptions,
        network: Dialer,
        ledger: RequestObserver,
    ) -> None:
        self._targets = OriginCache(host)
        self._endpoints = frozenset(endpoints)
        self._manners = manners
        self._network = network
        self._ledger = ledger
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._messages: dict[tuple[object, ...], _Way] = {}

    def get(self, target: str, *, endpoint: str, **asked: Unpack[RequestKeywords]) -> Response:
        """GET `target`."""
        return self._do("GET", target, endpoint, asked)

    def head(self, target: str, *, endpoint: str, **asked: Unpack[RequestKeywords]) -> Response:
        """HEAD `target`."""
        return self._do("HEAD", target, endpoint, asked)

    def post(self, target: str, *, endpoint: str, **asked: Unpack[RequestKeywords]) -> Response:
        """POST to `target`."""
        return self._do("POST", target, endpoint, asked)

    def put(self, target: str, *, endpoint: str, **asked: Unpack[RequestKeywords]) -> Response:
        """PUT to `target`."""
        return self._do("PUT", target, endpoint, asked)

    def request(self, method: str, target: str, *, endpoint: str, **asked: Unpack[RequestKeywords]) -> Response:
        """Do one request, record it, and return what became of it; a failure is a Response whose `ok` is False.

        UsageError for an endpoint that is not in the class's `endpoints`, ValueError for a request that can't be
        written down: both are mistakes of the locustfile, not of the server. An absolute URL that can't be asked
        for mostly is the server's, from a Location: that request's outcome is `protocol`.
        """
        return self._do(method, target, endpoint, asked)

    def close(self) -> None:
        """Close every kept connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
            connections.clear()

    def _do(self, method: str, target: str, endpoint: str, asked: RequestKeywords) -> Response:
        if "timeouts" not in asked:
            asked["timeouts"] = self._manners.timeouts
        wanted = RequestOptions(**asked)
        if endpoint not in self._endpoints or wanted.also:
            self._check(endpoint, wanted)
        try:
            way = self._written(method, target, wanted)
        except RequestError as fault:
            return self._unsent(method, endpoint, wanted, fault)
        response = Response(method, endpoint, time.monotonic_ns())
        self._ledger.begun()
        try:
            self._exchange(Exchange(response, wanted), *way)
        except RequestError as fault:
            response.fail(fault.outcome, fault.reason)
        except BaseException as error:
            response.fail(outcome_of_exception(error), type(error).__name__)
            raise
        finally:
            self._close_books(response, wanted)
        return response

    def _unsent(self, method: str, endpoint: str, wanted: RequestOptions, fault: RequestError) -> Response:
        """Record a request whose target can't be asked for."""
        check_method(method)
        response = Response(method, endpoint, time.monotonic_ns())
        response.fail(fault.outcome, fault.reason)
        self._ledger.begun()
        self._close_books(response, wanted)
        return response

    def _close_books(self, response: Response, wanted: RequestOptions) -> None:
        status = response.status
        if status in wanted.also:
            response.endpoint = wanted.also[status]
        elif status and status not in wanted.expect:
            response.fail(Outcome.STATUS, f"unexpected status {status}")
        if response.outcome is not Outcome.OK or response.t_end_ns < response.t_start_ns:
            response.t_end_ns = time.monotonic_ns()
        try:
            if wanted.check is not None and response.outcome is Outcome.OK and status in wanted.expect:
                _apply(wanted.check, response)
        finally:
            self._ledger.ended(response)

    def _exchange(self, exchange: Exchange, origin: Origin, message: bytes, idle: list[Connection]) -> None:
        while idle:
            connection = idle.pop()
            if connection.speaks():
                connection.close()
                continue
            exchange.response.connection = "reused"
            try:
                self._over(exchange, connection, message, idle)
            except RequestError as fault:
                if not fault.hung_up or not exchange.repeatable:
                    raise
                exchange.response.connection = "replaced"
                break
            return
        connection = self._network.connect(origin, exchange.connect_due_ns)
        self._over(exchange, connection, message, idle)

    def _over(self, exchange: Exchange, connection: Connection, message: bytes, idle: list[Connection]) -> None:
        try:
            reusable = exchange.over(connection, message)
        except BaseException:
            connection.close()
            raise
        if reusable and self._manners.keep_alive:
            idle.append(connection)
        else:
            connection.close()

    def _check(self, endpoint: str, wanted: RequestOptions) -> None:
        for label in (endpoint, *wanted.also.values()):
            if label not in self._endpoints:
                raise UsageError(
                    f"the endpoint label {label!r} is not declared",
                    seen=repr(label),
                    expected=f"one of {', '.join(sorted(self._endpoints)) or 'none'}",
                    hint="add it to the user class's `endpoints`; ids and digests don't belong into a label",
                )

    def _written(self, method: str, target: str, wanted: RequestOptions) -> _Way:
        """Return the way of a request; the latest ones without a body are remembered."""
        if wanted.body is not None:
            origin, path = self._targets.where(target)
            return origin, render(method, origin, path, wanted, self._manners), self._idle[origin]
        key = (method, target, *wanted.headers.items()) if wanted.headers else (method, target)
        known = self._messages.get(key)
        if known is None:
            if len(self._messages) >= _LATEST_MESSAGES:
                self._messages.clear()
            origin, path = self._targets.where(target)
            message = render(method, origin, path, wanted, self._manners)
            known = self._messages[key] = origin, message, self._idle[origin]
        return known


def _apply(check: Check, response: Response) -> None:
    """Fail a response by the user model's own check; an exception of the check aborts the request, and goes on."""
    try:
        outcome = check(response)
        if outcome is not None:
            response.fail(Outcome(outcome), "refused by the user model's check")
    except BaseException as error:
        response.fail(outcome_of_exception(error), type(error).__name__)
        raise
