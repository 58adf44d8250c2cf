"""Answers of other services, kept in Redis for some seconds or asked for each time."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Protocol
from urllib import error as url_error
from urllib import request as url_request

_ANSWER_S = 5.0
_NOT_FOUND = 404

Ask = Callable[[str], Any]
"""From a URL to the JSON that it answers; None where it is not found."""


class AskFailed(Exception):
    """A service did not answer, or not with JSON."""


class Store(Protocol):
    """What keeps answers; both raise ConnectionError when it does not answer."""

    def get(self, name: str) -> bytes | None:
        """Return a value, None if there is none."""

    def set(self, name: str, value: str, *, seconds: int) -> None:
        """Keep a value for so many seconds."""


class Answers:
    """Asks a service, and keeps what it said for `seconds`; 0: never.

    A refusal is kept as long as a permission is. A failure is not kept. Without Redis the service is asked.
    """

    def __init__(self, store: Store, ask: Ask, seconds: int) -> None:
        self._store = store
        self._ask = ask
        self._seconds = seconds

    def get(self, url: str) -> Any:  # noqa: ANN401  (whatever JSON holds)
        """Return the answer; raises AskFailed."""
        if not self._seconds:
            return self._ask(url)
        try:
            kept = self._store.get(f"answer:{url}")
        except ConnectionError as error:
            logging.getLogger(__name__).warning("the cache does not answer: %s", error)
            return self._ask(url)
        if kept is not None:
            return json.loads(kept)
        answer = self._ask(url)
        try:
            self._store.set(f"answer:{url}", json.dumps(answer), seconds=self._seconds)
        except ConnectionError as error:
            logging.getLogger(__name__).warning("the cache takes nothing: %s", error)
        return answer


def ask(url: str) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """GET JSON, on a connection of its own; None for 404, AskFailed for everything else that is not 200."""
    try:
        with url_request.urlopen(url, timeout=_ANSWER_S) as answer:  # noqa: S310  (the URL is from the settings)
            return json.load(answer)
    except url_error.HTTPError as error:
        if error.code == _NOT_FOUND:
            return None
        raise AskFailed(f"{url}: {error.code}") from error
    except (OSError, ValueError) as error:
        raise AskFailed(f"{url}: {error}") from error
