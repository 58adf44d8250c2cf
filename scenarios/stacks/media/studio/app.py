"""HTTP around media: plain, signed and authorized requests, ingest, and the ping that needs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, abort, request

from studio import ingest, signing
from studio.access import CLIP, DEFAULT_GID, Access
from studio.addresses import Proxies, on_site
from studio.answers import AskFailed
from studio.delivery import Delivery
from studio.settings import Settings


class Door:
    """What a request has to pass before it gets a clip: the site's subnets, a signature, and the permission."""

    def __init__(self, settings: Settings, access: Access, proxies: Proxies, now_s: Callable[[], float]) -> None:
        self._settings = settings
        self._access = access
        self._proxies = proxies
        self._now_s = now_s

    def plain(self, clip: str) -> None:
        """Let a request from the site through; its single sign-on names the user in X-User."""
        self._from_the_site()
        self.permission(request.headers.get("X-User") or self._settings.default_user, clip)

    def signed(self, clip: str, path: str) -> None:
        """Let a signed URL through, wherever it comes from: it was given to a client outside of the site."""
        status = signing.check(path, request.args.to_dict(), self._settings.signing_key, self._now_s())
        if status != HTTPStatus.OK:
            abort(status)
        self.permission(request.args.get("user", ""), clip)

    def _from_the_site(self) -> None:
        peer, told = request.remote_addr or "", request.headers.get("X-Forwarded-For", "")
        if not on_site(self._proxies.client(peer, told), self._settings.subnets):
            abort(HTTPStatus.FORBIDDEN)

    def permission(self, user: str, clip: str) -> None:
        """Let a user through whom the services allow the clip."""
        if not (CLIP.fullmatch(clip) and self._access.allows(user, clip)):
            abort(HTTPStatus.FORBIDDEN)


def create(
    settings: Settings,
    access: Access,
    delivery: Delivery,
    proxies: Proxies,
    now_s: Callable[[], float] = time.time,
) -> Flask:
    """Make the application."""
    app = Flask("media", static_folder=None)
    _serve_clips(app, settings.root, Door(settings, access, proxies, now_s), delivery)
    _take_clips(app, settings)

    @app.get("/ping")
    def ping() -> str:
        return "pong\n"

    @app.errorhandler(AskFailed)
    def not_known(error: AskFailed) -> tuple[str, HTTPStatus, dict[str, str]]:
        app.logger.warning("%s", error)
        return "the permission is not known\n", HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "1"}

    return app


def _serve_clips(app: Flask, root: Path, door: Door, delivery: Delivery) -> None:
    def answer(clip: str) -> Response:
        file = root / clip
        if not file.is_file():
            abort(HTTPStatus.NOT_FOUND)
        return delivery.answer(file)

    @app.get("/media/<clip>")
    def plain(clip: str) -> Response:
        door.plain(clip)
        return answer(clip)

    @app.get("/signed/<clip>")
    def signed(clip: str) -> Response:
        door.signed(clip, request.path)
        return answer(clip)

    @app.get("/authorize/<kind>/<clip>")
    def authorize(kind: str, clip: str) -> tuple[str, HTTPStatus]:
        """Answer nginx's auth_request: the whole rule, or what is left once nginx has checked a signature."""
        if kind == "signed":
            door.permission(request.args.get("user", ""), clip)
        else:
            door.plain(clip)
        return "", HTTPStatus.NO_CONTENT


def _take_clips(app: Flask, settings: Settings) -> None:
    @app.put("/ingest/<clip>")
    def put(clip: str) -> tuple[str, HTTPStatus]:
        if not ingest.is_bearer(request.headers.get("Authorization", ""), settings.ingest_token):
            abort(HTTPStatus.UNAUTHORIZED)
        gid = request.headers.get("X-Asset-Gid", str(DEFAULT_GID))
        if not (CLIP.fullmatch(clip) and gid.isascii() and gid.isdigit()):
            abort(HTTPStatus.BAD_REQUEST)
        if request.content_length is None:
            abort(HTTPStatus.LENGTH_REQUIRED)
        try:
            is_new = ingest.store(settings.root / clip, request.stream, request.content_length, int(gid))
        except ValueError as error:
            return f"{error}\n", HTTPStatus.BAD_REQUEST
        return "", HTTPStatus.CREATED if is_new else HTTPStatus.NO_CONTENT
