"""Fragmented files: movie fragments (moof) and segment indexes (sidx) (ISO/IEC 14496-12:2022, 8.8 and 8.16.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from seatrial.media.boxes import Body, wrong
from seatrial.media.sampling import FragmentTable
from seatrial.media.tracks import FragmentDefaults

_MOST = 1 << 61
_BASE_OFFSET, _DESCRIPTION, _DEFAULT_DURATION, _DEFAULT_SIZE = 0x1, 0x2, 0x8, 0x10
_BASE_IS_MOOF = 0x20000
"""Flags of tfhd (8.8.7.1)."""

_DATA_OFFSET, _FIRST_FLAGS = 0x1, 0x4
_SAMPLE_FIELDS = (0x100, 0x200, 0x400, 0x800)
"""Flags of trun (8.8.8.1): duration, size, flags and composition offset of each sample."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of the file and the time in it, in ticks; `track` is its number."""

    track: int
    begin: int
    end: int
    begin_ticks: int
    end_ticks: int


@dataclass(frozen=True, slots=True)
class SegmentIndex:
    """What a sidx box says: `fragments` lie one after the other; decoding can begin with each."""

    timescale: int
    fragments: tuple[Fragment, ...]

    @property
    def begin(self) -> int:
        """Where the first one begins."""
        return self.fragments[0].begin

    @property
    def end(self) -> int:
        """Where the last one ends."""
        return self.fragments[-1].end

    def alike(self, other: SegmentIndex) -> bool:
        """Whether both describe one track in one unit of time: another track's index is left out."""
        mine, its = self.fragments[0], other.fragments[0]
        return mine.track == its.track and self.timescale == other.timescale


def segment_index(body: Body, size: int | None) -> SegmentIndex | None:
    """Read a sidx box; None if it has no references."""
    version, _ = body.version()
    track, timescale, begin_ticks, first_offset = body.numbers("IIQQ" if version else "IIII", 4)
    position = 28 if version else 20
    (entries,) = body.numbers("H", position + 2)
    if timescale == 0:
        wrong("the time scale of 'sidx' is zero", body.at)
    rows = body.table(position + 4, entries, columns=3)
    begin = body.at + len(body.data) + first_offset
    found = []
    for word, duration, _ in rows.tolist():
        length = word & 0x7FFFFFFF
        if length == 0:
            wrong("a reference of 'sidx' is empty", body.at)
        found.append(Fragment(track, begin, begin + length, begin_ticks, begin_ticks + duration))
        begin, begin_ticks = begin + length, begin_ticks + duration
    if begin > (_MOST if size is None else size) or begin_ticks > _MOST:
        wrong("'sidx' points after the end of the file", body.at, seen=f"byte {begin}", expected=f"{size} at most")
    return SegmentIndex(timescale, tuple(found)) if found else None


def fragments(
    moof: Body, at: int, known: Mapping[int, FragmentDefaults], next_ticks: dict[int, int]
) -> list[Fragment]:
    """Read a moof box that begins at an offset; `next_ticks`: when each track goes on, brought up to date.

    A stretch begins with the moof box itself, since its samples can't be found without it.
    """
    found: list[Fragment] = []
    data_end = at
    for part in moof.children():
        if part.kind != "traf":
            continue
        head = part.child("tfhd")
        _, flags = head.version()
        (track,) = head.numbers("I", 4)
        if track not in known:
            wrong("a fragment of a track that moov does not have", part.at, seen=str(track))
        position, base = 8, at if flags & _BASE_IS_MOOF or not found else data_end
        if flags & _BASE_OFFSET:
            (base,) = head.numbers("Q", position)
            position += 8
        position += 4 if flags & _DESCRIPTION else 0
        duration, size = known[track].duration, known[track].size
        if flags & _DEFAULT_DURATION:
            (duration,) = head.numbers("I", position)
            position += 4
        if flags & _DEFAULT_SIZE:
            (size,) = head.numbers("I", position)
        begin_ticks = _begin_ticks(part, next_ticks.get(track, 0))
        end_ticks, data_end = begin_ticks, base
        for run in part.children():
            if run.kind == "trun":
                ticks, data_end = _run(run, base, data_end, duration, size)
                end_ticks += ticks
        if max(end_ticks, data_end) > _MOST:
            wrong("a fragment lies beyond any file", part.at)
        next_ticks[track] = end_ticks
        found.append(Fragment(track, at, max(data_end, at), begin_ticks, end_ticks))
    return found


def _begin_ticks(part: Body, otherwise: int) -> int:
    """Return the time of tfdt (8.8.12), or where the track was before."""
    time = part.optional("tfdt")
    return otherwise if time is None else time.numbers("Q" if time.version()[0] else "I", 4)[0]


def _run(body: Body, base: int, data_end: int, duration: int, size: int) -> tuple[int, int]:
    """Return the ticks of a trun box and where its data end (8.8.8)."""
    _, flags = body.version()
    (samples,) = body.numbers("I", 4)
    position, begin = 8, data_end
    if flags & _DATA_OFFSET:
        begin = base + body.numbers("i", position)[0]
        position += 4
    position += 4 if flags & _FIRST_FLAGS else 0
    fields = [flag for flag in _SAMPLE_FIELDS if flags & flag]
    ticks, length = samples * duration, samples * size
    if fields:
        rows = body.table(position, samples, columns=len(fields)).reshape(samples, len(fields))
        for column, flag in enumerate(fields[:2]):
            if flag == _SAMPLE_FIELDS[0]:
                ticks = int(rows[:, column].sum(dtype=np.int64))
            elif flag == _SAMPLE_FIELDS[1]:
                length = int(rows[:, column].sum(dtype=np.int64))
    if begin < 0:
        wrong("the data of 'trun' begin before the file", body.at, seen=str(begin))
    return ticks, begin + length


def fragment_table(timescale: int, parts: Iterable[Fragment]) -> FragmentTable:
    """Put the fragments of one track in the order of time."""
    ordered = sorted(parts, key=lambda one: one.begin_ticks)
    ends = np.array([one.end for one in ordered], np.int64)
    return FragmentTable(
        timescale=timescale,
        begins=np.array([one.begin for one in ordered], np.int64),
        complete=np.maximum.accumulate(ends),
        begin_ticks=np.array([one.begin_ticks for one in ordered], np.int64),
        end_ticks=np.maximum.accumulate(np.array([one.end_ticks for one in ordered], np.int64)),
    )
