"""The response parser: shared heads, and the rules of byte ranges (RFC 9110 14)."""

from __future__ import annotations

from typing import Any, cast

import pytest

from seatrial.http.messages import Response
from seatrial.http.parser import (
    ByteRange,
    ContentRange,
    RequestError,
    parse_content_range,
    parse_head,
    verified_length,
)


def test_the_header_of_a_head_can_not_be_changed() -> None:
    """The same bytes are parsed once, and shared by many responses."""
    for fields in (parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n").fields, Response("GET", "page", 0).headers):
        with pytest.raises(TypeError):
            cast("Any", fields)["a"] = "c"


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


def _verified(byte_range: ByteRange, text: str, length: int | None, content_type: str = "video/mp4") -> int | str:
    """Return the length of the body that is due, or the outcome and reason of the error."""
    try:
        return verified_length(byte_range, {"content-range": text, "content-type": content_type}, length)
    except RequestError as error:
        return str(error)


@pytest.mark.parametrize(
    ("byte_range", "text", "length"),
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
def test_the_range_that_was_asked_for(byte_range: ByteRange, text: str, length: int) -> None:
    """Also where its end is the target's, and where the body's length is not known from the head."""
    assert _verified(byte_range, text, length) == length
    assert _verified(byte_range, text, None) == length


@pytest.mark.parametrize(
    ("byte_range", "text"),
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
def test_another_range(byte_range: ByteRange, text: str) -> None:
    """Shifted, cut short, or more than was asked for."""
    assert _verified(byte_range, text, None) == "range: another range than was asked for"


@pytest.mark.parametrize(
    ("text", "length", "content_type", "reason"),
    [
        *((text, 4, "video/mp4", "no valid Content-Range") for text in ("", "bytes */9", "bytes 2-5/5")),
        ("bytes 2-5/9, bytes 2-5/9", 4, "video/mp4", "no valid Content-Range"),
        *(("bytes 2-5/9", length, "video/mp4", "a body of another length than its range") for length in (0, 3, 5)),
        # the media type has any case and parameters
        ("bytes 2-5/9", 4, "Multipart/ByteRanges; boundary=x", "several parts where one range was asked for"),
    ],
)
def test_an_answer_that_is_no_range(text: str, length: int, content_type: str, reason: str) -> None:
    """It has no valid Content-Range, a Content-Length that contradicts it, or several parts."""
    assert _verified((2, 5), text, length, content_type) == f"range: {reason}"
