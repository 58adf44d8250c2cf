"""The HTTP/1.1 client of one user: requests over kept connections, each recorded, none retried in silence."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Protocol, Unpack

from seatrial.errors import UsageError
from seatrial.user.connection import Connection, Network
from seatrial.user.exchange import Exchange
from seatrial.user.flows import broken_off
from seatrial.user.http1 import Fault
from seatrial.user.message import Asked, Manners, Wanted, render
from seatrial.user.origin import Origin, split_url
from seatrial.user.response import Response
from seatrial.wire.tables import Outcome

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_LATEST_URLS = 1_024


class Ledger(Protocol):
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
        self, host: str, endpoints: Collection[str], manners: Manners, network: Network, ledger: Ledger
    ) -> None:
        self._home, prefix = split_url(host)
        self._prefix = prefix.rstrip("/")
        self._endpoints = frozenset(endpoints)
        self._manners = manners
        self._network = network
        self._ledger = ledger
        self._idle: dict[Origin, list[Connection]] = {}
        self._urls: dict[str, tuple[Origin, str]] = {}

    def get(self, target: str, *, endpoint: str, **asked: Unpack[Asked]) -> Response:
        """GET `target`."""
        return self.request("GET", target, endpoint=endpoint, **asked)

    def head(self, target: str, *, endpoint: str, **asked: Unpack[Asked]) -> Response:
        """HEAD `target`."""
        return self.request("HEAD", target, endpoint=endpoint, **asked)

    def post(self, target: str, *, endpoint: str, **asked: Unpack[Asked]) -> Response:
        """POST to `target`."""
        return self.request("POST", target, endpoint=endpoint, **asked)

    def put(self, target: str, *, endpoint: str, **asked: Unpack[Asked]) -> Response:
        """PUT to `target`."""
        return self.request("PUT", target, endpoint=endpoint, **asked)

    def request(self, method: str, target: str, *, endpoint: str, **asked: Unpack[Asked]) -> Response:
        """Do one request, record it, and return what became of it; a failure is a Response whose `ok` is False.

        UsageError for an endpoint that is not in the class's `endpoints`, ValueError for a request that can't be
        written down: both are mistakes of the locustfile, not of the server.
        """
        asked.setdefault("timeouts", self._manners.timeouts)
        wanted = Wanted(**asked)
        self._check(endpoint, wanted)
        origin, path = self._where(target)
        message = render(method, origin, path, wanted, self._manners)
        response = Response(method, endpoint, time.monotonic_ns())
        self._ledger.begun()
        try:
            self._exchange(response, wanted, origin, message)
        except Fault as fault:
            response.fail(fault.outcome, fault.reason)
        except BaseException as error:
            response.fail(broken_off(error), type(error).__name__)
            raise
        finally:
            self._close_books(response, wanted)
        return response

    def close(self) -> None:
        """Close every kept connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _close_books(self, response: Response, wanted: Wanted) -> None:
        if response.status in wanted.also:
            response.endpoint = wanted.also[response.status]
        elif response.status and response.status not in wanted.expect:
            response.fail(Outcome.STATUS, f"unexpected status {response.status}")
        if not response.ok or response.t_end_ns < response.t_start_ns:
            response.t_end_ns = time.monotonic_ns()
        self._ledger.ended(response)

    def _exchange(self, response: Response, wanted: Wanted, origin: Origin, message: bytes) -> None:
        exchange = Exchange(response, wanted)
        connection = self._kept(origin)
        if connection is not None:
            response.connection = "reused"
            try:
                self._over(exchange, connection, message)
            except Fault as fault:
                unanswered = fault.hung_up and not response.bytes_received
                if not unanswered or response.method not in _REPEATABLE:
                    raise
                response.connection = "replaced"
            else:
                return
        connection = self._network.connect(origin, min(wanted.timeouts.connect_s, wanted.timeouts.total_s))
        self._over(exchange, connection, message)

    def _over(self, exchange: Exchange, connection: Connection, message: bytes) -> None:
        try:
            reusable = exchange.over(connection, message)
        except BaseException:
            connection.close()
            raise
        if reusable and self._manners.keep_alive:
            connection.used = True
            self._idle.setdefault(connection.origin, []).append(connection)
        else:
            connection.close()

    def _kept(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not connection.closed_by_peer():
                return connection
            connection.close()
        return None

    def _check(self, endpoint: str, wanted: Wanted) -> None:
        for label in (endpoint, *wanted.also.values()):
            if label not in self._endpoints:
                raise UsageError(
                    f"the endpoint label {label!r} is not declared",
                    seen=repr(label),
                    expected=f"one of {', '.join(sorted(self._endpoints)) or 'none'}",
                    hint="add it to the user class's `endpoints`; ids and digests don't belong into a label",
                )

    def _where(self, target: str) -> tuple[Origin, str]:
        if target.startswith("/"):
            return self._home, self._prefix + target
        known = self._urls.get(target)
        if known is None:
            if len(self._urls) >= _LATEST_URLS:
                self._urls.clear()
            known = self._urls[target] = split_url(target)
        return known
