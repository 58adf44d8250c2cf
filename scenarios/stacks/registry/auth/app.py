"""HTTP around the token protocol: one route, answers and errors as JSON that is never cached."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request

from auth.tokens import Refused, TokenService


def create(service: TokenService) -> Flask:
    """Make the application around a token service."""
    app = Flask("auth", static_folder=None)

    @app.get("/token")
    def by_get() -> Response:
        return _answer(service.get(request.args, request.args.getlist("scope"), _login()))

    @app.post("/token")
    def by_post() -> Response:
        return _answer(service.post(request.form))

    @app.errorhandler(Refused)
    def refused(error: Refused) -> tuple[Response, int]:
        return _error(error.code, str(error)), error.status

    @app.errorhandler(ConnectionError)
    def store_is_gone(error: ConnectionError) -> tuple[Response, int]:
        app.logger.error("%s", error)
        return _error("temporarily_unavailable", str(error)), 503

    return app


def _login() -> tuple[str, str] | None:
    """Return name and password of the Basic header; None without one, and a login that fails for a garbled one."""
    if "Authorization" not in request.headers:
        return None
    sent = request.authorization
    if sent is None or sent.type != "basic":
        return "", ""
    return sent.username or "", sent.password or ""


def _answer(body: dict[str, Any]) -> Response:
    response = jsonify(body)
    response.headers["Cache-Control"] = "no-store"  # RFC 6749 section 5.1
    return response


def _error(code: str, description: str) -> Response:
    response = _answer({"error": code, "error_description": description})
    if code == "invalid_client":  # RFC 6749 section 5.2: the 401 names the scheme that the client used
        response.headers["WWW-Authenticate"] = 'Basic realm="registry"'
    return response
