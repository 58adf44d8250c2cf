"""Range cases: what is asked, and each answer judged: right, permitted, a deviation, or broken for players."""

from __future__ import annotations

from dataclasses import replace

import pytest
import range_server
from range_server import CONTENT, SIZE, part, parts, refused, status, whole

from seatrial.measure.range_answers import RangeJudge, body_parts, different_at, in_words
from seatrial.measure.ranges import (
    RangeAnswer,
    RangeCase,
    RangeReport,
    RangeResult,
    RangeTarget,
    RangeWord,
    cases,
    content_range,
    target_of,
)

TARGET = RangeTarget(size=SIZE, plain=whole())
MIDDLE = (2500, 2699)
SHIFTED = (2510, 2709)
TAIL = (4500, 4999)
OK, BROKEN, DEVIATES = RangeWord.OK, RangeWord.BROKEN, RangeWord.DEVIATES
BOGUS = status(500)
SILENT = RangeAnswer(error="ConnectionResetError: reset")


def case_of(name: str, target: RangeTarget = TARGET) -> RangeCase:
    """Return the case of this name."""
    return next(case for case in cases(target) if case.name == name)


def judged(name: str, answer: RangeAnswer) -> RangeResult:
    """Judge one answer alone."""
    return RangeJudge(TARGET).judge(case_of(name), answer)


def test_a_server_by_the_rfc_passes_every_case() -> None:
    """There are 24 of them, each with its section; names are unique."""
    judge, every = RangeJudge(TARGET), cases(TARGET)
    results = [judge.judge(case, range_server.answer(case)) for case in every]

    assert [result.reason for result in results] == [""] * 24
    assert {result.word for result in results} == {OK}
    assert len({case.name for case in every}) == 24
    assert all(case.section.startswith(("13.", "14.", "15.")) for case in every)
    assert [case.name for case in every if case.level == "player"] == [
        *("0-", "0-1", "middle", "-500", "last byte", "past the end", "start = size", "repeated")
    ]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("0-", "bytes=0-"),
        ("middle", "bytes=2500-2699"),
        ("last byte", "bytes=4999-4999"),
        ("past the end", "bytes=4900-5899"),
        ("start = size", "bytes=5000-"),
        ("2^64", "bytes=18446744073709551616-"),
        ("overlapping ranges", "bytes=0-99,50-149,100-199"),
        ("If-Range same ETag", 'bytes=2510-2709, If-Range: "v1"'),
        ("If-None-Match", 'bytes=0-9, If-None-Match: "v1"'),
        ("HEAD", "HEAD bytes=0-9"),
        ("gzip", "bytes=2500-2699, Accept-Encoding: gzip"),
    ],
)
def test_the_requests_are_those_of_the_file(name: str, asked: str) -> None:
    """With its size and its validators."""
    assert case_of(name).asked == asked
    assert case_of("200 ranges").headers["Range"].count(",") == 199


PERMITTED = (
    ("0-", part(0, 999)),
    ("100-50", whole()),
    ("100-50", status(400)),
    ("abc", whole()),
    ("2^64", whole()),
    ("-0", whole()),
    ("two ranges", whole()),
    ("two ranges", part(0, 19)),
    ("two ranges", parts((0, 0), (10, 19))),
    ("200 ranges", refused()),
    ("200 ranges", status(400)),
    ("overlapping ranges", part(0, 199)),
    ("overlapping ranges", refused()),
    ("If-Range date", whole()),
)


@pytest.mark.parametrize(("name", "answer"), PERMITTED)
def test_what_the_rfc_permits_is_ok(name: str, answer: RangeAnswer) -> None:
    """Ignoring what is invalid, joining near ranges, sending less of an open range."""
    assert judged(name, answer).reason == ""


def changed(answer: RangeAnswer, at: int) -> RangeAnswer:
    """Return an answer with one other byte."""
    body = bytearray(answer.body)
    body[at] ^= 1
    return replace(answer, body=bytes(body))


def without(answer: RangeAnswer, name: str) -> RangeAnswer:
    """Return an answer without a header."""
    return replace(answer, headers={key: value for key, value in answer.headers.items() if key != name})


