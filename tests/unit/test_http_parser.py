"""The response parser, a connection that breaks, a deadline and the body's buffers, without a server."""

from __future__ import annotations

import errno
import time
from typing import Any, cast

import pytest

from seatrial.http.body import BUFFERS, HashedBody
from seatrial.http.connection import Connection, SocketLike
from seatrial.http.exchange import Exchange
from seatrial.http.messages import RequestOptions, Response, Timeouts
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
    ("text", "part"), [("bytes 0-1/9", (0, 1, 9)), ("bytes 8-8/9", (8, 8, 9)), ("BYTES 2-5/*", (2, 5, None))]
)
def test_a_content_range_is_parsed(text: str, part: tuple[int, int, int | None]) -> None:
    """The unit has any case, the total may be unknown."""
    assert parse_content_range(text) == ContentRange(*part)


INVALID_RANGES = (
    *("", "bytes */9", "bytes 2-1/9", "bytes 0-9/9", "bytes 0-1", "bytes=0-1/9", "bytes  0-1/9", "bytes -1/9"),
    *("bytes 0-1/+9", "bytes 0-1/9, bytes 4-5/9", "items 0-1/9", "bytes 0-1/" + "9" * 20, "bytes 0-\u0661/9"),
)


@pytest.mark.parametrize("text", INVALID_RANGES)
def test_an_invalid_content_range_is_refused(text: str) -> None:
    """A last byte before the first, or a total that does not go beyond it, is invalid (RFC 9110 14.4)."""
    assert parse_content_range(text) is None


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


OTHER_RANGES: dict[ByteRange, str] = {
    (2, 5): "3-6/9 3-5/9 2-4/9 2-6/9 2-6/* 0-8/9",
    (2, 50): "2-7/9",
    (2, None): "2-7/9 3-8/9 3-8/*",
    (-3, None): "5-7/9 7-8/9 5-8/9 5-8/*",
    (-30, None): "1-8/9",
}


@pytest.mark.parametrize(
    ("byte_range", "text"), [(asked, text) for asked, texts in OTHER_RANGES.items() for text in texts.split()]
)
def test_another_range(byte_range: ByteRange, text: str) -> None:
    """Shifted, cut short, or more than was asked for."""
    assert _verified(byte_range, f"bytes {text}", None) == "range: another range than was asked for"


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


class _Broken:
    """A socket on which every call fails with the same error."""

    def __init__(self, code: int) -> None:
        self._code = code

    def fileno(self) -> int:
        return 3

    def send(self, _data: bytes) -> None:
        raise OSError(self._code, "of the kernel")

    def recv_into(self, _buffer: bytearray, _size: int, _flags: int) -> int:
        raise OSError(self._code, "of the kernel")


@pytest.mark.parametrize(
    ("code", "outcome", "hung_up"),
    [
        (errno.EHOSTUNREACH, "reset", False),
        (errno.ENETUNREACH, "reset", False),
        (errno.EHOSTDOWN, "reset", False),
        (errno.ETIMEDOUT, "timeout", False),
        (errno.ECONNRESET, "reset", True),
        (errno.EPIPE, "reset", True),
    ],
)
def test_a_connection_that_breaks_is_an_outcome(code: int, outcome: str, *, hung_up: bool) -> None:
    """A route that goes away is the network's failure; only a close by the peer is `hung_up`."""
    connection = Connection(cast("SocketLike", _Broken(code)))
    with pytest.raises(RequestError) as sending:
        connection.send(b"x", 1.0, 1)
    with pytest.raises(RequestError) as receiving:
        connection.receive(bytearray(1), 1)
    for error in (sending.value, receiving.value):
        assert (error.outcome, error.hung_up) == (outcome, hung_up)


def test_an_error_of_this_machine_is_no_outcome() -> None:
    """ENOMEM is raised as it is."""
    connection = Connection(cast("SocketLike", _Broken(errno.ENOMEM)))
    with pytest.raises(OSError, match="of the kernel"):
        connection.send(b"x", 1.0, 1)


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


def test_a_peak_of_bodies_leaves_few_buffers() -> None:
    """Twenty large bodies at once, and eight buffers stay."""
    bodies = [HashedBody("sha256:" + "0" * 64) for _ in range(20)]
    for body in bodies:
        body.write(memoryview(b"x"))
    for body in bodies:
        body.release()
        body.release()
    assert len(BUFFERS.spare) == 8
