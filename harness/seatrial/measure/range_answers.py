"""Judgement of answers to range requests by RFC 9110: forms, headers, lengths, and bytes against each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from seatrial.measure.ranges import (
    HEADERS_CASE,
    REPEATED_CASE,
    RangeAnswer,
    RangeCase,
    RangeForce,
    RangeForm,
    RangeLevel,
    RangeReport,
    RangeResult,
    RangeTarget,
    RangeWord,
    content_range,
    shortened,
)

_OF_206 = ("date", "cache-control", "etag", "expires", "content-location", "vary")
"""What a 206 has to carry if a 200 would (RFC 9110, section 15.3.7)."""
_UNSATISFIED = re.compile(r"\Abytes \*/(\d{1,19})\Z", re.IGNORECASE)
_BOUNDARY = re.compile(r'(?:\A|;)\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_MULTIPART = "multipart/byteranges"
_CHANGING = ("etag", "last-modified")


@dataclass(frozen=True, slots=True)
class RangeProblem:
    """What is wrong with one answer, with the section of RFC 9110 that it breaks, and for whom it is wrong."""

    text: str
    section: str
    force: RangeForce
    level: RangeLevel


class RangeJudge:
    """Judges the answers about one file, and compares the bytes and validators in all of them."""

    def __init__(self, target: RangeTarget) -> None:
        self.target = target
        self._pieces: list[tuple[int, bytes]] = []
        self._validators: dict[str, str] = {}
        self._remember(0, target.plain)

    def judge(self, case: RangeCase, answer: RangeAnswer) -> RangeResult:
        """Return what came of a case; the gravest problem is its reason."""
        problems = list(self._problems(case, answer))
        problem = min(problems, key=lambda one: one.level is not RangeLevel.PLAYER, default=None)
        word = RangeWord.OK
        if problem is not None:
            word = RangeWord.BROKEN if problem.level is RangeLevel.PLAYER else RangeWord.DEVIATES
        return RangeResult(
            name=case.name,
            word=word,
            level=case.level,
            force=case.force if problem is None else problem.force,
            section=case.section if problem is None else problem.section,
            asked=case.asked,
            permitted=permitted_text(case, self.target.size),
            seen=seen_text(answer),
            reason="" if problem is None else problem.text,
        )

    def not_asked(self, case: RangeCase) -> RangeResult:
        """Return the result of a case that can't be asked."""
        return RangeResult(
            name=case.name,
            word=RangeWord.NOT_ASKED,
            level=case.level,
            force=case.force,
            section=case.section,
            asked="",
            permitted=" or ".join(case.permitted),
            reason=case.prevented,
        )

    def _problems(self, case: RangeCase, answer: RangeAnswer) -> Iterator[RangeProblem]:
        if not answer.status:
            yield _problem(case, f"no answer: {answer.error}")
            return
        form = form_of(answer)
        if form not in case.permitted:
            yield self._other_form(case, answer, form)
            return
        match form:
            case RangeForm.PART:
                yield from self._part(case, answer)
            case RangeForm.PARTS:
                yield from self._parts(case, answer)
            case RangeForm.WHOLE:
                yield from self._whole(case, answer)
            case RangeForm.UNSATISFIABLE:
                yield from self._unsatisfiable(answer)
            case _:
                pass
        if answer.error:
            yield _problem(case, answer.error, "8.6", RangeForce.MUST)
        if case.name == REPEATED_CASE:
            yield from self._changed(case, answer)
        if case.name == HEADERS_CASE:
            yield from self._left_out(answer)

    def _other_form(self, case: RangeCase, answer: RangeAnswer, form: RangeForm | None) -> RangeProblem:
        """Return the problem of an answer in a form that is not permitted."""
        if form is RangeForm.PARTS and len(case.spans) == 1:
            return _problem(case, "several parts for a single range", "15.3.7.2", RangeForce.MUST)
        if form is RangeForm.WHOLE and case.permitted == (RangeForm.PART,):
            coded = f", in the coding {answer.coding}" if answer.coding else ""
            return _problem(case, f"the range is ignored{coded}", "14.2", RangeForce.SHOULD)
        return _problem(case, f"status {answer.status} is not permitted")

    def _part(self, case: RangeCase, answer: RangeAnswer) -> Iterator[RangeProblem]:
        """Yield what is wrong with a 206 of one part; its bytes are compared with those seen so far."""
        text = answer.headers.get("content-range", "")
        if not text:
            yield _problem(case, "a 206 without Content-Range", "15.3.7.1", RangeForce.MUST)
            return
        span = content_range(text)
        if span is None:
            yield _problem(case, f"not a valid Content-Range: {shortened(text)}", "14.4", RangeForce.MUST)
            return
        first, last, total = span
        if total is None or (self.target.size is not None and total != self.target.size):
            seen = f"the complete length is {'*' if total is None else total}"
            yield _problem(case, f"{seen}, the file's is {self._size}", "14.4", RangeForce.SHOULD)
        if wrong := _wrong_span(case, first, last, total or self.target.size):
            yield _problem(case, wrong, "14.2", RangeForce.SHOULD)
        length = last - first + 1
        if answer.length not in (None, length):
            yield _problem(case, f"Content-Length is {answer.length} for {length} bytes", "8.6", RangeForce.MUST)
        if answer.whole and not answer.error and len(answer.body) != length:
            yield _problem(case, f"{len(answer.body)} bytes came for {length}", "15.3.7.1", RangeForce.MUST)
        if answer.coding:
            yield _problem(case, f"in the coding {answer.coding}: its bytes are others", "8.4", RangeForce.MAY)
        else:
            yield from self._compared(case, first, answer)

    def _parts(self, case: RangeCase, answer: RangeAnswer) -> Iterator[RangeProblem]:
        """Yield what is wrong with a 206 of several parts, as far as they were read."""
        must, section = RangeForce.MUST, "15.3.7.2"
        if "content-range" in answer.headers:
            yield _problem(case, "a Content-Range above several parts", section, must)
        boundary = _BOUNDARY.search(answer.headers.get("content-type", "").partition(";")[2])
        if boundary is None:
            yield _problem(case, "several parts without a boundary", section, must)
            return
        parts = list(body_parts(answer.body, (boundary[1] or boundary[2]).encode()))
        if not parts and answer.whole:
            yield _problem(case, "several parts, but none is there", section, must)
        for headers, body in parts:
            span = content_range(headers.get("content-range", ""))
            if span is None:
                yield _problem(case, "a part without a valid Content-Range", section, must)
                return
            first, last, total = span
            if total not in (None, self.target.size) and self.target.size is not None:
                yield _problem(case, f"a part of {total} bytes, the file has {self._size}", "14.4", must)
            if wrong := _wrong_span(case, first, last, total):
                yield _problem(case, wrong, "14.2", RangeForce.SHOULD)
            if len(body) != last - first + 1:
                yield _problem(case, f"{len(body)} bytes in a part of {last - first + 1}", section, must)
            yield from self._compared(case, first, RangeAnswer(status=206, body=body))

    def _whole(self, case: RangeCase, answer: RangeAnswer) -> Iterator[RangeProblem]:
        """Yield what is wrong with a 200."""
        if answer.coding:
            return  # other bytes, and another length
        if answer.length is not None and self.target.size is not None and answer.length != self.target.size:
            text = f"Content-Length is {answer.length}, the file's is {self._size}"
            yield _problem(case, text, "8.6", RangeForce.MUST)
        if case.method == "GET":
            yield from self._compared(case, 0, answer)

    def _unsatisfiable(self, answer: RangeAnswer) -> Iterator[RangeProblem]:
        """Yield what is wrong with a 416; no player needs its Content-Range."""
        text = answer.headers.get("content-range", "")
        match = _UNSATISFIED.match(text.strip())
        if match is None or (self.target.size is not None and int(match[1]) != self.target.size):
            wrong = f"a 416 with Content-Range {shortened(text)}" if text else "a 416 without Content-Range"
            yield RangeProblem(wrong, "14.4", RangeForce.SHOULD, RangeLevel.RFC)

    def _changed(self, case: RangeCase, answer: RangeAnswer) -> Iterator[RangeProblem]:
        """Yield validators that differ from those of earlier answers: players then take it for another file."""
        for name in _CHANGING:
            here, before = answer.headers.get(name, ""), self._validators.get(name, "")
            if here and before and here != before:
                text = f"{name} was {shortened(before)}, and is {shortened(here)}"
                yield _problem(case, text, "15.3.7.3", RangeForce.MAY)

    def _left_out(self, answer: RangeAnswer) -> Iterator[RangeProblem]:
        """Yield the headers of a 200 that a 206 lacks."""
        missing = [name for name in _OF_206 if name in self.target.plain.headers and name not in answer.headers]
        if missing:
            text = f"it lacks what a 200 has: {', '.join(missing)}"
            yield RangeProblem(text, "15.3.7", RangeForce.MUST, RangeLevel.RFC)

    def _compared(self, case: RangeCase, first: int, answer: RangeAnswer) -> Iterator[RangeProblem]:
        """Yield the first byte that differs from what an earlier answer had there; then remember the answer."""
        at = different_at(self._pieces, first, answer.body)
        if at is None:
            self._remember(first, answer)
        else:
            text = f"the byte at {at} is another one than in an earlier answer"
            yield _problem(case, text, "15.3.7", RangeForce.MUST)

    def _remember(self, first: int, answer: RangeAnswer) -> None:
        if answer.coding:
            return
        if answer.body:
            self._pieces.append((first, answer.body))
        for name in _CHANGING:
            if name in answer.headers:
                self._validators.setdefault(name, answer.headers[name])

    @property
    def _size(self) -> str:
        return "unknown" if self.target.size is None else str(self.target.size)