TWO = parts((0, 0), (10, 19))
WRONG = (
    # what players need
    ("0-", whole(), BROKEN, "14.2 SHOULD", "the range is ignored"),
    ("0-", part(10, 4999), BROKEN, "14.2 SHOULD", "bytes 10-4999 came"),
    ("0-", BOGUS, BROKEN, "14.2 SHOULD", "status 500 is not permitted"),
    ("0-", SILENT, BROKEN, "14.2 SHOULD", "no answer: ConnectionResetError: reset"),
    ("0-1", whole(), BROKEN, "14.2 SHOULD", "the range is ignored"),
    ("0-1", part(0, 0), BROKEN, "14.2 SHOULD", "bytes 0-0 came"),
    ("0-1", parts((0, 1)), BROKEN, "15.3.7.2 MUST", "several parts for a single range"),
    ("0-1", without(part(0, 1), "content-range"), BROKEN, "15.3.7.1 MUST", "a 206 without Content-Range"),
    ("0-1", part(0, 1, **{"content-range": "0-1"}), BROKEN, "14.4 MUST", "not a valid Content-Range: 0-1"),
    ("0-1", part(0, 1, **{"content-range": "bytes 0-1/*"}), BROKEN, "14.4 SHOULD", "the complete length is *, "),
    ("0-1", part(0, 1, **{"content-range": "bytes 0-1/9"}), BROKEN, "14.4 SHOULD", "the complete length is 9, "),
    ("0-1", part(0, 1, **{"content-length": "5"}), BROKEN, "8.6 MUST", "Content-Length is 5 for 2 bytes"),
    ("0-1", part(0, 1, **{"content-encoding": "gzip"}), BROKEN, "8.4 MAY", "in the coding gzip"),
    ("0-1", replace(part(0, 1), body=b""), BROKEN, "15.3.7.1 MUST", "0 bytes came for 2"),
    ("0-1", changed(part(0, 1), 1), BROKEN, "15.3.7 MUST", "the byte at 1 is another one"),
    ("middle", changed(part(*MIDDLE), 7), BROKEN, "15.3.7 MUST", "the byte at 2507 is another one"),
    ("middle", part(0, 199), BROKEN, "14.2 SHOULD", "bytes 0-199 came"),
    ("-500", part(0, 499), BROKEN, "14.2 SHOULD", "bytes 0-499 came"),
    ("-500", refused(), BROKEN, "14.2 SHOULD", "status 416 is not permitted"),
    ("last byte", part(4998, 4999), BROKEN, "14.2 SHOULD", "bytes 4998-4999 came"),
    ("past the end", refused(), BROKEN, "14.2 SHOULD", "status 416 is not permitted"),
    (
        "past the end",
        replace(part(4900, 4999), whole=False, error="it ends 9 bytes early"),
        BROKEN,
        "8.6",
        "it ends",
    ),
    ("start = size", whole(), BROKEN, "14.2 SHOULD", "status 200 is not permitted"),
    ("start = size", BOGUS, BROKEN, "14.2 SHOULD", "status 500"),
    ("repeated", part(0, 1, etag='"v2"'), BROKEN, "15.3.7.3 MAY", 'etag was "v1", and is "v2"'),
    ("repeated", part(0, 1, **{"last-modified": "x"}), BROKEN, "15.3.7.3 MAY", "last-modified was"),
    ("repeated", whole(), BROKEN, "14.2 SHOULD", "the range is ignored"),
    # what players survive
    ("start = size", status(416), DEVIATES, "14.4 SHOULD", "a 416 without Content-Range"),
    ("start = size", status(416, **{"content-range": "bytes */1"}), DEVIATES, "14.4 SHOULD", "a 416 with"),
    ("100-50", part(50, 100), DEVIATES, "14.2 MAY", "status 206"),
    ("abc", BOGUS, DEVIATES, "14.2 MAY", "status 500"),
    ("2^64", part(0, 4999), DEVIATES, "14.1.2 MUST", "status 206"),
    ("2^64", SILENT, DEVIATES, "14.1.2 MUST", "no answer"),
    ("-0", part(0, 4999), DEVIATES, "14.2 SHOULD", "status 206"),
    ("items=0-1", refused(), DEVIATES, "14.2 MUST", "status 416"),
    ("items=0-1", part(0, 1), DEVIATES, "14.2 MUST", "status 206"),
    (
        "items=0-1",
        whole(**{"content-length": "3"}),
        DEVIATES,
        "8.6 MUST",
        "Content-Length is 3, the file's is 5000",
    ),
    ("items=0-1", changed(whole(), 4000), DEVIATES, "15.3.7 MUST", "the byte at 4000"),
    ("two ranges", refused(), DEVIATES, "14.2 SHOULD", "status 416"),
    ("two ranges", part(0, 29), DEVIATES, "14.2 SHOULD", "bytes 0-29 came"),
    ("two ranges", parts((0, 0), (10, 20)), DEVIATES, "14.2 SHOULD", "bytes 10-20 came"),
    ("two ranges", changed(TWO, TWO.body.index(b"\r\n\r\n") + 4), DEVIATES, "15.3.7 MUST", "the byte at 0"),
    ("two ranges", replace(parts((0, 0)), body=b"--xyz--"), DEVIATES, "15.3.7.2 MUST", "none is there"),
    ("200 ranges", BOGUS, DEVIATES, "14.2 MAY", "status 500"),
    ("overlapping ranges", part(0, 500), DEVIATES, "14.2 SHOULD", "bytes 0-500 came"),
    ("If-Range same ETag", whole(), DEVIATES, "14.2 SHOULD", "the range is ignored"),
    ("If-Range other ETag", part(*SHIFTED), DEVIATES, "13.1.5 MUST", "status 206"),
    ("If-Range date", status(412), DEVIATES, "13.1.5 SHOULD", "status 412"),
    ("If-None-Match", part(0, 9), DEVIATES, "13.1.2 MUST", "status 206"),
    ("If-Match other ETag", part(0, 9), DEVIATES, "13.1.1 MUST", "status 206"),
    ("HEAD", part(0, 9), DEVIATES, "14.2 MUST", "status 206"),
    ("gzip", part(2500, 2699, **{"content-encoding": "gzip"}), DEVIATES, "8.4 MAY", "in the coding gzip"),
    ("gzip", whole(**{"content-encoding": "gzip"}), DEVIATES, "14.2 SHOULD", "ignored, in the coding gzip"),
    ("headers of 206", without(part(0, 1), "etag"), DEVIATES, "15.3.7 MUST", "it lacks what a 200 has: etag"),
    ("headers of 206", without(part(0, 1), "cache-control"), DEVIATES, "15.3.7 MUST", "cache-control"),
)


