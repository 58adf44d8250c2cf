"""The 24 range cases: what is asked of a file, which answers RFC 9110 permits, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LEAST_BYTES = 2048
"""A shorter file has no room for the cases."""
_MIDDLE_BYTES = 200
_TAIL_BYTES = 500
_MANY = 200
_BEYOND = 1 << 64
_OTHER_TAG = '"seatrial-no-such-tag"'
_CONTENT_RANGE = re.compile(r"\Abytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)\Z", re.IGNORECASE)
_LONGEST = 64


class RangeLevel(StrEnum):
    """Who needs a case: players (a stack that fails it is broken), or only the RFC (players survive it)."""

    PLAYER = "player"
    RFC = "rfc"


class RangeForce(StrEnum):
    """How binding the rule is, in the words of RFC 2119."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class RangeWord(StrEnum):
    """What came of a case."""

    BROKEN = "broken"
    DEVIATES = "deviates"
    NOT_ASKED = "not asked"
    OK = "ok"


class RangeForm(StrEnum):
    """A kind of answer."""

    PART = "206"
    PARTS = "206 multipart"
    WHOLE = "200"
    UNSATISFIABLE = "416"
    REJECTED = "400"
    UNCHANGED = "304"
    MISMATCH = "412"

    @property
    def status(self) -> int:
        """The status that such an answer has."""
        return int(self[:3])


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAnswer:
    """What a server answered, as far as it was read; `status` 0: nothing, for the reason in `error`.

    Names of `headers` are in small letters, repeated ones joined by a comma. `body` is its beginning, without any
    decoding; `whole` says that it was read to its end.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False
    error: str = ""

    @property
    def length(self) -> int | None:
        """The Content-Length; None without a readable one."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isdecimal() and text.isascii() else None

    @property
    def coding(self) -> str:
        """The content coding; empty for none."""
        text = self.headers.get("content-encoding", "").strip().lower()
        return "" if text == "identity" else text


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTarget:
    """The file: its `size` (None: unknown), and the `plain` answer to a GET without a range."""

    size: int | None
    plain: RangeAnswer

    @property
    def etag(self) -> str:
        """The entity tag; empty without one."""
        return self.plain.headers.get("etag", "")

    @property
    def modified(self) -> str:
        """The date of Last-Modified; empty without one."""
        return self.plain.headers.get("last-modified", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeCase:
    """One request and the forms that its answer may have.

    `spans` are the bytes asked for, as first and last position within the file; a 206 may end before the last one
    if `shorter`. `section` (of RFC 9110) and `force` are those of the rule that another form breaks. `prevented`
    is why it can't be asked, if so.
    """

    name: str
    permitted: tuple[RangeForm, ...]
    section: str
    force: RangeForce
    level: RangeLevel = RangeLevel.RFC
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    spans: tuple[tuple[int, int], ...] = ()
    shorter: bool = False
    prevented: str = ""

    @property
    def asked(self) -> str:
        """The request in one line, without what all requests have."""
        values = [self.headers.get("Range", "")]
        values += [f"{name}: {value}" for name, value in self.headers.items() if name != "Range"]
        text = ", ".join(filter(None, values))
        return shortened(text if self.method == "GET" else f"{self.method} {text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeResult:
    """What came of one case: `asked`, `permitted` and `seen` in words, and the `reason` where it is not ok."""

    name: str
    word: RangeWord
    level: RangeLevel
    force: RangeForce
    section: str
    asked: str
    permitted: str
    seen: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeReport:
    """The results of all cases for the file at `url` of `size` bytes (None: unknown)."""

    url: str
    size: int | None
    results: tuple[RangeResult, ...]

    def of(self, word: RangeWord) -> list[RangeResult]:
        """Return the results with this word."""
        return [result for result in self.results if result.word is word]

    @property
    def plays(self) -> bool:
        """Whether players get what they need."""
        return not self.of(RangeWord.BROKEN)


def shortened(text: str) -> str:
    """Return a text cut to a readable length."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def content_range(text: str) -> tuple[int, int, int | None] | None:
    """Return first, last and complete length (None: `*`) of a Content-Range; None if that is no valid one.

    Valid means last not before first, and within the complete length (RFC 9110, section 14.4).
    """
    match = _CONTENT_RANGE.match(text.strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    return None if last < first or (total is not None and last >= total) else (first, last, total)


def target_of(plain: RangeAnswer, opened: RangeAnswer) -> RangeTarget:
    """Return what a plain GET and one of `bytes=0-` tell of the file.

    Its size is the Content-Length of the first, else the complete length in the second, else the length of a body
    that was read to its end.
    """
    size = None if plain.coding else plain.length
    if size is None and opened.status == RangeForm.PART.status:
        span = content_range(opened.headers.get("content-range", ""))
        size = span[2] if span else None
    if size is None and plain.whole and not plain.coding:
        size = len(plain.body)
    return RangeTarget(size=size, plain=plain)


def cases(target: RangeTarget) -> tuple[RangeCase, ...]:
    """Return all 24 cases for a file, in the order in which they are asked; the first one needs no size."""
    return (*_of_players(target), *_of_syntax(), *_of_conditions(target), *_of_headers(target))


def _middle(target: RangeTarget) -> tuple[int, int]:
    """Return where the middle begins and ends; near the beginning in a file of unknown size."""
    first = _MIDDLE_BYTES if target.size is None else target.size // 2
    return first, first + _MIDDLE_BYTES - 1


def _bytes(span: tuple[int, int]) -> str:
    return f"bytes={span[0]}-{span[1]}"


def _part(name: str, text: str, span: tuple[int, int], *, shorter: bool = False, prevented: str = "") -> RangeCase:
    """Return a case that every player relies on: a single range gets exactly its bytes."""
    return RangeCase(
        name=name,
        headers={"Range": text},
        permitted=(RangeForm.PART,),
        section="14.2",
        force=RangeForce.SHOULD,
        level=RangeLevel.PLAYER,
        spans=(span,),
        shorter=shorter,
        prevented=prevented,
    )


def _of_players(target: RangeTarget) -> tuple[RangeCase, ...]:
    """Return what players ask: openings, seeks, the tail, and reading on at the end."""
    unknown = "" if target.size is not None else "the size of the file is unknown"
    size = target.size or 0
    last, tail = max(size - 1, 0), max(size - _TAIL_BYTES, 0)
    near = max(size - 100, 0)
    return (
        _part("0-", "bytes=0-", (0, last), shorter=True),
        _part("0-1", "bytes=0-1", (0, 1)),
        _part("middle", _bytes(_middle(target)), _middle(target)),
        _part("-500", f"bytes=-{_TAIL_BYTES}", (tail, last), prevented=unknown),
        _part("last byte", _bytes((last, last)), (last, last), prevented=unknown),
        _part("past the end", _bytes((near, size + 899)), (near, last), prevented=unknown),
        RangeCase(
            name="start = size",
            headers={"Range": f"bytes={size}-"},
            permitted=(RangeForm.UNSATISFIABLE,),
            section="14.2",
            force=RangeForce.SHOULD,
            level=RangeLevel.PLAYER,
            prevented=unknown,
        ),
    )


def _of_syntax() -> tuple[RangeCase, ...]:
    """Return ranges that are invalid, unsatisfiable, of another unit, or several."""
    whole, refused, part, parts = (RangeForm.WHOLE, RangeForm.UNSATISFIABLE, RangeForm.PART, RangeForm.PARTS)
    may, should, must = RangeForce.MAY, RangeForce.SHOULD, RangeForce.MUST
    invalid, rejected = (whole, refused, RangeForm.REJECTED), RangeForm.REJECTED
    several = (part, parts, whole)
    many = tuple((at, at) for at in range(0, 2 * _MANY, 2))
    overlapping = ((0, 99), (50, 149), (100, 199))
    rows = (
        ("100-50", "bytes=100-50", invalid, "14.2", may, ()),
        ("abc", "bytes=abc", invalid, "14.2", may, ()),
        ("2^64", f"bytes={_BEYOND}-", (whole, refused), "14.1.2", must, ()),
        ("-0", "bytes=-0", (whole, refused), "14.2", should, ()),
        ("items=0-1", "items=0-1", (whole,), "14.2", must, ()),
        ("two ranges", "bytes=0-0,10-19", several, "14.2", should, ((0, 0), (10, 19))),
        ("200 ranges", _listed(many), (*several, refused, rejected), "14.2", may, many),
        ("overlapping ranges", _listed(overlapping), (*several, refused, rejected), "14.2", may, overlapping),
    )
    return tuple(
        RangeCase(
            name=name, headers={"Range": text}, permitted=permitted, section=section, force=force, spans=spans
        )
        for name, text, permitted, section, force, spans in rows
    )


def _listed(spans: tuple[tuple[int, int], ...]) -> str:
    return "bytes=" + ",".join(f"{first}-{last}" for first, last in spans)


def _of_conditions(target: RangeTarget) -> tuple[RangeCase, ...]:
    """Return ranges under a condition."""
    middle, begin = _middle(target), (0, 9)
    etag, modified = target.etag, target.modified
    no_tag = "" if etag else "the file has no ETag"
    weak = "the ETag is weak" if etag.startswith("W/") else ""
    no_date = "" if modified else "the file has no Last-Modified"
    part, whole = RangeForm.PART, RangeForm.WHOLE
    shifted = (middle[0] + 10, middle[1] + 10)  # other bounds over the same bytes, to compare
    should, must = RangeForce.SHOULD, RangeForce.MUST
    unchanged, mismatch = RangeForm.UNCHANGED, RangeForm.MISMATCH
    rows = (
        ("If-Range same ETag", "If-Range", etag, shifted, (part,), "13.1.5", should, no_tag or weak),
        ("If-Range other ETag", "If-Range", _OTHER_TAG, shifted, (whole,), "13.1.5", must, ""),
        ("If-Range date", "If-Range", modified, shifted, (part, whole), "13.1.5", should, no_date),
        ("If-None-Match", "If-None-Match", etag, begin, (unchanged,), "13.1.2", must, no_tag),
        ("If-Match other ETag", "If-Match", _OTHER_TAG, begin, (mismatch,), "13.1.1", must, ""),
    )
    return tuple(
        RangeCase(
            name=name,
            headers={"Range": _bytes(span), header: value},
            permitted=permitted,
            section=section,
            force=force,
            spans=(span,),
            prevented=prevented,
        )
        for name, header, value, span, permitted, section, force, prevented in rows
    )


HEADERS_CASE = "headers of 206"
REPEATED_CASE = "repeated"


def _of_headers(target: RangeTarget) -> tuple[RangeCase, ...]:
    """Return another method, a content coding, and what the headers of a 206 hold."""
    middle, part = _middle(target), (RangeForm.PART,)
    begin = (0, 1)
    return (
        RangeCase(
            name="HEAD",
            method="HEAD",
            headers={"Range": _bytes((0, 9))},
            permitted=(RangeForm.WHOLE,),
            section="14.2",
            force=RangeForce.MUST,
        ),
        RangeCase(
            name="gzip",
            headers={"Range": _bytes(middle), "Accept-Encoding": "gzip"},
            permitted=part,
            section="14.2",
            force=RangeForce.SHOULD,
            spans=(middle,),
        ),
        RangeCase(
            name=REPEATED_CASE,
            headers={"Range": _bytes(begin)},
            permitted=part,
            section="15.3.7.3",
            force=RangeForce.MAY,
            level=RangeLevel.PLAYER,
            spans=(begin,),
        ),
        RangeCase(
            name=HEADERS_CASE,
            headers={"Range": _bytes(begin)},
            permitted=part,
            section="15.3.7",
            force=RangeForce.MUST,
            spans=(begin,),
        ),
    )
