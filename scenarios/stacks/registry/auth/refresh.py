"""Refresh tokens in Redis: opaque, of one user and one service, and gone when their life is over."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import redis

_ANSWER_S = 5
_CONNECT_S = 2

Store = Callable[[], AbstractContextManager[redis.Redis]]


class RefreshTokens:
    """Issues and finds refresh tokens in what `store` opens.

    The key is the token's SHA-256, so that a dump of the store gives away no token.
    """

    def __init__(self, store: Store, *, life_s: int) -> None:
        self._store = store
        self._life_s = life_s

    def issue(self, user: str, service: str) -> str:
        """Make a token for this user; raises ConnectionError when the store does not answer."""
        token = secrets.token_urlsafe(32)
        try:
            with self._store() as store:
                store.set(_key(token), json.dumps([user, service]), ex=self._life_s)
        except redis.RedisError as error:
            raise ConnectionError("the store of refresh tokens does not answer") from error
        return token

    def owner(self, token: str, service: str) -> str | None:
        """Return the user that the token was issued to, None if it is unknown; raises ConnectionError."""
        try:
            with self._store() as store:
                stored = store.get(_key(token))
        except redis.RedisError as error:
            raise ConnectionError("the store of refresh tokens does not answer") from error
        user, audience = json.loads(stored) if stored else (None, None)
        return user if audience == service else None


def opener(url: str, *, connections: int) -> Store:
    """Return how to reach the store: by a pool of so many connections, or by a new connection each time (0)."""
    return _pooled(url, connections) if connections else _new_each_time(url)


def _pooled(url: str, connections: int) -> Store:
    # Blocking: a request waits for a free connection rather than failing because all are in use.
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=_ANSWER_S,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=_CONNECT_S,
    )

    @contextmanager
    def opened() -> Iterator[redis.Redis]:
        yield redis.Redis(connection_pool=pool)

    return opened


def _new_each_time(url: str) -> Store:
    @contextmanager
    def opened() -> Iterator[redis.Redis]:
        pool = redis.ConnectionPool.from_url(url, socket_timeout=_ANSWER_S, socket_connect_timeout=_CONNECT_S)
        try:
            yield redis.Redis(connection_pool=pool)
        finally:
            pool.disconnect()

    return opened


def _key(token: str) -> str:
    return "refresh:" + hashlib.sha256(token.encode()).hexdigest()
