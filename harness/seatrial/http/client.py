"""The HTTP/1.1 client of one user: requests over pooled keep-alive connections, each reported to an observer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol, Unpack

from seatrial.errors import UsageError
from seatrial.http.connection import Connection
from seatrial.http.exchange import Exchange
from seatrial.http.messages import (
    ClientOptions,
    Origin,
    OriginCache,
    RequestKeywords,
    RequestOptions,
    Response,
    StreamKeywords,
    check_method,
    outcome_of_exception,
    render,
)
from seatrial.http.network import Dialer
from seatrial.http.parser import RequestError
from seatrial.http.stream import Stream
from seatrial.wire.streams import Outcome

_CACHED_MESSAGES = 16
"""Each user has its own: 1,500 of them with a long token in each message hold 24 MiB at most."""
_Route = tuple[Origin, bytes, list[Connection]]
"""The origin of a request, its message, and the idle connections to that origin."""
_Conduct = Callable[[Exchange, Connection, bytes, list[Connection]], None]
"""Sends a message over a connection, which is closed or kept afterwards, and reads the answer."""


class RequestObserver(Protocol):
    """Is notified of every request."""

    def begun(self) -> None:
        """Count a request that is on its way."""

    def ended(self, response: Response) -> None:
        """Record the result; called exactly once for each request that has begun."""


class Client:
    """Requests of one user, relative to `host` or with an absolute URL.

    Each host has its own pool of kept connections. Redirects are not followed. Before anything is sent a kept
    connection is looked at: where the server has closed it, or has sent bytes that no request is waiting for
    (RFC 9112 9.2), another is taken, and the row says `new` if that one is. What remains is a server that closes
    while the request is on its way: where no byte of a response came, a method that may be repeated
    (RFC 9110 9.2.2) is sent once more, over a new connection; the row says `replaced`, and its `bytes_sent` counts
    both. Nothing else is repeated.
    """

    def __init__(
        self,
        host: str,
        endpoints: Collection[str],
        client_options: ClientOptions,
        dialer: Dialer,
        observer: RequestObserver,
    ) -> None:
        self._origins = OriginCache(host)
        self._endpoints = frozenset(endpoints)
        self._client_options = client_options
        self._dialer = dialer
        self._observer = observer
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._routes: dict[tuple[object, ...], _Route] = {}

    def get(self, target: str, *, endpoint: str, **keywords: Unpack[RequestKeywords]) -> Response:
        """GET `target`."""
        return self._do("GET", target, endpoint, keywords)

    def head(self, target: str, *, endpoint: str, **keywords: Unpack[RequestKeywords]) -> Response:
        """HEAD `target`."""
        return self._do("HEAD", target, endpoint, keywords)

    def post(self, target: str, *, endpoint: str, **keywords: Unpack[RequestKeywords]) -> Response:
        """POST to `target`."""
        return self._do("POST", target, endpoint, keywords)

    def put(self, target: str, *, endpoint: str, **keywords: Unpack[RequestKeywords]) -> Response:
        """PUT to `target`."""
        return self._do("PUT", target, endpoint, keywords)

    def request(self, method: str, target: str, *, endpoint: str, **keywords: Unpack[RequestKeywords]) -> Response:
        """Do one request, record it, and return its result; a failure is a Response whose `ok` is False.

        UsageError for an endpoint that is not in the class's `endpoints`, ValueError for a request that can't be
        written down: both are mistakes of the locustfile, not of the server. An absolute URL that can't be
        requested mostly is the server's, from a Location: that request's outcome is `protocol`.
        """
        return self._do(method, target, endpoint, keywords)

    @contextmanager
    def stream(
        self, target: str, *, endpoint: str, fresh: bool = False, **keywords: Unpack[StreamKeywords]
    ) -> Iterator[Stream]:
        """GET `target`, and let the block read its body; the request is recorded once the block has ended.

        `fresh`: over a new connection, never a kept one. Where the block is left before the end of the body the
        connection is closed, and the outcome is `aborted`: that was on purpose. A failure is in the stream's
        response. Errors as in `request`, and TypeError for an option that only other requests have.
        """
        if others := keywords.keys() - StreamKeywords.__optional_keys__:
            raise TypeError(f"not an option of a stream: {', '.join(sorted(others))}")
        options = self._options(endpoint, keywords)
        response = Response("GET", endpoint, time.monotonic_ns())
        route: _Route | None = None
        try:
            route = self._route("GET", target, options)
        except RequestError as error:
            response.fail(error.outcome, error.reason)
        stream = Stream(response, options)
        self._observer.begun()
        try:
            if route is not None:
                self._begin_stream(stream, *route, fresh=fresh)
            yield stream
        except BaseException as error:
            if not stream.complete:
                response.fail(outcome_of_exception(error), type(error).__name__)
            raise
        finally:
            connection = stream.release()
            if connection is not None and route is not None:
                self._keep(connection, route[-1])
            self._finish(response, options)

    def close(self) -> None:
        """Close every kept connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
            connections.clear()

    def _do(self, method: str, target: str, endpoint: str, keywords: RequestKeywords) -> Response:
        options = self._options(endpoint, keywords)
        try:
            route = self._route(method, target, options)
        except RequestError as error:
            return self._unsent(method, endpoint, options, error)
        response = Response(method, endpoint, time.monotonic_ns())
        self._observer.begun()
        try:
            self._exchange(Exchange(response, options), self._perform, *route)
        except RequestError as error:
            response.fail(error.outcome, error.reason)
        except BaseException as error:
            response.fail(outcome_of_exception(error), type(error).__name__)
            raise
        finally:
            self._finish(response, options)
        return response

    def _options(self, endpoint: str, keywords: RequestKeywords | StreamKeywords) -> RequestOptions:
        if "timeouts" not in keywords:
            keywords["timeouts"] = self._client_options.timeouts
        options = RequestOptions(**keywords)
        if endpoint not in self._endpoints or options.also:
            self._check_labels(endpoint, options)
        return options

    def _unsent(self, method: str, endpoint: str, options: RequestOptions, error: RequestError) -> Response:
        """Record a request whose target can't be requested."""
        check_method(method)
        response = Response(method, endpoint, time.monotonic_ns())
        response.fail(error.outcome, error.reason)
        self._observer.begun()
        self._finish(response, options)
        return response

    def _finish(self, response: Response, options: RequestOptions) -> None:
        """Judge the status, apply the user model's `check`, and report the result.

        An exception of the check aborts the request, and goes on.
        """
        status = response.status
        if status in options.also:
            response.endpoint = options.also[status]
        elif status and status not in options.expect:
            response.fail(Outcome.STATUS, f"unexpected status {status}")
        if response.outcome is not Outcome.OK or response.t_end_ns < response.t_start_ns:
            response.t_end_ns = time.monotonic_ns()
        try:
            if options.check is not None and response.outcome is Outcome.OK and status in options.expect:
                outcome = options.check(response)
                if outcome is not None:
                    response.fail(Outcome(outcome), "refused by the user model's check")
        except BaseException as error:
            response.fail(outcome_of_exception(error), type(error).__name__)
            raise
        finally:
            self._observer.ended(response)

    def _begin_stream(
        self, stream: Stream, origin: Origin, message: bytes, idle: list[Connection], *, fresh: bool
    ) -> None:
        """Send the request and read its head; where that fails the response says why."""
        try:
            self._exchange(stream.exchange, partial(_begin, stream), origin, message, [] if fresh else idle)
        except RequestError as error:
            stream.response.fail(error.outcome, error.reason)

    def _exchange(
        self, exchange: Exchange, conduct: _Conduct, origin: Origin, message: bytes, idle: list[Connection]
    ) -> None:
        while idle:
            connection = idle.pop()
            if connection.has_input():
                connection.close()
                continue
            exchange.response.connection = "reused"
            try:
                conduct(exchange, connection, message, idle)
            except RequestError as error:
                if not error.hung_up or not exchange.repeatable:
                    raise
                exchange.response.connection = "replaced"
                break
            return
        connection = self._dialer.connect(origin, exchange.connect_due_ns)
        conduct(exchange, connection, message, idle)

    def _perform(self, exchange: Exchange, connection: Connection, message: bytes, idle: list[Connection]) -> None:
        try:
            reusable = exchange.perform(connection, message)
        except BaseException:
            connection.close()
            raise
        if reusable:
            self._keep(connection, idle)
        else:
            connection.close()

    def _keep(self, connection: Connection, idle: list[Connection]) -> None:
        if self._client_options.keep_alive:
            idle.append(connection)
        else:
            connection.close()

    def _check_labels(self, endpoint: str, options: RequestOptions) -> None:
        for label in (endpoint, *options.also.values()):
            if label not in self._endpoints:
                raise UsageError(
                    f"the endpoint label {label!r} is not declared",
                    seen=repr(label),
                    expected=f"one of {', '.join(sorted(self._endpoints)) or 'none'}",
                    hint="add it to the user class's `endpoints`; ids and digests don't belong into a label",
                )

    def _route(self, method: str, target: str, options: RequestOptions) -> _Route:
        """Return the route of a request; the latest ones without a body are cached."""
        if options.body is not None:
            origin, path = self._origins.resolve(target)
            return origin, render(method, origin, path, options, self._client_options), self._idle[origin]
        key = (method, target, *options.headers.items()) if options.headers else (method, target)
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= _CACHED_MESSAGES:
                self._routes.clear()
            origin, path = self._origins.resolve(target)
            message = render(method, origin, path, options, self._client_options)
            route = self._routes[key] = origin, message, self._idle[origin]
        return route


def _begin(
    stream: Stream, _exchange: Exchange, connection: Connection, message: bytes, _idle: list[Connection]
) -> None:
    """Begin a stream over this connection, which it holds until its end."""
    try:
        stream.begin(connection, message)
    except BaseException:
        connection.close()
        raise
