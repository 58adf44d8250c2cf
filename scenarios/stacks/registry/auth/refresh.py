"""Refresh tokens in Redis: opaque, of one user and one service, and gone when their life is over."""

from __future__ import annotations

import hashlib
import json
import secrets

import redis


class RefreshTokens:
    """Issues and finds refresh tokens; connections come from one pool per worker.

    The key is the token's SHA-256, so that a dump of the store gives nobody a token.
    """

    def __init__(self, url: str, *, life_s: int, connections: int) -> None:
        # Blocking: a request waits for a free connection rather than failing because all are in use.
        pool = redis.BlockingConnectionPool.from_url(
            url, max_connections=connections, timeout=5, socket_timeout=5, socket_connect_timeout=2
        )
        self._store = redis.Redis(connection_pool=pool)
        self._life_s = life_s

    def issue(self, user: str, service: str) -> str:
        """Make a token for this user; raises ConnectionError when the store does not answer."""
        token = secrets.token_urlsafe(32)
        try:
            self._store.set(_key(token), json.dumps([user, service]), ex=self._life_s)
        except redis.RedisError as error:
            raise ConnectionError("the store of refresh tokens does not answer") from error
        return token

    def owner(self, token: str, service: str) -> str | None:
        """Return the user that the token was issued to, None if it is unknown; raises ConnectionError."""
        try:
            stored = self._store.get(_key(token))
        except redis.RedisError as error:
            raise ConnectionError("the store of refresh tokens does not answer") from error
        user, audience = json.loads(stored) if stored else (None, None)
        return user if audience == service else None


def _key(token: str) -> str:
    return "refresh:" + hashlib.sha256(token.encode()).hexdigest()
