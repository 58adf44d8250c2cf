"""Run folders and experiment folders: creating and finding them, and atomic writes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from seatrial.errors import ResultsUnwritable, UsageError
from seatrial.units import NS_PER_S

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_MOST_OF_ONE_NAME = 100


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """Turn an OSError of the block into ResultsUnwritable about `where`."""
    try:
        yield
    except OSError as error:
        raise ResultsUnwritable(
            "the run folder can't be written",
            where=str(where),
            seen=os.strerror(error.errno) if error.errno else str(error),
            expected="a folder with room and write permission",
            hint=_hint(error.errno, where),
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears whole or not at all: a file beside it, fsync, then rename.

    OSError is passed on; the half-written file is removed.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the rename survives a power cut
        finally:
            os.close(folder)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _hint(code: int | None, where: Path) -> str:
    if code in _FULL:
        return f"make room (df -h {where}; old runs: seatrial list), or choose another disk: --results DIR"
    if code in _FORBIDDEN:
        return f"look at the owner (ls -ld {where}), or choose another folder: --results DIR"
    return "choose another folder: --results DIR"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run; the properties are the paths of its parts, whether these exist or not."""

    root: Path

    @property
    def streams(self) -> Path:
        """The files that processes append to while the run lasts; removed when the run is sealed."""
        return self.root / "streams"

    @property
    def logs(self) -> Path:
        """The services' and the generator's logs."""
        return self.root / "logs"

    @property
    def document(self) -> Path:
        """The run's description, run.json."""
        return self.root / "run.json"

    @property
    def recording(self) -> Path:
        """The description of a recording of plain Locust, until it is sealed."""
        return self.root / "recording.json"

    @property
    def catalogue(self) -> Path:
        """What the seed command has put into the stack."""
        return self.root / "catalogue.json"

    @property
    def events(self) -> Path:
        """Events of the services' containers, one JSON object a line."""
        return self.root / "events.jsonl"

    @property
    def experiment(self) -> Path:
        """The folder of the experiment that this run belongs to."""
        return self.root.parent.parent

    def table(self, name: str) -> Path:
        """Return the path of a table of the sealed run."""
        return self.root / f"{name}.parquet"


def create_experiment(results: Path, scenario: str, wall_ns: int) -> Path:
    """Create `results/<utc>-<scenario>/`, unique; ResultsUnwritable if the disk refuses."""
    with writing(results):
        results.mkdir(parents=True, exist_ok=True)
        experiment = _unique(results, f"{_utc(wall_ns)}-{_safe(scenario)}")
        (experiment / "runs").mkdir()
        return experiment


def create_run(experiment: Path, variant: str, block: int, wall_ns: int) -> RunFolder:
    """Create `runs/<utc>-<variant>-b<block>/` with its folders; ResultsUnwritable if the disk refuses."""
    with writing(experiment):
        runs = experiment / "runs"
        runs.mkdir(exist_ok=True)
        folder = RunFolder(_unique(runs, f"{_utc(wall_ns)}-{_safe(variant)}-b{block}"))
        folder.streams.mkdir()
        folder.logs.mkdir()
        return folder


def other_runs_of_block(folder: RunFolder, block: int) -> list[RunFolder]:
    """Return the experiment's other runs of a block, sorted by the names of their folders."""
    of_block = re.compile(rf"-b{block}(-\d+)?$")
    runs = sorted(root for root in folder.root.parent.glob(f"*-b{block}*") if of_block.search(root.name))
    return [RunFolder(root) for root in runs if root.name != folder.root.name and _is_run(root)]


def create_for_kept_stack(results: Path, scenario: str) -> RunFolder:
    """Create `results/standing-<scenario>/` for a stack that is kept up: it has logs, but is not a run."""
    with writing(results):
        results.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(_unique(results, f"standing-{_safe(scenario)}"))
        folder.logs.mkdir()
        return folder


def list_runs(results: Path) -> list[RunFolder]:
    """Return every run below `results`, the newest first; empty if there is none."""
    runs = [RunFolder(root) for root in results.glob("*/runs/*") if _is_run(root)]
    return sorted(runs, key=lambda run: (run.root.name[:16], run.root), reverse=True)


def find_run(results: Path, name: str) -> RunFolder:
    """Return the run with this name: `latest`, a folder, or a name below `results`.

    The name of an experiment stands for its newest run. The UsageError for an unknown name lists the newest runs.
    """
    runs = list_runs(results)
    if name == "latest":
        candidates = [run.root for run in runs[:1]]
    else:
        candidates = [results / name, Path(name), *(run.root for run in runs if run.root.name == name)]
    for root in candidates:
        if _is_run(root):
            return RunFolder(root)
        newest = max((run for run in root.glob("runs/*") if _is_run(run)), default=None)
        if newest is not None:
            return RunFolder(newest)
    raise UsageError(
        f"there is no run {name!r}" if name != "latest" else "there is no run yet",
        where=str(results.absolute()),
        seen="\n".join(run.root.name for run in runs[:5]) or "no run at all",
        expected="`latest`, a run's folder, an experiment's folder, or the name of one",
        hint="seatrial list" if runs else "seatrial run registry-pull",
    )


def find_experiment(results: Path, name: str) -> Path | None:
    """Return the experiment with this name, for `latest` that of the newest run; None if the name is a run's."""
    if name == "latest":
        runs = list_runs(results)
        return runs[0].experiment if runs else None
    root = next((root for root in (results / name, Path(name)) if root.is_dir()), None)
    return root if root is not None and not _is_run(root) and (root / "runs").is_dir() else None


def _is_run(root: Path) -> bool:
    folder = RunFolder(root)
    return folder.document.is_file() or folder.recording.is_file()


def _utc(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).strftime("%Y%m%dT%H%M%SZ")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


def _unique(parent: Path, name: str) -> Path:
    for number in range(1, _MOST_OF_ONE_NAME + 1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise ResultsUnwritable(
        f"{_MOST_OF_ONE_NAME} folders of this name exist already",
        where=str(parent / name),
        hint="remove old ones, or choose another folder: --results DIR",
    )
