"""Limits of a request that no server is needed for: its time, its target, its labels, its head."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import pytest

from seatrial.errors import UsageError
from seatrial.http.exchange import Exchange
from seatrial.http.messages import (
    ClientOptions,
    OriginCache,
    RequestOptions,
    Response,
    Timeouts,
    render,
    shown,
    split_url,
)
from seatrial.http.parser import RequestError, parse_head
from seatrial.user.recorder import DECLARED_LIMIT, Recorder

_MS = 1_000_000


def _begun(ago_ms: int) -> Exchange:
    timeouts = Timeouts(connect_s=3.0, total_s=0.5)
    return Exchange(Response("GET", "page", time.monotonic_ns() - ago_ms * _MS), RequestOptions(timeouts=timeouts))


def test_a_connection_has_what_is_left_of_the_request() -> None:
    """One that replaces another begins late: 500 ms in all, whenever the connection is begun."""
    exchange = _begun(400)
    assert exchange.connect_due_ns == exchange.response.t_start_ns + 500 * _MS
    with pytest.raises(RequestError, match="too long in all"):
        _ = _begun(600).connect_due_ns


@pytest.mark.parametrize(
    "target",
    [
        "ftp://x/",
        "mailto:me",
        "http://[::1",
        "http://h:99999/",
        "http://h:port/",
        "http://me:word@h/",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://h/\u20ac",
        "http://a b/",
        "http:///x",
        "http+unix://%2Frun%2Fdocker.sock/containers/json",
    ],
)
def test_a_url_that_can_not_be_asked_for_is_an_outcome(target: str) -> None:
    """A server may name it in a Location; its words hold nothing of the URL."""
    with pytest.raises(RequestError) as caught:
        OriginCache("http://h").resolve(target)
    assert caught.value.outcome == "protocol"
    assert not {"word", "99999", "docker"} & set(caught.value.reason.replace("'", " ").split())


def test_what_is_neither_path_nor_url_is_a_mistake() -> None:
    """A locustfile wrote it; so far as it can't be a secret, it is shown."""
    with pytest.raises(ValueError, match=r"neither a path nor an absolute URL: 'page'$"):
        OriginCache("http://h").resolve("page?token=TOPSECRET")


@pytest.mark.parametrize("url", ["http://me:TOPSECRET/x@h/", "http://[TOPSECRET", "TOPSECRET"])
def test_the_words_on_a_bad_host_hold_no_secret(url: str) -> None:
    """Python's own would show the part of a password that it took for a port."""
    with pytest.raises(ValueError, match="URL") as caught:
        split_url(url)
    assert "TOPSECRET" not in str(caught.value)


def test_port_0_is_no_default() -> None:
    """A server's Location may name it; nobody listens there."""
    assert split_url("http://h:0/")[0].port == 0


def test_the_words_on_a_split_request_hold_no_secret() -> None:
    """Nor a query, nor what stands behind a line break."""
    origin, _ = split_url("http://h")
    client_options = ClientOptions("test/1", keep_alive=True, timeouts=Timeouts())
    for path in ("/a?token=TOPSECRET here", "/a\r\nCookie: TOPSECRET"):
        with pytest.raises(ValueError, match="line break") as caught:
            render("GET", origin, path, RequestOptions(), client_options)
        assert str(caught.value).endswith("GET '/a'")
    assert shown("//me:word@h/a#b") == "'h/a'"


def test_a_head_is_not_changed_by_who_reads_it() -> None:
    """The same bytes are parsed once, and shown to many."""
    head = parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n")
    with pytest.raises(TypeError):
        cast("Any", head.fields)["a"] = "c"
    with pytest.raises(TypeError):
        cast("Any", Response("GET", "page", 0).headers)["a"] = "c"


def test_labels_without_end_are_refused(tmp_path: Path) -> None:
    """Before the first row: a code of 16 bits would overflow in the middle of a run."""
    labels = [f"item {number}" for number in range(DECLARED_LIMIT + 1)]
    with pytest.raises(UsageError, match="more than 1000 endpoint labels") as caught:
        Recorder(tmp_path, 0, labels)
    assert caught.value.seen == "1001, such as 'item 0', 'item 1', 'item 2', 'item 3'"
    assert not list(tmp_path.iterdir())
    Recorder(tmp_path, 0, labels[1:]).close()
