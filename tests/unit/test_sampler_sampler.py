"""Ticks, streams, targets, the lines of the input, and the messages between the harness and the sampler."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from seatrial.errors import ResultsUnwritable
from seatrial.model import Watch
from seatrial.record.tables import open_part
from seatrial.sampler.sampler import LineInput, SampledTargets, SampleStream, TickClock, quantiles
from seatrial.sampler.session import STOP, SamplerPlan, Summary, decode_watch, watch_line
from seatrial.wire.streams import NULL, SAMPLES, Reading, row_columns


class Scripted:
    """A source that returns its readings one after the other, and then has ended."""

    kind = "cgroup v2"

    def __init__(self, *readings: Reading | None) -> None:
        self._readings = list(readings)
        self.closed = 0

    def read(self) -> Reading | None:
        """Return the next one."""
        if not self._readings:
            raise OSError(errno.ENODEV, "No such device")
        return self._readings.pop(0)

    def close(self) -> None:
        """Count the calls."""
        self.closed += 1


@pytest.mark.parametrize(
    ("begin_ns", "end_ns", "due_ns", "missed"), [(1003, 1020, 1100, 0), (1000, 1350, 1400, 3)]
)
def test_ticks_stay_on_their_grid(begin_ns: int, end_ns: int, due_ns: int, missed: int) -> None:
    """A late tick does not move the next one; after a stall of 3.5 periods the missed ones are counted."""
    ticks = TickClock(100, 1000)
    ticks.begin(begin_ns)
    ticks.end(end_ns)
    assert (ticks.due_ns, ticks.missed) == (due_ns, missed)


def test_periods_are_measured_between_the_starts_of_ticks() -> None:
    """The median of 100, 100 and 140 is 100; one value has no quantiles."""
    ticks = TickClock(100, 0)
    for now in (0, 100, 200, 340):
        ticks.begin(now)
    assert ticks.period_p50_p99_ns()[0] == 100
    assert quantiles([5], 50, 99) == (0, 0)


def test_a_stream_names_its_service_and_holds_its_rows(tmp_path: Path) -> None:
    """Constants stand in the header; a row is its two stamps and the reading."""
    SampleStream(tmp_path, "../a b", "").close()  # can't leave the folder
    assert [path.name for path in tmp_path.iterdir()] == ["samples-.._a_b-1.bin"]
    stream = SampleStream(tmp_path, "auth", "af22")
    stream.add(1, 2, Reading(usage_bytes=3))
    stream.close()
    part = open_part(tmp_path / "samples-auth-1.bin")
    assert part.layout.constants == {"service": "auth", "container": "af22"}
    assert list(part.rows.tolist()[0]) == [1, 2, 3, *[NULL] * (len(row_columns(SAMPLES)) - 3)]


def test_a_folder_that_is_not_there_can_not_be_written(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(ResultsUnwritable) as caught:
        SampleStream(tmp_path / "missing", "auth", "")
    assert caught.value.where == str(tmp_path / "missing/samples-auth-1.bin")


def test_each_reading_has_a_stamp_before_and_one_after(tmp_path: Path) -> None:
    """Two targets in one tick have four stamps, in order; ENODEV from a removed cgroup ends that target only."""
    clock = iter(range(100))
    gone, lasting = Scripted(Reading()), Scripted(Reading(), Reading())
    targets = SampledTargets(tmp_path, lambda: next(clock))
    targets.add("gone", "1", gone)
    targets.add("lasting", "2", lasting)
    targets.sample()
    targets.sample()
    assert targets.rows() == {"gone": 1, "lasting": 2}
    assert (gone.closed, lasting.closed) == (1, 0)
    targets.close()
    rows = [open_part(tmp_path / f"samples-{name}-1.bin").rows[0] for name in ("gone", "lasting")]
    assert [(row["t_ns"], row["t_after_ns"]) for row in rows] == [(0, 1), (2, 3)]


def test_a_restarted_container_continues_its_file(tmp_path: Path) -> None:
    """The same id appends, a new id gets a file of its own."""
    targets = SampledTargets(tmp_path)
    for container in ("1", "1", "2"):
        targets.add("auth", container, Scripted(Reading()))
        targets.sample()
    targets.close()
    assert [len(open_part(tmp_path / f"samples-auth-{n}.bin").rows) for n in (1, 2)] == [2, 1]


def test_no_reading_is_no_row(tmp_path: Path) -> None:
    """The Docker API has something new once a second only; one never found has the source `none`."""
    targets = SampledTargets(tmp_path)
    targets.add("auth", "1", Scripted(None, Reading()))
    targets.expect("web")
    targets.sample()
    targets.sample()
    assert (targets.rows(), targets.sources["web"]) == ({"auth": 1, "web": 0}, "none")


def test_other_read_errors_are_not_hidden(tmp_path: Path) -> None:
    """Only the end of a target is expected; an I/O error is not."""

    class Broken(Scripted):
        def read(self) -> Reading | None:
            raise OSError(errno.EIO, "Input/output error")

    targets = SampledTargets(tmp_path)
    targets.add("auth", "1", Broken())
    with pytest.raises(OSError, match="Input/output"):
        targets.sample()


def test_lines_come_whole_from_pieces() -> None:
    """A line that arrives in two writes is one line; one that came with the first is kept."""
    reading, writing = os.pipe()
    messages = LineInput(reading)
    os.write(writing, b"plan\nmore\ntw")
    assert messages.first_line(1.0) == b"plan"
    assert messages.receive(0) == [b"more"]
    os.write(writing, b"o\n")
    assert messages.receive(0) == [b"two"]
    assert messages.receive(0) == []
    os.close(writing)
    assert (messages.receive(0), messages.ended) == ([], True)
    os.close(reading)


def test_what_one_process_writes_the_other_reads(tmp_path: Path) -> None:
    """A plan, then targets (anything without one is a stop), and in the end the sampler's summary."""
    host, load = Watch(service="host", kind="host"), Watch(service="load", kind="tree", pid=7)
    auth = Watch(service="auth", kind="container", container="af22")
    plan = SamplerPlan(watches=(auth, host), streams=Path("/r"), events=Path("/e"), project="p", hz=5.0)
    assert plan.encode().count(b"\n") == 1
    assert SamplerPlan.decode(plan.encode()) == plan
    assert decode_watch(watch_line(load)) == load
    assert decode_watch(STOP) is None

    ticks = {"ticks": 3, "missed_ticks": 0, "period_p50_ns": 100, "period_p99_ns": 110}
    times: dict[str, Any] = {"container_sample_p50_ns": 40, "cpu_s": 0.1, "wall_s": 20.0, "startup_cpu_s": 0.2}
    summary = Summary(samples={"auth": 3}, sources={"auth": "cgroup v1"}, **ticks, **times)
    summary.write(tmp_path)
    assert Summary.load(tmp_path) == summary
