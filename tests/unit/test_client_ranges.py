"""The rules of a byte range: what is asked for, and which answers are that range (RFC 9110 14)."""

from __future__ import annotations

import pytest

from seatrial.http.messages import (
    ClientOptions,
    RequestOptions,
    Response,
    Timeouts,
    render,
    split_url,
)
from seatrial.http.parser import ByteRange, ContentRange, RequestError, parse_content_range, verified_length

MANNERS = ClientOptions("test/1", keep_alive=True, timeouts=Timeouts())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes 0-1/9", ContentRange(0, 1, 9)),
        ("bytes 8-8/9", ContentRange(8, 8, 9)),
        ("BYTES 2-5/*", ContentRange(2, 5, None)),
        ("", None),
        ("bytes */9", None),
        ("bytes 2-1/9", None),
        ("bytes 0-9/9", None),
        ("bytes 0-1", None),
        ("bytes=0-1/9", None),
        ("bytes  0-1/9", None),
        ("bytes -1/9", None),
        ("bytes 0-1/+9", None),
        ("bytes 0-1/9, bytes 4-5/9", None),
        ("items 0-1/9", None),
        ("bytes 0-1/" + "9" * 20, None),
        ("bytes 0-\u0661/9", None),
    ],
)
def test_a_content_range_is_parsed_or_refused(text: str, part: ContentRange | None) -> None:
    """A last byte before the first, or a total that does not go beyond it, is invalid (RFC 9110 14.4)."""
    assert parse_content_range(text) == part


def test_a_response_has_its_content_range() -> None:
    """First, last, total and length, read from the header; without one it is None."""
    response = Response("GET", "page", 0)
    assert response.content_range is None
    response.headers = {"content-range": "bytes 10-19/*"}
    part = response.content_range
    assert part is not None
    assert (part.first, part.last, part.total, part.length) == (10, 19, None, 10)


@pytest.mark.parametrize(
    ("asked", "field"),
    [((0, 0), "0-0"), ((5, 9), "5-9"), ((0, None), "0-"), ((7, None), "7-"), ((-3, None), "-3")],
)
def test_a_range_is_asked_for_by_its_header(asked: ByteRange, field: str) -> None:
    """It stands among the headers, and 206 is what is expected then; an `expect` of one's own stands."""
    origin, path = split_url("http://h/a")
    wanted = RequestOptions(range=asked, headers={"A": "b"})
    assert f"\r\nA: b\r\nRange: bytes={field}\r\n\r\n".encode() in render("GET", origin, path, wanted, MANNERS)
    assert (wanted.expect, RequestOptions(range=asked, expect=(200, 206)).expect) == ((206,), (200, 206))
    assert RequestOptions().expect == (200,)


@pytest.mark.parametrize("asked", [(5, 4), (-5, 9), (-5, -1), (0, -1)])
def test_what_is_no_range_is_a_mistake(asked: ByteRange) -> None:
    """Nothing is sent for it."""
    with pytest.raises(ValueError, match="not a range of bytes"):
        RequestOptions(range=asked)


def test_a_range_and_its_header_are_a_mistake() -> None:
    """Two could ask for different bytes."""
    with pytest.raises(ValueError, match="both a Range header"):
        RequestOptions(range=(0, 1), headers={"rAnge": "bytes=0-1"})


def test_a_range_is_only_for_get() -> None:
    """A server has to ignore the field for any other method (RFC 9110 14.2)."""
    origin, path = split_url("http://h/a?token=TOPSECRET")
    with pytest.raises(ValueError, match=r"only be asked for with GET: HEAD '/a'$"):
        render("HEAD", origin, path, RequestOptions(range=(0, 1)), MANNERS)


def _verified(asked: ByteRange, text: str, length: int | None, content_type: str = "video/mp4") -> int | str:
    """Return the length of the body that is due, or the outcome and words of the Fault."""
    try:
        return verified_length(asked, {"content-range": text, "content-type": content_type}, length)
    except RequestError as fault:
        return str(fault)


@pytest.mark.parametrize(
    ("asked", "text", "length"),
    [
        ((2, 5), "bytes 2-5/9", 4),
        ((2, 5), "bytes 2-5/*", 4),
        ((2, 50), "bytes 2-8/9", 7),  # the target ends before
        ((2, 50), "bytes 2-8/*", 7),  # it may end there
        ((2, None), "bytes 2-8/9", 7),
        ((2, None), "bytes 2-6/*", 5),
        ((-3, None), "bytes 6-8/9", 3),
        ((-30, None), "bytes 0-8/9", 9),  # the target is shorter
        ((-3, None), "bytes 6-8/*", 3),
        ((-30, None), "bytes 6-8/*", 3),
    ],
)
def test_the_range_that_was_asked_for(asked: ByteRange, text: str, length: int) -> None:
    """Also where its end is the target's, and where the body's length is not known from the head."""
    assert _verified(asked, text, length) == length
    assert _verified(asked, text, None) == length


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ((2, 5), "bytes 3-6/9"),
        ((2, 5), "bytes 3-5/9"),
        ((2, 5), "bytes 2-4/9"),
        ((2, 5), "bytes 2-6/9"),
        ((2, 5), "bytes 2-6/*"),
        ((2, 5), "bytes 0-8/9"),
        ((2, 50), "bytes 2-7/9"),
        ((2, None), "bytes 2-7/9"),
        ((2, None), "bytes 3-8/9"),
        ((2, None), "bytes 3-8/*"),
        ((-3, None), "bytes 5-7/9"),
        ((-3, None), "bytes 7-8/9"),
        ((-3, None), "bytes 5-8/9"),
        ((-3, None), "bytes 5-8/*"),
        ((-30, None), "bytes 1-8/9"),
    ],
)
def test_another_range(asked: ByteRange, text: str) -> None:
    """Shifted, cut short, or more than was asked for."""
    assert _verified(asked, text, None) == "range: another range than was asked for"


@pytest.mark.parametrize("text", ["", "bytes */9", "bytes 2-5/5", "bytes 2-5/9, bytes 2-5/9"])
def test_a_206_without_a_valid_range(text: str) -> None:
    """It does not say which part it is."""
    assert _verified((2, 5), text, 4) == "range: no valid Content-Range"


@pytest.mark.parametrize("length", [0, 3, 5])
def test_a_body_of_another_length(length: int) -> None:
    """Content-Length contradicts the range."""
    assert _verified((2, 5), "bytes 2-5/9", length) == "range: a body of another length than its range"


def test_several_parts() -> None:
    """One range was asked for; the media type has any case and parameters."""
    media_type = "Multipart/ByteRanges; boundary=x"
    assert _verified((2, 5), "bytes 2-5/9", 4, media_type) == "range: several parts where one range was asked for"
