"""Redis as the keeper of answers: a pool of connections, and one error for all that goes wrong with it."""

from __future__ import annotations

import redis

_ANSWER_S = 5
_CONNECT_S = 2
_CONNECTIONS = 16


class RedisStore:
    """Values by name, each for some seconds."""

    def __init__(self, url: str) -> None:
        # Blocking: a request waits for a free connection rather than failing because all are in use.
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_ANSWER_S,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_CONNECT_S,
        )
        self._client = redis.Redis(connection_pool=pool)

    def get(self, name: str) -> bytes | None:
        """Return a value, None if there is none; raises ConnectionError."""
        try:
            value: bytes | None = self._client.get(name)
        except redis.RedisError as error:
            raise ConnectionError(str(error)) from error
        return value

    def set(self, name: str, value: str, *, seconds: int) -> None:
        """Keep a value; raises ConnectionError."""
        try:
            self._client.set(name, value, ex=seconds)
        except redis.RedisError as error:
            raise ConnectionError(str(error)) from error
