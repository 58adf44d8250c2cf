"""The deadline of one exchange."""

from __future__ import annotations

import time

import pytest

from seatrial.http.exchange import Exchange
from seatrial.http.messages import RequestOptions, Response, Timeouts
from seatrial.http.parser import RequestError

_MS = 1_000_000


def _begun(ago_ms: int) -> Exchange:
    timeouts = Timeouts(connect_s=3.0, total_s=0.5)
    return Exchange(Response("GET", "page", time.monotonic_ns() - ago_ms * _MS), RequestOptions(timeouts=timeouts))


def test_a_connect_has_the_rest_of_the_requests_time() -> None:
    """A replacement begins late: the request has 500 ms in all, whenever the connection is begun."""
    exchange = _begun(400)
    assert exchange.connect_due_ns == exchange.response.t_start_ns + 500 * _MS
    with pytest.raises(RequestError, match="too long in all"):
        _ = _begun(600).connect_due_ns
