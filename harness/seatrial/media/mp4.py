"""The index of an MP4 file, read through byte ranges: where the boxes lie, and which byte belongs to which second.

What is read (ISO/IEC 14496-12:2022): the headers of all boxes up to the ones that are needed, and the content of
moov (first or last, up to MOST_MOOV_BYTES), of sidx and of moof. Fragmented files: where a segment index covers
the file, its references are the timeline, and no fragment is read; elsewhere every moof is, one range each, in the
order of the file, with mdat skipped. mfra is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from seatrial.media.boxes import LONG_HEADER, SHORT_HEADER, Body, Header, header, wrong
from seatrial.media.fragments import Fragment, SegmentIndex, fragment_table, fragments, segment_index
from seatrial.media.sampling import SampleTable, Table
from seatrial.media.tracks import MovieHead, TrackHead, movie_head

MOST_MOOV_BYTES = 256 << 20
"""A moov of 4 bytes a sample has room for 29 days of 25 pictures a second."""

_MOST_OTHER_BYTES = 16 << 20
"""Of a sidx or moof box: a reference is 12 bytes, a sample of a fragment 16."""

_MOST_FRAGMENTS = 1 << 19
"""12 days of two tracks in pieces of 4 s; each takes 210 bytes of memory, and as few as 12 in the file."""

_MOST_BOXES = 1 << 20
_MOST_READ_BYTES = 1 << 20
_FIRST_BOXES = {"ftyp", "styp", "moov", "mdat", "free", "skip", "wide", "uuid", "pdin", "sidx", "moof", "pnot"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A track: number, handler (`vide`, `soun`, ...), codec, size in pixels (0: none), where its samples lie."""

    number: int
    handler: str
    codec: str
    width: int
    height: int
    timescale: int
    tables: tuple[Table, ...]

    @property
    def duration_s(self) -> float:
        """When the last sample ends."""
        return max((table.end_s for table in self.tables), default=0.0)

    @property
    def samples_per_s(self) -> float | None:
        """The mean rate of the samples (of a video track: pictures); None where a segment index tells none."""
        tables = [table for table in self.tables if isinstance(table, SampleTable)]
        if len(tables) < len(self.tables) or not self.duration_s:
            return None
        return sum(table.samples for table in tables) / self.duration_s

    @property
    def sync_samples(self) -> int:
        """How many places decoding can begin with."""
        return sum(table.sync_samples for table in self.tables)

    def table_at(self, seconds: float) -> Table:
        """Return the table that a time lies in."""
        earlier = [table for table in self.tables if table.begin_s <= seconds]
        return earlier[-1] if earlier else self.tables[0]

    def seconds_at(self, offset: int) -> float | None:
        """Return when the first sample begins that is not wholly before the offset; None: all are."""
        return next((at for at in (table.seconds_at(offset) for table in self.tables) if at is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What is known of a file: offsets and sizes in bytes of the whole boxes, the duration in seconds, its tracks.

    `size` is that of the file, or the end of the last known box where no length was told. `mdat_size` is that of
    the first mdat box.
    """

    size: int
    moov_offset: int
    moov_size: int
    mdat_offset: int
    mdat_size: int
    duration_s: float
    fragmented: bool
    tracks: tuple[Track, ...]

    @property
    def moov_first(self) -> bool:
        """Whether moov stands before the media data."""
        return self.moov_offset < self.mdat_offset

    @property
    def bitrate_bps(self) -> float:
        """The size of the file in bits, by the duration; 0 if there is no duration."""
        return self.size * 8 / self.duration_s if self.duration_s else 0.0

    def offset_at(self, seconds: float) -> int:
        """Return the byte to read from in order to play from that second.

        Decoding begins at the sync sample of the video at or before it (without a video: of any track). Of the
        samples that the tracks have at that time, the one that lies first in the file counts.
        """
        seconds = min(seconds, self.duration_s)
        tracks = [track for track in self.tracks if track.tables]
        leading = [track for track in tracks if track.handler == "vide"] or tracks
        common_s = min(track.table_at(seconds).sync_point(seconds).seconds for track in leading)
        return min(track.table_at(common_s).sync_point(common_s).offset for track in tracks)

    def seconds_at(self, offset: int) -> float:
        """Return the second up to which can be played when all bytes before that offset are there."""
        reached = [at for at in (track.seconds_at(offset) for track in self.tracks) if at is not None]
        return min([*reached, self.duration_s])


@dataclass(slots=True)
class _Seen:
    """What has been read so far; `covered`: the range that the latest segment index describes.

    `stretches` counts the fragments, and the references of segment indexes.
    """

    boxes: int = 0
    moov: Header | None = None
    mdat: Header | None = None
    head: MovieHead | None = None
    segments: list[SegmentIndex] = field(default_factory=list)
    covered: range = range(0)
    fragments: list[Fragment] = field(default_factory=list)
    stretches: int = 0
    next_ticks: dict[int, int] = field(default_factory=dict)


class IndexReader:
    """Reads an index from pieces of a file, for a reader that gets them by ranges of its own choice.

    `missing` is the range that is needed next, as first and last byte; `feed` takes bytes from anywhere and uses
    what continues that range, so that a response from the beginning on may be fed as it comes, media data
    included. Bytes that don't continue it are dropped. `index` is there once nothing is missing. Kept in memory is
    the box that is being read, MOST_MOOV_BYTES at most.
    """

    def __init__(self, size: int | None) -> None:
        """Begin a file of so many bytes; None: not known, then a box can't be found to be cut off."""
        self._size = size
        self._at = 0
        self._box: Header | None = None  # whose content is being read; None: a header is
        self._have = bytearray()
        self._seen = _Seen()
        self._index: Index | None = None
        if size is not None and size < SHORT_HEADER:
            wrong("too short for an MP4 file", 0, seen=f"{size} bytes")

    @property
    def index(self) -> Index | None:
        """The index, once it is complete."""
        return self._index

    @property
    def missing(self) -> tuple[int, int] | None:
        """The range that is needed next: first and last byte; None when the index is complete."""
        return None if self._index else (self._at + len(self._have), self._wanted_end() - 1)

    def feed(self, offset: int, data: bytes | memoryview) -> None:
        """Take bytes of the file that begin at an offset; Mp4Error if they are wrong."""
        view = memoryview(data)
        while self._index is None:
            begin, wanted_end = self._at + len(self._have), self._wanted_end()
            end = min(wanted_end, offset + len(view))
            if not offset <= begin < end:
                return
            self._have += view[begin - offset : end - offset]
            if self._box is None:
                found = self._header()
                if found is not None:
                    self._begin(found)
                elif end == wanted_end:
                    wrong("the file ends within the header of a box", self._at)
            elif end == wanted_end:
                content, self._have = memoryview(self._have)[self._box.header_bytes :], bytearray()
                self._read(Body(self._box.kind, content, self._box.body_at), self._box)
                self._go_on(end)

    def ended(self) -> None:
        """Tell that the file, whose length was not known, ends here; Mp4Error if something is missing."""
        if self._index is None:
            self._finish(self._at)

    def _wanted_end(self) -> int:
        if self._box is None:
            end = self._at + LONG_HEADER
            return end if self._size is None else min(end, self._size)
        return self._box.at + (self._box.size or 0)

    def _header(self) -> Header | None:
        kind = bytes(self._have[4:SHORT_HEADER]).decode("latin-1")
        if not self._seen.boxes and len(kind) == len("ftyp") and kind not in _FIRST_BOXES:
            expected = "'ftyp' or another box that a file begins with"
            wrong("this is not an MP4 file", 0, seen=repr(bytes(self._have[:SHORT_HEADER])), expected=expected)
        return header(self._have, self._at, self._size)

    def _begin(self, box: Header) -> None:
        """Decide what becomes of a box whose header was read."""
        seen = self._seen
        seen.boxes += 1
        if seen.boxes > _MOST_BOXES:
            wrong(f"more than {_MOST_BOXES} boxes", box.at)
        if box.kind == "moov" and seen.moov is not None:
            wrong("a second moov box", box.at)
        if box.kind == "mdat" and seen.mdat is None:
            seen.mdat = box
        needed = box.kind == "moov" or (box.kind in {"sidx", "moof"} and box.at not in seen.covered)
        if needed:
            most = MOST_MOOV_BYTES if box.kind == "moov" else _MOST_OTHER_BYTES
            if box.size is None or box.size > most:
                seen_size = "no size" if box.size is None else f"{box.size} bytes"
                wrong(
                    f"the box {box.kind!r} is too large", box.at, seen=seen_size, expected=f"{most} bytes at most"
                )
            self._box = box
            if box.size == len(self._have):
                self._have = bytearray()
                self._read(Body(box.kind, memoryview(b""), box.body_at), box)
                self._go_on(box.at + box.size)
            return
        self._go_on(box.end)

    def _read(self, body: Body, box: Header) -> None:
        """Read the content of a box."""
        seen = self._seen
        if box.kind == "moov":
            seen.moov, seen.head = box, movie_head(body, self._size)
        elif box.kind == "sidx":
            found = segment_index(body, self._size)
            if found is not None and (not seen.segments or seen.segments[0].alike(found)):
                seen.segments.append(found)
                seen.covered = range(found.begin, found.end)
                seen.stretches += len(found.fragments)
        elif seen.head is None:
            wrong("a fragment before moov", box.at)
        else:
            known = {track.number: track.defaults for track in seen.head.tracks}
            read = fragments(body, box.at, known, seen.next_ticks)
            seen.fragments += read
            seen.stretches += len(read)
        if seen.stretches > _MOST_FRAGMENTS:
            wrong(f"more than {_MOST_FRAGMENTS} fragments", box.at)

    def _go_on(self, end: int | None) -> None:
        """Go to the box that begins there, or finish."""
        seen = self._seen
        self._box, self._have = None, bytearray()
        both = seen.head is not None and seen.mdat is not None
        if end in seen.covered and both:
            end = seen.covered.stop
        if end is None or (both and seen.head is not None and not seen.head.fragmented):
            self._finish(self._at if end is None else end)
        elif self._size is not None and self._size - end < SHORT_HEADER:
            self._finish(self._size)
        else:
            self._at = end

    def _finish(self, end: int) -> None:
        """Make the index of what was seen."""
        seen = self._seen
        if seen.head is None or seen.moov is None or seen.moov.size is None:
            wrong("the file has no moov box", end, seen=f"{seen.boxes} other boxes")
        if seen.mdat is None:
            wrong("the file has no media data (mdat)", end)
        tracks = tuple(_track(head, seen) for head in seen.head.tracks)
        if not any(track.tables for track in tracks):
            wrong("the file has no samples", seen.moov.at)
        duration_s = seen.head.duration_s
        if duration_s is None or seen.head.fragmented:
            duration_s = max([duration_s or 0.0, *(track.duration_s for track in tracks)])
        size = end if self._size is None else self._size
        self._index = Index(
            size=size,
            moov_offset=seen.moov.at,
            moov_size=seen.moov.size,
            mdat_offset=seen.mdat.at,
            mdat_size=size - seen.mdat.at if seen.mdat.size is None else seen.mdat.size,
            duration_s=duration_s,
            fragmented=seen.head.fragmented,
            tracks=tracks,
        )


def _track(head: TrackHead, seen: _Seen) -> Track:
    tables: list[Table] = [] if head.table is None else [head.table]
    listed = [one for index in seen.segments for one in index.fragments if one.track == head.number]
    if listed:
        tables.append(fragment_table(seen.segments[0].timescale, listed))
    read = [one for one in seen.fragments if one.track == head.number]
    if read:
        tables.append(fragment_table(head.timescale, read))
    return Track(
        number=head.number,
        handler=head.handler,
        codec=head.codec,
        width=head.width,
        height=head.height,
        timescale=head.timescale,
        tables=tuple(tables),
    )


def read_index(read: Callable[[int, int], bytes], size: int) -> Index:
    """Return the index of a file of so many bytes; `read(offset, count)` returns a range of it. Else Mp4Error."""
    reader = IndexReader(size)
    while reader.missing is not None:
        first, last = reader.missing
        data = read(first, min(last - first + 1, _MOST_READ_BYTES))
        if not data:
            wrong("no more bytes where the file should go on", first, expected=f"bytes {first} to {last}")
        reader.feed(first, data)
    assert reader.index is not None  # noqa: S101  (nothing is missing)
    return reader.index
