"""The sampler as a real process, and process trees read from real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from factories import read_column
from spawning import spawn
from trials import wait_until

from seatrial.errors import MeasurementInvalid, ResultsUnwritable
from seatrial.model import Watch
from seatrial.record.tables import open_part
from seatrial.sampler.process_tree import OwnProcess, ProcessTable, Tree
from seatrial.sampler.session import Observer, SamplerPlan, Summary, observing
from seatrial.wire.streams import NULL, Reading

MIB = 1 << 20
HOST = Watch(service="host", kind="host")
SAMPLER = Watch(service="sampler", kind="sampler")


def wait_until_sampled(streams: Path, service: str, count: int = 5) -> None:
    """Wait until a service has some rows."""
    path = streams / f"samples-{service}-1.bin"
    wait_until(lambda: path.exists() and len(open_part(path).rows) >= count, 15)


@contextmanager
def watching(folder: Path, *watches: Watch) -> Iterator[Observer]:
    """Run a fast sampler over some targets."""
    with observing(watches, folder, folder / "events.jsonl", spawn=spawn, hz=50.0) as observer:
        yield observer


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a shell with a Python grandchild, synchronised by lines on its input and output."""
    argv = ["sh", "-c", '"$0" -c "$1"; true', sys.executable, code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as shell:
        try:
            yield shell
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def read_line(child: subprocess.Popen[bytes]) -> bytes:
    """Read one line of the child."""
    assert child.stdout is not None
    return child.stdout.readline()


def go_on(child: subprocess.Popen[bytes]) -> None:
    """Let the child go on."""
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()


def tree_of(child: subprocess.Popen[bytes], step_ns: int = 10**9) -> Tree:
    """Return a child's tree; its clock, and that of its process table, advance a step at each reading."""
    table_clock, clock = iter(range(0, 10**12, 10**9)), iter(range(0, 10**12, step_ns))
    return Tree(child.pid, ProcessTable(Path("/proc"), lambda: next(table_clock)), clock=lambda: next(clock))


def before_and_after(code: str, step_ns: int = 10**9) -> tuple[Reading, Reading]:
    """Read the tree of a program before and after what it does between its first two lines of output."""
    with python(code) as child:
        read_line(child)
        tree = tree_of(child, step_ns)
        before = tree.read()
        go_on(child)
        read_line(child)
        after = tree.read()
    tree.close()
    return before, after


def test_memory_of_a_grandchild() -> None:
    """A tree's anonymous memory grows by what a process two levels down allocates."""
    before, after = before_and_after(
        "print(flush=True); input(); x = bytearray(64 << 20); print(flush=True); input()"
    )
    assert 64 * MIB <= after.anon_bytes - before.anon_bytes < 70 * MIB
    assert after.usage_bytes > after.anon_bytes
    assert (before.processes, before.kernel_bytes) == (2, NULL)


def test_shared_classes_are_read_every_ten_seconds() -> None:
    """The first reading has file pages and shmem, the next has NULL, ten seconds later they are back."""
    clock = iter([0, 0, 0, 10**9, 10**10, 10**10])
    with python("print(flush=True); input()") as child:
        read_line(child)
        tree = Tree(child.pid, ProcessTable(Path("/proc")), clock=lambda: next(clock))
        first, second, third = tree.read(), tree.read(), tree.read()
    tree.close()
    assert first.file_clean_bytes > 0
    assert first.shmem_bytes == 0
    assert second.file_clean_bytes == NULL
    assert third.file_clean_bytes > 0


def test_an_exec_does_not_end_the_sampling_of_its_tree() -> None:
    """The shared classes are read before and after a process becomes another program."""
    code = "import os; print(flush=True); input(); os.execvp('sh', ['sh', '-c', 'echo; read line'])"
    before, after = before_and_after(code, step_ns=10**10)
    assert before.processes == after.processes == 2
    assert 0 < after.file_clean_bytes < before.file_clean_bytes


def test_a_process_whose_disk_bytes_are_denied_does_not_end_the_sampling(tmp_path: Path) -> None:
    """Its other columns go on; the kernel denies `io` to others once a process has become another user's."""
    tree = Tree(7, ProcessTable(made_up(tmp_path, 7)), proc=tmp_path)
    process = tree._processes[7]
    tree.read()
    write_only = os.open(tmp_path / "7/io", os.O_WRONLY)
    os.dup2(write_only, process._io._descriptor or -1)  # reading answers EBADF, which stands in for EACCES
    os.close(write_only)
    reading = tree.read()
    tree.close()
    assert (reading.read_bytes, reading.written_bytes) == (11, 22)


def made_up(proc: Path, pid: int) -> Path:
    """Write the files of one process."""
    (proc / str(pid)).mkdir()
    (proc / "loadavg").write_text(f"0 0 0 1/1 {pid}\n")
    fields = " ".join(["0"] * 40)
    (proc / str(pid) / "stat").write_text(f"{pid} (x) S 1 {fields}")
    (proc / str(pid) / "statm").write_text("9 5 2 1 0 1 0\n")
    (proc / str(pid) / "io").write_text("read_bytes: 11\nwrite_bytes: 22\n")
    return proc


def test_cpu_of_a_child_that_ended_is_kept() -> None:
    """The CPU time of a grandchild stays in the sum once it has been waited for."""
    code = (
        "import os, time; print(flush=True); input()\n"
        "if os.fork() == 0:\n"
        "    while time.process_time() < 0.3: pass\n"
        "    os._exit(0)\n"
        "os.wait(); print(flush=True); input()"
    )
    before, after = before_and_after(code)
    assert after.cpu_ns - before.cpu_ns >= 250_000_000


def test_a_tree_ends_with_its_last_process() -> None:
    """Reading then fails like a removed cgroup, also while the dead process has not been waited for."""
    with python("print(flush=True); input()") as child:
        read_line(child)
        tree = tree_of(child)
        tree.read()
        os.killpg(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ProcessLookupError):
            wait_until(lambda: tree.read() is None, 5)
    tree.close()


def test_the_sampler_reads_itself() -> None:
    """Its own process has memory, CPU and at least one task."""
    own = OwnProcess()
    reading = own.read()
    own.close()
    assert reading.usage_bytes > reading.anon_bytes > MIB
    assert reading.cpu_ns > 0
    assert reading.processes >= 1


def test_the_time_that_a_quota_throttled_the_samplers_groups(tmp_path: Path) -> None:
    """Once a second, of all groups on the way up; NULL between, and where no group counts it."""
    top, now_ns = tmp_path / "sys/fs/cgroup", [1]
    (top / "job/step").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n")
    (top / "cpu.stat").write_text("usage_usec 9\n")
    assert OwnProcess(tmp_path).read().throttled_ns == NULL
    (top / "job/cpu.stat").write_text("usage_usec 7\nnr_throttled 1\nthrottled_usec 2000\n")
    (top / "job/step/cpu.stat").write_text("usage_usec 7\nnr_throttled 1\nthrottled_usec 500\n")

    own = OwnProcess(tmp_path, clock=lambda: now_ns[0])
    throttled_ns = [own.read().throttled_ns, own.read().throttled_ns]
    now_ns[0] += 1_000_000_000
    throttled_ns.append(own.read().throttled_ns)
    own.close()

    assert throttled_ns == [2_500_000, NULL, 2_500_000]


def test_a_session_writes_streams_events_and_a_summary(tmp_path: Path) -> None:
    """Host and sampler are read, the events file is there, and the summary is the same in both places."""
    with watching(tmp_path, HOST, SAMPLER) as observer:
        wait_until_sampled(tmp_path, "host")
    assert observer.summary == Summary.load(tmp_path)
    assert observer.summary is not None
    assert observer.summary.sources == {"host": "host", "sampler": "own process"}
    assert observer.summary.samples["sampler"] == len(open_part(tmp_path / "samples-sampler-1.bin").rows)
    assert (tmp_path / "events.jsonl").read_bytes() == b""
    before, after = (read_column(tmp_path / "samples-host-1.bin", name) for name in ("t_ns", "t_after_ns"))
    assert all(early < late for early, late in zip(before, after, strict=True))


def test_a_target_can_be_added_later(tmp_path: Path) -> None:
    """The load generator's process is known only after the sampler has begun."""
    with watching(tmp_path, HOST) as observer:
        observer.watch(Watch(service="generator", kind="tree", pid=os.getpid()))
        wait_until_sampled(tmp_path, "generator")
    assert observer.summary is not None
    assert observer.summary.sources["generator"] == "process tree"


def test_a_target_that_has_ended_already_is_in_the_summary(tmp_path: Path) -> None:
    """Its source is `none`, and the others are read."""
    with watching(tmp_path, HOST, Watch(service="late", kind="tree", pid=2**22 + 1)) as observer:
        wait_until_sampled(tmp_path, "host")
    assert observer.summary is not None
    assert (observer.summary.sources["late"], observer.summary.samples["late"]) == ("none", 0)


def test_a_killed_sampler_invalidates_the_measurement_and_leaves_its_data(tmp_path: Path) -> None:
    """The end of the context raises; the rows of the last second are in the file."""
    session = watching(tmp_path, HOST)
    observer = session.__enter__()
    wait_until_sampled(tmp_path, "host")
    os.kill(observer.pid, signal.SIGKILL)
    with pytest.raises(MeasurementInvalid, match="ended before the run did"):
        session.__exit__(None, None, None)
    assert len(open_part(tmp_path / "samples-host-1.bin").rows) >= 5


def test_a_dead_sampler_is_detected_at_once(tmp_path: Path) -> None:
    """A run of an hour need not go on without samples."""
    session = watching(tmp_path, HOST)
    observer = session.__enter__()
    observer.check_alive()
    os.kill(observer.pid, signal.SIGKILL)
    os.waitid(os.P_PID, observer.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(MeasurementInvalid, match="ended before the run did"):
        observer.check_alive()
    with pytest.raises(MeasurementInvalid):
        session.__exit__(None, None, None)


def test_an_error_of_the_body_comes_first(tmp_path: Path) -> None:
    """A dead sampler does not hide why the run failed."""
    session = watching(tmp_path, HOST)
    os.kill(session.__enter__().pid, signal.SIGKILL)
    failure = KeyError("the load failed")
    assert session.__exit__(KeyError, failure, None) is False


def test_a_folder_that_can_not_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    """The error is that of the results, with the sampler's own message."""
    with (
        pytest.raises(ResultsUnwritable) as caught,
        observing([HOST], tmp_path / "none", tmp_path / "events.jsonl", spawn=spawn),
    ):
        pass
    assert "a record file can't be opened" in caught.value.seen


def test_a_full_disk_is_an_error_of_the_results(tmp_path: Path) -> None:
    """A stream that can't grow ends the sampler with the error of the results (a file limit stands in)."""

    def confined(argv: Sequence[str], **pipes: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401  (Popen's own)
        return subprocess.Popen(["prlimit", "--fsize=4096", *argv], start_new_session=True, **pipes)

    session = observing([HOST], tmp_path, tmp_path / "events.jsonl", spawn=confined, hz=100.0)
    observer = session.__enter__()
    os.waitid(os.P_PID, observer.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ResultsUnwritable):
        session.__exit__(None, None, None)


@pytest.mark.parametrize("end", ["input", "terminate"])
def test_the_sampler_ends_with_its_harness(tmp_path: Path, end: str) -> None:
    """The end of its input, or SIGTERM, makes it flush, write its summary and exit with 0."""
    plan = SamplerPlan(watches=(HOST,), streams=tmp_path, events=tmp_path / "e", project="", hz=50.0)
    argv = [sys.executable, "-m", "seatrial.sampler"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sampler:
        assert sampler.stdin is not None
        sampler.stdin.write(plan.encode())
        sampler.stdin.flush()
        assert read_line(sampler) == b"ready\n"
        if end == "terminate":
            sampler.terminate()
        else:
            sampler.stdin.close()
        assert sampler.wait(10) == 0
    assert Summary.load(tmp_path).samples["host"] == len(open_part(tmp_path / "samples-host-1.bin").rows)
