"""What a stack and its load are made of, file by file: nobody may mix two versions of them in one experiment."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path

from seatrial.judge import facts
from seatrial.model import Scenario
from seatrial.observe import checkout

HASHED_BYTES = 1 << 20
"""Of a larger file size and time of change stand for its content: a stack may have videos of gigabytes to seed."""

MOST_FILES = 10_000
"""They take about a second. A folder with more is a home or a disk, and not what a stack is made of."""

_DIGITS = 16
_SHOWN = 20
_NEVER = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules"})
"""What is walked around: it is the tools' own, and may have a hundred thousand files."""


def of(scenario: Scenario, *, results: Path, most: int = MOST_FILES) -> dict[str, str]:
    """Return mode and digest of each file of the stack's folder, of the locustfile, and of the `_*.py` beside it.

    What git ignores is left out, but for `.env` files, which Compose reads, and what a variant names; without git,
    what no stack is made of. So are `results`. Of more than `most` only those count that lie in no folder below.
    What can't be read is left out: whoever needs it tells.
    """
    folder, locustfile = scenario.compose_file.parent, scenario.load.locustfile
    named = {file for variant in scenario.variants.values() for file in variant.files.values()}
    below = {*_files(folder, scenario.compose_file, results, most), *named}
    found = {file.relative_to(folder).as_posix(): file for file in below if file.is_relative_to(folder)}
    found |= {f"load: {file.name}": file for file in (locustfile, *sorted(locustfile.parent.glob("_*.py")))}
    digests = {}
    for name, file in sorted(found.items()):
        with suppress(OSError):
            digests[name] = _digest(file)
    return digests


def differing(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return, one line each, which files are changed, new or gone; of very many only the first ones."""
    names = sorted(facts.differing(then, now))
    lines = [
        f"{name}: {'new' if name not in then else 'gone' if name not in now else 'changed'}" for name in names
    ]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more files"]
    return lines


def _files(folder: Path, compose_file: Path, results: Path, most: int) -> Iterator[Path]:
    known = checkout.files(folder)
    if compose_file not in known:  # no checkout, or one that has nothing to do with this stack
        known = frozenset(islice(_walked(folder, results.absolute()), most + 1))
    if len(known) > most:
        known = frozenset(file for file in folder.iterdir() if file.is_symlink() or not file.is_dir())
    settings = {*folder.glob(".env"), *folder.glob(".env.*"), *folder.glob("*.env")}
    for file in {*known, *settings}:
        if not file.absolute().is_relative_to(results.absolute()):
            yield file


def _walked(folder: Path, results: Path) -> Iterator[Path]:
    for place, inner, names in os.walk(folder):
        links = [name for name in inner if (Path(place) / name).is_symlink()]
        inner[:] = [name for name in inner if name not in _NEVER and Path(place).absolute() / name != results]
        yield from (Path(place) / name for name in (*names, *links))


def _digest(file: Path) -> str:
    seen = file.lstat()
    mode = f"{stat.S_IMODE(seen.st_mode):o}"
    if stat.S_ISLNK(seen.st_mode):
        return f"link to {file.readlink()}"
    if not stat.S_ISREG(seen.st_mode):
        return f"{mode} no file"  # a socket or a pipe, which nobody should wait for; or another checkout's folder
    if seen.st_size > HASHED_BYTES:
        return f"{mode} {seen.st_size} bytes of {seen.st_mtime_ns}"
    return f"{mode} {sha256(file.read_bytes()).hexdigest()[:_DIGITS]}"
