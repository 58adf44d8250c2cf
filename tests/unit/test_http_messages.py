"""Request options, URLs, rendering and results, without a server."""

from __future__ import annotations

import pytest

from seatrial.http.messages import (
    ClientOptions,
    Origin,
    OriginCache,
    RequestOptions,
    Response,
    Timeouts,
    render,
    shown,
    split_url,
)
from seatrial.http.parser import ByteRange, RequestError

OPTIONS = ClientOptions("test/1", keep_alive=True, timeouts=Timeouts())


@pytest.mark.parametrize(
    ("url", "origin", "target", "authority"),
    [
        ("http://h", Origin("http", "h", 80), "/", "h"),
        ("https://H:443/a?b#c", Origin("https", "h", 443), "/a?b", "h"),
        ("http://[::1]:8080/a", Origin("http", "::1", 8080), "/a", "[::1]:8080"),
        ("http://h:0/", Origin("http", "h", 0), "/", "h:0"),
    ],
)
def test_a_url_is_an_origin_and_a_target(url: str, origin: Origin, target: str, authority: str) -> None:
    """Default ports, which 0 is not, are left out of the Host header; a fragment is never sent."""
    assert split_url(url) == (origin, target)
    assert origin.authority == authority


UNFIT_URLS = (
    *("ftp://x/", "mailto:me", "http://[::1", "http://h:99999/", "http://h:port/", "http://me:word@h/"),
    *("http://h/a b", "http://h/\r\nX: y", "http://h/\u20ac", "http://a b/", "http:///x"),
    "http+unix://%2Frun%2Fdocker.sock/containers/json",
)


@pytest.mark.parametrize("target", UNFIT_URLS)
def test_a_url_that_can_not_be_requested_is_an_outcome(target: str) -> None:
    """A server may name it in a Location; the reason has no part of the URL."""
    with pytest.raises(RequestError) as caught:
        OriginCache("http://h").resolve(target)
    assert caught.value.outcome == "protocol"
    assert not {"word", "99999", "docker"} & set(caught.value.reason.replace("'", " ").split())


def test_an_error_has_no_secret() -> None:
    """It shows the part before a query and a line break, and not what Python took for a port."""
    with pytest.raises(ValueError, match=r"neither a path nor an absolute URL: 'page'$"):
        OriginCache("http://h").resolve("page?token=TOPSECRET")
    for url in ("http://me:TOPSECRET/x@h/", "http://[TOPSECRET", "TOPSECRET"):
        with pytest.raises(ValueError, match="URL") as caught:
            split_url(url)
        assert "TOPSECRET" not in str(caught.value)
    for path in ("/a?token=TOPSECRET here", "/a\r\nCookie: TOPSECRET"):
        with pytest.raises(ValueError, match=r"line break.*GET '/a'$"):
            render("GET", Origin("http", "h", 80), path, RequestOptions(), OPTIONS)
    assert shown("//me:word@h/a#b") == "'h/a'"


def test_a_response_has_its_content_range() -> None:
    """First, last, total and length, read from the header; without one it is None."""
    response = Response("GET", "page", 0)
    assert response.content_range is None
    response.headers = {"content-range": "bytes 10-19/*"}
    part = response.content_range
    assert part is not None
    assert (part.first, part.last, part.total, part.length) == (10, 19, None, 10)


@pytest.mark.parametrize(
    ("byte_range", "field"),
    [((0, 0), "0-0"), ((5, 9), "5-9"), ((0, None), "0-"), ((7, None), "7-"), ((-3, None), "-3")],
)
def test_a_range_is_sent_as_a_header(byte_range: ByteRange, field: str) -> None:
    """It is sent as a header, and 206 is expected then, unless `expect` is given."""
    origin, path = split_url("http://h/a")
    options = RequestOptions(range=byte_range, headers={"A": "b"})
    assert f"\r\nA: b\r\nRange: bytes={field}\r\n\r\n".encode() in render("GET", origin, path, options, OPTIONS)
    assert (options.expect, RequestOptions(range=byte_range, expect=(200, 206)).expect) == ((206,), (200, 206))
    assert RequestOptions().expect == (200,)


def test_a_range_that_makes_no_sense_is_a_mistake() -> None:
    """Refused before anything is sent, as is one beside a Range header, or but for GET (RFC 9110 14.2)."""
    for byte_range in ((5, 4), (-5, 9), (-5, -1), (0, -1)):
        with pytest.raises(ValueError, match="not a range of bytes"):
            RequestOptions(range=byte_range)
    with pytest.raises(ValueError, match="both a Range header"):
        RequestOptions(range=(0, 1), headers={"rAnge": "bytes=0-1"})
    with pytest.raises(ValueError, match=r"only be asked for with GET: HEAD '/a'$"):
        render("HEAD", Origin("http", "h", 80), "/a?token=TOPSECRET", RequestOptions(range=(0, 1)), OPTIONS)
