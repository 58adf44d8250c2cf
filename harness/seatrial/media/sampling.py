"""Where the samples of a track lie in the file and in time: from sample tables, and from fragments.

Both answer the same two questions: from which byte to read in order to play from a second, and which second is
reached when all bytes up to an offset are there. Times are decoding times in seconds; composition offsets (ctts)
and edit lists are left out, which shifts them by a few pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seatrial.media.boxes import Integers


@dataclass(frozen=True, slots=True)
class SyncPoint:
    """A sample that decoding can begin with."""

    offset: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTable:
    """The samples of a moov box: 8 bytes of memory a sample, or none if all have one size.

    `before`: bytes of all samples before each, n + 1 numbers (or None: all have `sample_size`); `chunk_offsets`
    and `chunk_samples`: where each chunk begins, and with which sample (one more entry: the number of samples);
    `run_samples`, `run_ticks`, `run_delta`: first sample, first time and duration of each run of samples of one
    duration; `sync`: numbers of the sync samples, None: all are.
    """

    timescale: int
    samples: int
    sample_size: int
    before: Integers | None
    chunk_offsets: Integers
    chunk_samples: Integers
    run_samples: Integers
    run_ticks: Integers
    run_delta: Integers
    sync: Integers | None
    chunks_complete: Integers
    """For each chunk the offset up to which the file has to be there, for it and all chunks before it."""

    @property
    def begin_s(self) -> float:
        """When the first sample begins."""
        return 0.0

    @property
    def end_s(self) -> float:
        """When the last sample ends."""
        return self._seconds(self.samples)

    @property
    def sync_samples(self) -> int:
        """How many samples decoding can begin with."""
        return self.samples if self.sync is None else len(self.sync)

    def sync_point(self, seconds: float) -> SyncPoint:
        """Return the sync sample at or before a time; the first one if there is none."""
        number = self._sample_at(seconds)
        if self.sync is not None:
            number = int(self.sync[max(int(np.searchsorted(self.sync, number, "right")) - 1, 0)])
        return SyncPoint(self._offset(number), self._seconds(number))

    def seconds_at(self, offset: int) -> float | None:
        """Return when the first sample begins that is not wholly before the offset; None: all are."""
        chunk = int(np.searchsorted(self.chunks_complete, offset, "right"))
        if chunk == len(self.chunk_offsets):
            return None
        first, end = int(self.chunk_samples[chunk]), int(self.chunk_samples[chunk + 1])
        reached = self._bytes_before(first) + offset - int(self.chunk_offsets[chunk])
        if self.before is None:
            number = reached // self.sample_size if self.sample_size else end
        else:
            number = int(np.searchsorted(self.before, reached, "right")) - 1
        return self._seconds(min(max(number, first), end))

    def _bytes_before(self, number: int) -> int:
        return number * self.sample_size if self.before is None else int(self.before[number])

    def _offset(self, number: int) -> int:
        chunk = int(np.searchsorted(self.chunk_samples, number, "right")) - 1
        inside = self._bytes_before(number) - self._bytes_before(int(self.chunk_samples[chunk]))
        return int(self.chunk_offsets[chunk]) + inside

    def _seconds(self, number: int) -> float:
        run = int(np.searchsorted(self.run_samples, number, "right")) - 1
        ticks = int(self.run_ticks[run]) + (number - int(self.run_samples[run])) * int(self.run_delta[run])
        return ticks / self.timescale

    def _sample_at(self, seconds: float) -> int:
        ticks = round(max(seconds, 0.0) * self.timescale, 3)  # 0.28 s * 12800 is 3584.0000000000005
        run = max(int(np.searchsorted(self.run_ticks, ticks, "right")) - 1, 0)
        delta = int(self.run_delta[run])
        inside = int((ticks - int(self.run_ticks[run])) // delta) if delta else 0
        return min(int(self.run_samples[run]) + inside, self.samples - 1)


@dataclass(frozen=True, slots=True)
class FragmentTable:
    """Fragments of a track, or references of a segment index, in the order of time.

    `begins`: offset where each begins; `complete`: up to where the file has to be there, for it and all before it;
    `begin_ticks`, `end_ticks`: its time. Decoding can begin with each.
    """

    timescale: int
    begins: Integers
    complete: Integers
    begin_ticks: Integers
    end_ticks: Integers

    @property
    def begin_s(self) -> float:
        """When the first one begins."""
        return int(self.begin_ticks[0]) / self.timescale

    @property
    def end_s(self) -> float:
        """When the last one ends."""
        return int(self.end_ticks[-1]) / self.timescale

    @property
    def sync_samples(self) -> int:
        """How many places there are that decoding can begin with."""
        return len(self.begins)

    def sync_point(self, seconds: float) -> SyncPoint:
        """Return the fragment at or before a time; the first one if there is none."""
        ticks = round(max(seconds, 0.0) * self.timescale, 3)
        number = max(int(np.searchsorted(self.begin_ticks, ticks, "right")) - 1, 0)
        return SyncPoint(int(self.begins[number]), int(self.begin_ticks[number]) / self.timescale)

    def seconds_at(self, offset: int) -> float | None:
        """Return when the first fragment begins that is not wholly before the offset; None: all are."""
        number = int(np.searchsorted(self.complete, offset, "right"))
        return None if number == len(self.complete) else int(self.begin_ticks[number]) / self.timescale


Table = SampleTable | FragmentTable
