"""HTTP around the costs: a route for work, and one for time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, abort, request

from known.costs import Costs

STARTED = "known.started_s"

Start = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], Start], Iterable[bytes]]


def create(costs: Costs, *, clock_s: Callable[[], float] = time.monotonic) -> Flask:
    """Make the application around one worker's costs."""
    app = Flask("known", static_folder=None)

    @app.get("/work")
    def work() -> Response:
        digest = costs.work()
        if digest is None:
            abort(500)
        return Response(digest + "\n", mimetype="text/plain")

    @app.get("/wait")
    def wait() -> Response:
        costs.wait(request.environ[STARTED])
        return Response("done\n", mimetype="text/plain")

    app.wsgi_app = _stamped(app.wsgi_app, clock_s)  # type: ignore[method-assign]
    return app


def _stamped(inner: Wsgi, clock_s: Callable[[], float]) -> Wsgi:
    """Note when a request came, before Flask spends any time on it: the service time counts from here."""

    def outer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        environ[STARTED] = clock_s()
        return inner(environ, start)

    return outer
