"""The moov box: its tracks with their sample tables (ISO/IEC 14496-12:2022, 8.3 to 8.7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seatrial.media.boxes import Body, Integers, wrong
from seatrial.media.sampling import SampleTable

_MOST_TICKS = 1 << 62
_MOST_OFFSET = 1 << 61
"""So that sums of two stay below 2^63."""

_UNKNOWN = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
"""Durations that say nothing (8.2.2.3: all ones where it can't be determined)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentDefaults:
    """What a fragment of a track has where it says nothing (trex, 8.8.3)."""

    duration: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackHead:
    """What moov says of a track; `table` is None where it has no samples there."""

    number: int
    handler: str
    codec: str
    width: int
    height: int
    timescale: int
    table: SampleTable | None
    defaults: FragmentDefaults


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieHead:
    """What moov says of the file; `duration_s` is None where it is not told; `fragmented`: it has mvex."""

    duration_s: float | None
    fragmented: bool
    tracks: tuple[TrackHead, ...]


def movie_head(moov: Body, size: int | None) -> MovieHead:
    """Read a moov box of a file of that size in bytes (None: not known)."""
    timescale, duration = _times(moov.child("mvhd"))
    extends = moov.optional("mvex")
    defaults: dict[int, FragmentDefaults] = {}
    for one in extends.children() if extends is not None else ():
        if one.kind == "trex":
            _, number, _, default_duration, default_size = one.numbers("5I")
            defaults[number] = FragmentDefaults(duration=default_duration, size=default_size)
        elif one.kind == "mehd":
            (duration,) = one.numbers("Q" if one.version()[0] else "I", 4)
    hole = range(moov.at, moov.at + len(moov.data))
    tracks = tuple(_track(one, defaults, size, hole) for one in moov.children() if one.kind == "trak")
    if not tracks:
        wrong("the file has no track", moov.at)
    return MovieHead(
        duration_s=None if duration in _UNKNOWN else duration / timescale,
        fragmented=extends is not None,
        tracks=tracks,
    )


def _times(body: Body) -> tuple[int, int]:
    """Return time scale and duration of mvhd or mdhd: both begin alike (8.2.2.2, 8.4.2.2)."""
    version, _ = body.version()
    _, _, timescale, duration = body.numbers("QQIQ" if version == 1 else "IIII", 4)
    if timescale == 0:
        wrong(f"the time scale of {body.kind!r} is zero", body.at)
    return timescale, duration


def _track(trak: Body, defaults: dict[int, FragmentDefaults], size: int | None, hole: range) -> TrackHead:
    head = trak.child("tkhd")
    wide = head.version()[0] == 1
    (number,) = head.numbers("I", 20 if wide else 12)
    width, height = head.numbers("II", 88 if wide else 76)
    media = trak.child("mdia")
    timescale, _ = _times(media.child("mdhd"))
    tables = media.child("minf").child("stbl")
    descriptions = tables.child("stsd")
    entries = descriptions.numbers("I", 4)[0]
    return TrackHead(
        number=number,
        handler=media.child("hdlr").text(8),
        codec=descriptions.text(12) if entries else "",
        width=width >> 16,
        height=height >> 16,
        timescale=timescale,
        table=_sample_table(tables, timescale, size, hole),
        defaults=defaults.get(number, FragmentDefaults(duration=0, size=0)),
    )


def _sample_table(tables: Body, timescale: int, size: int | None, hole: range) -> SampleTable | None:
    samples, sample_size, before = _sizes(tables)
    if samples == 0:
        return None
    limit = _MOST_OFFSET if size is None else size
    total = samples * sample_size if before is None else int(before[-1])
    if total > limit:
        wrong(
            "the samples are larger than the file", tables.at, seen=f"{total} bytes", expected=f"{limit} at most"
        )
    offsets = _chunk_offsets(tables)
    chunk_samples = _chunk_samples(tables.child("stsc"), len(offsets), samples)
    used = int(np.searchsorted(chunk_samples, samples))  # chunks after the last sample are left out
    offsets, chunk_samples = offsets[:used], chunk_samples[: used + 1]
    lengths = np.diff(chunk_samples * sample_size if before is None else before[chunk_samples])
    ends = offsets + lengths
    last = int(ends.max())
    if last > limit:
        wrong("samples lie after the end of the file", tables.at, seen=f"byte {last}", expected=f"{limit} at most")
    if ((offsets < hole.stop) & (ends > hole.start)).any():
        wrong("samples lie within the moov box", tables.at)
    run_samples, run_ticks, run_delta = _runs(tables.child("stts"), samples)
    return SampleTable(
        timescale=timescale,
        samples=samples,
        sample_size=sample_size,
        before=before,
        chunk_offsets=offsets,
        chunk_samples=chunk_samples,
        run_samples=run_samples,
        run_ticks=run_ticks,
        run_delta=run_delta,
        sync=_sync(tables.optional("stss"), samples),
        chunks_complete=np.maximum.accumulate(ends),
    )


def _sizes(tables: Body) -> tuple[int, int, Integers | None]:
    """Return the number of samples, their size if it is one, else the bytes before each (8.7.3)."""
    body = tables.optional("stsz")
    if body is not None:
        _, sample_size, samples = body.numbers("3I")
        if sample_size or not samples:
            return samples, sample_size, None
        sizes = body.table(12, samples)
    else:
        body = tables.child("stz2")
        _, field_bits, samples = body.numbers("3I")
        field_bits &= 0xFF
        if field_bits not in {4, 8, 16}:
            wrong("no such field size of stz2", body.at, seen=str(field_bits), expected="4, 8 or 16")
        if field_bits == 4:  # noqa: PLR2004  (two in a byte, the first one above)
            pairs = body.table(12, -(-samples // 2), 1)
            sizes = np.stack((pairs >> 4, pairs & 15), axis=1).reshape(-1)[:samples]
        else:
            sizes = body.table(12, samples, field_bits // 8)
    if sizes.min() == sizes.max():
        return samples, int(sizes[0]), None
    before = np.zeros(samples + 1, np.int64)
    np.cumsum(sizes, dtype=np.int64, out=before[1:])
    return samples, 0, before


def _chunk_offsets(tables: Body) -> Integers:
    """Return where the chunks begin (8.7.5)."""
    body = tables.optional("stco") or tables.child("co64")
    entries = body.numbers("I", 4)[0]
    raw = body.table(8, entries, 4 if body.kind == "stco" else 8)
    if entries and int(raw.max()) > _MOST_OFFSET:
        wrong("a chunk has an offset that can't be", body.at, seen=str(int(raw.max())))
    return raw.astype(np.int64)


def _chunk_samples(body: Body, chunks: int, samples: int) -> Integers:
    """Return the first sample of each chunk, and one more entry: the number of samples (8.7.4)."""
    entries = body.numbers("I", 4)[0]
    rows = body.table(8, entries, columns=3).astype(np.int64)
    firsts = rows[:, 0]
    if not entries or firsts[0] != 1 or (np.diff(firsts) <= 0).any():
        wrong("the chunks of stsc are not in ascending order from 1 on", body.at)
    firsts = np.append(np.minimum(firsts, chunks + 1), chunks + 1)
    per_chunk = np.repeat(rows[:, 1], np.diff(firsts))
    found = np.zeros(chunks + 1, np.int64)
    np.cumsum(per_chunk, out=found[1:])
    if found[-1] < samples:
        seen = f"{int(found[-1])} samples in {chunks} chunks"
        wrong("there are samples without a chunk", body.at, seen=seen, expected=f"{samples} samples")
    return np.minimum(found, samples)


def _runs(body: Body, samples: int) -> tuple[Integers, Integers, Integers]:
    """Return first sample, first time and duration of each run of stts (8.6.1.2)."""
    entries = body.numbers("I", 4)[0]
    rows = body.table(8, entries, columns=2).astype(np.int64)
    counts, deltas = rows[:, 0], rows[:, 1]
    if int(counts.sum()) < samples:
        wrong("there are samples without a time", body.at, seen=f"{int(counts.sum())}", expected=f"{samples}")
    if float((counts.astype(np.float64) * deltas).sum()) > _MOST_TICKS:
        wrong("the times of stts are beyond any clock", body.at)
    firsts = np.cumsum(counts) - counts
    ticks = np.cumsum(counts * deltas) - counts * deltas
    kept = (counts > 0) & (firsts < samples)
    return firsts[kept], ticks[kept], deltas[kept]


def _sync(body: Body | None, samples: int) -> Integers | None:
    """Return the numbers of the sync samples, from 0 on; None if all are (8.6.2)."""
    if body is None:
        return None
    entries = body.numbers("I", 4)[0]
    numbers = body.table(8, entries).astype(np.int64) - 1
    if not entries:
        return np.zeros(1, np.int64)  # no sample is one: decoding has to begin with the first
    if numbers[0] < 0 or (np.diff(numbers) <= 0).any() or numbers[-1] >= samples:
        wrong("the sync samples are not ascending numbers of samples", body.at)
    return numbers
