"""A model of a server that answers range requests as RFC 9110 has it, as a function, for tests."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from seatrial.measure.ranges import RangeAnswer, RangeCase

SIZE = 5000
CONTENT = random.Random(1).randbytes(SIZE)  # noqa: S311  (made-up media)
ETAG, MODIFIED = '"v1"', "Sun, 29 Nov 2026 10:00:00 GMT"
VALIDATORS = {"etag": ETAG, "last-modified": MODIFIED, "date": "Sun, 29 Nov 2026 17:00:00 GMT"}
TYPE = {"content-type": "video/mp4"}


def whole(**changes: str) -> RangeAnswer:
    """Return a 200 with the whole file."""
    headers = {**VALIDATORS, **TYPE, "cache-control": "max-age=60", "content-length": str(SIZE), **changes}
    return RangeAnswer(status=200, headers=headers, body=CONTENT, whole=True)


def part(first: int, last: int, **changes: str) -> RangeAnswer:
    """Return a 206 of one part."""
    headers = {
        **whole().headers,
        "content-range": f"bytes {first}-{last}/{SIZE}",
        "content-length": str(last - first + 1),
        **changes,
    }
    return RangeAnswer(status=206, headers=headers, body=CONTENT[first : last + 1], whole=True)


def parts(*spans: tuple[int, int]) -> RangeAnswer:
    """Return a 206 of several parts."""
    body = b"".join(
        b"\r\n--xyz\r\nContent-Type: video/mp4\r\nContent-Range: bytes %d-%d/%d\r\n\r\n" % (first, last, SIZE)
        + CONTENT[first : last + 1]
        for first, last in spans
    )
    headers = {**VALIDATORS, "content-type": 'multipart/byteranges; boundary="xyz"'}
    return RangeAnswer(status=206, headers=headers, body=body + b"\r\n--xyz--\r\n", whole=True)


def status(code: int, **headers: str) -> RangeAnswer:
    """Return an answer without content."""
    return RangeAnswer(status=code, headers=headers, whole=True)


def refused() -> RangeAnswer:
    """Return a 416."""
    return RangeAnswer(status=416, headers={"content-range": f"bytes */{SIZE}"}, whole=True)


def answer(case: RangeCase) -> RangeAnswer:
    """Answer a case."""
    return answer_to(case.method, case.headers)


def answer_to(method: str, headers: Mapping[str, str]) -> RangeAnswer:
    """Answer a request: preconditions first, then the range."""
    if headers.get("If-Match", ETAG) != ETAG:
        return status(412)
    if headers.get("If-None-Match") == ETAG:
        return status(304)
    unit, _, ranges = headers.get("Range", "").partition("=")
    if method == "HEAD":
        return RangeAnswer(status=200, headers=whole().headers, whole=True)
    if unit != "bytes" or headers.get("If-Range", ETAG) not in (ETAG, MODIFIED):
        return whole()
    spans = list(_satisfiable(ranges))
    if not spans:
        return refused()
    return part(*spans[0]) if len(spans) == 1 else parts(*spans)


def _satisfiable(ranges: str) -> Iterator[tuple[int, int]]:
    for text in ranges.split(","):
        first, dash, last = text.partition("-")
        if not dash or (first and last and int(last) < int(first)):
            continue
        if first and int(first) < SIZE:
            yield int(first), min(int(last or SIZE), SIZE - 1)
        elif not first and int(last):
            yield max(SIZE - int(last), 0), SIZE - 1