@pytest.mark.parametrize(("name", "answer", "word", "rule", "reason"), WRONG)
def test_every_case_is_failed_by_a_wrong_answer(
    name: str, answer: RangeAnswer, word: RangeWord, rule: str, reason: str
) -> None:
    """With the rule that it breaks, and what is wrong."""
    result = judged(name, answer)

    assert (result.word, f"{result.section} {result.force}"[: len(rule)]) == (word, rule)
    assert reason in result.reason


def test_a_wrong_answer_stands_for_every_case() -> None:
    """No case lacks one in the table above."""
    assert {name for name, *_ in WRONG} == {case.name for case in cases(TARGET)}


def test_bytes_are_compared_between_answers() -> None:
    """Beyond the plain answer's beginning, what other ranges brought stands for the file."""
    target = RangeTarget(size=SIZE, plain=replace(whole(), body=CONTENT[:10], whole=False))
    judge = RangeJudge(target)

    assert judge.judge(case_of("-500", target), part(*TAIL)).word is OK
    assert judge.judge(case_of("last byte", target), changed(part(4999, 4999), 0)).word is BROKEN
    assert different_at([(10, b"abc"), (20, b"abc")], 18, b"xxab") is None
    assert different_at([(10, b"abc"), (20, b"abc")], 0, bytes(12)) == 10


def test_what_the_file_lacks_is_not_asked() -> None:
    """Without validators, or without a size, the cases that need them have no verdict."""
    bare = without(without(without(whole(), "etag"), "last-modified"), "content-length")
    target = target_of(replace(bare, whole=False), whole())
    prevented = {case.name: case.prevented for case in cases(target) if case.prevented}

    assert target.size is None
    assert prevented == {
        **dict.fromkeys(("-500", "last byte", "past the end", "start = size"), "the size of the file is unknown"),
        **dict.fromkeys(("If-Range same ETag", "If-None-Match"), "the file has no ETag"),
        "If-Range date": "the file has no Last-Modified",
    }
    result = RangeJudge(target).not_asked(case_of("-500", target))
    assert (result.word, result.reason) == (RangeWord.NOT_ASKED, "the size of the file is unknown")
    weak = RangeTarget(size=SIZE, plain=whole(etag='W/"v1"'))
    assert case_of("If-Range same ETag", weak).prevented == "the ETag is weak"


def test_the_size_is_told_by_one_of_three() -> None:
    """Content-Length, the complete length of a Content-Range, or a body that was read to its end."""
    bare = without(whole(), "content-length")
    assert target_of(whole(), BOGUS).size == SIZE
    assert target_of(replace(bare, whole=False), part(0, 9)).size == SIZE
    assert target_of(bare, BOGUS).size == SIZE
    coded = whole(**{"content-encoding": "gzip", "content-length": "77"})
    assert target_of(coded, part(0, 9)).size == SIZE
    assert target_of(coded, BOGUS).size is None


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("bytes 0-1/10", (0, 1, 10)),
        ("Bytes 0-1/*", (0, 1, None)),
        ("bytes 0-10/10", None),
        ("bytes 5-4/10", None),
        ("bytes */10", None),
        ("bytes 0-1/10, bytes 0-1/10", None),
        ("bytes 0-1/" + "9" * 99, None),
    ],
)
def test_a_content_range_is_read(text: str, span: tuple[int, int, int | None] | None) -> None:
    """Or refused, if it contradicts itself."""
    assert content_range(text) == span


def test_parts_that_were_cut_off_are_left_out() -> None:
    """A body of which only the beginning was read has whole parts, and one that is not judged."""
    body = parts((0, 0), (10, 19)).body
    assert [content for _, content in body_parts(body, b"xyz")] == [CONTENT[:1], CONTENT[10:20]]
    assert [content for _, content in body_parts(body[:-20], b"xyz")] == [CONTENT[:1]]


def test_the_outcome_in_one_line() -> None:
    """The names of the cases that are not ok."""
    results = (judged("0-", whole()), judged("0-1", part(0, 1)), judged("items=0-1", refused()))
    report = RangeReport(url="http://x/c.mp4", size=SIZE, results=results)

    assert in_words(report) == "1 of 3 range cases ok; broken: 0-; deviates: items=0-1"
    assert not report.plays