def _problem(
    case: RangeCase, text: str, section: str | None = None, force: RangeForce | None = None
) -> RangeProblem:
    """Return a problem as grave as its case; without a section that of the case's own rule."""
    return RangeProblem(text, section or case.section, force or case.force, case.level)


def _wrong_span(case: RangeCase, first: int, last: int, size: int | None) -> str:
    """Return what is wrong with the bytes of an answer; empty if they are those that were asked for.

    Of several ranges a server may send some, and join near ones (section 15.3.7.2).
    """
    least, most = min(span[0] for span in case.spans), max(span[1] for span in case.spans)
    if case.shorter and size is not None:
        most = size - 1
    exact = len(case.spans) == 1
    right = first == least if exact else first >= least
    right &= last == most if exact and not case.shorter else last <= most
    return "" if right else f"bytes {first}-{last} came"


def form_of(answer: RangeAnswer) -> RangeForm | None:
    """Return the form of an answer; None for a status that no rule has."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status == RangeForm.PART.status:
        return RangeForm.PARTS if kind == _MULTIPART else RangeForm.PART
    return next((form for form in RangeForm if form.status == answer.status), None)


def different_at(pieces: Sequence[tuple[int, bytes]], first: int, body: bytes) -> int | None:
    """Return the first position at which bytes from `first` on differ from pieces seen before; None: nowhere."""
    for begin, piece in pieces:
        low, high = max(begin, first), min(begin + len(piece), first + len(body))
        if low < high and piece[low - begin : high - begin] != body[low - first : high - first]:
            return next(at for at in range(low, high) if piece[at - begin] != body[at - first])
    return None


def body_parts(body: bytes, boundary: bytes) -> Iterator[tuple[Mapping[str, str], bytes]]:
    """Yield headers and content of each whole part of a multipart body (RFC 2046, section 5.1.1)."""
    delimiter = b"\r\n--" + boundary
    for chunk in (b"\r\n" + body).split(delimiter)[1:-1]:
        head, separator, content = chunk.partition(b"\r\n\r\n")
        if not separator:
            continue
        lines = [line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:]]
        yield {name.strip().lower(): value.strip() for name, _, value in lines}, content


def permitted_text(case: RangeCase, size: int | None) -> str:
    """Return the permitted answers in words."""
    complete = "N" if size is None else str(size)
    span = case.spans[0] if len(case.spans) == 1 else None
    texts = {RangeForm.UNSATISFIABLE: f"416 bytes */{complete}"}
    if span is not None:
        last = "..." if case.shorter else str(span[1])
        texts[RangeForm.PART] = f"206 bytes {span[0]}-{last}/{complete}"
    return " or ".join(texts.get(form, str(form)) for form in case.permitted)


def seen_text(answer: RangeAnswer) -> str:
    """Return an answer in words: its status, and what tells its form."""
    if not answer.status:
        return f"nothing: {answer.error}"
    kind = _MULTIPART if form_of(answer) is RangeForm.PARTS else ""
    ranges = answer.headers.get("content-range", "")
    return " ".join(filter(None, (str(answer.status), kind, shortened(ranges), answer.coding)))


def in_words(report: RangeReport) -> str:
    """Return what came of all cases in one line."""
    counts = {word: len(report.of(word)) for word in RangeWord}
    asked = len(report.results) - counts[RangeWord.NOT_ASKED]
    text = f"{counts[RangeWord.OK]} of {asked} range cases ok"
    for word in (RangeWord.BROKEN, RangeWord.DEVIATES):
        if counts[word]:
            text += f"; {word}: {', '.join(result.name for result in report.of(word))}"
    return text
