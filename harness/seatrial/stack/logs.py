"""The logs of containers, saved without secrets."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import Path, PurePosixPath
from threading import Event
from typing import IO, cast

from docker.errors import DockerException
from requests import RequestException

from seatrial.stack.containers import Container, ProjectContainers, bounded
from seatrial.wire.redaction import Redactor

_PIECE_BYTES = 1 << 16
NamedLog = tuple[str, Iterable[bytes]]
"""The name of a file to write, and its contents piece by piece."""


class NotSavedError(Exception):
    """A log that can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeeper:
    """Saves logs into one folder; `files` are the log files inside the containers, by service.

    Each of the two ways to save ends after `within_s`, whatever a container or the daemon does.
    """

    project: ProjectContainers
    folder: Path
    files: Mapping[str, tuple[str, ...]]
    since_epoch_s: int = 0
    within_s: float = 12.0  # longer than the client waits for an answer: its own error is more precise

    def save_volatile(self) -> list[str]:
        """Save the files on a tmpfs, which are gone when the container stops; return what could not be saved."""
        return self._save_all(self._declared_files(on_tmpfs=True))

    def save(self) -> list[str]:
        """Save standard output and all other files; return what could not be saved."""
        return self._save_all(chain(self._outputs(), self._declared_files(on_tmpfs=False)))

    def _outputs(self) -> Iterator[NamedLog]:
        for container in self.project.containers():
            yield f"{container.name}.log", self._output(container)

    def _declared_files(self, *, on_tmpfs: bool) -> Iterator[NamedLog]:
        for container in self.project.containers():
            for path in self.files.get(container.service, ()):
                if self._on_tmpfs(container, path) == on_tmpfs:
                    read = self._live_file if on_tmpfs else self._archived_file
                    yield f"{container.name}-{PurePosixPath(path).name}", read(container, path)

    def _save_all(self, logs: Iterator[NamedLog]) -> list[str]:
        problems: list[str] = []
        expired = Event()

        def work() -> None:
            for name, pieces in logs:
                names.append(name)
                problems.append(self._save(name, takewhile(lambda _: not expired.is_set(), pieces)))

        names = ["the list of containers"]
        try:
            bounded(work, self.within_s)
        except TimeoutError:
            expired.set()
            problems.append(f"{names[-1]} and what follows: not saved within {self.within_s:g} s")
        return list(filter(None, problems))

    def _on_tmpfs(self, container: Container, path: str) -> bool:
        inspected = self.project.inspect(container.id)
        mounts = inspected["HostConfig"].get("Tmpfs") or {}
        places = [*mounts, *(mount["Destination"] for mount in inspected["Mounts"] if mount["Type"] == "tmpfs")]
        return any(PurePosixPath(path).is_relative_to(place) for place in places)

    def _save(self, name: str, pieces: Iterable[bytes]) -> str:
        try:
            with (self.folder / name).open("wb") as out:
                write_clean(pieces, out, self.project.redactor)
        except (DockerException, RequestException, tarfile.TarError, NotSavedError) as error:
            return f"{name} could not be saved: {error}"
        return ""

    def _output(self, container: Container) -> Iterator[bytes]:
        since = self.since_epoch_s or None
        yield from self.project.client.api.logs(container.id, stream=True, follow=False, since=since)

    def _live_file(self, container: Container, path: str) -> Iterator[bytes]:
        try:
            yield from self._executed(
                container, "test", "-f", path
            )  # `cat` would wait for ever for a pipe's writer
        except NotSavedError as error:
            raise NotSavedError(f"{path} is no regular file") from error
        yield from self._executed(container, "cat", path)

    def _executed(self, container: Container, *argv: str) -> Iterator[bytes]:
        api = self.project.client.api
        identity = api.exec_create(container.id, list(argv), stderr=False)["Id"]
        with closing(api.exec_start(identity, stream=True)) as pieces:
            yield from pieces
        if code := api.exec_inspect(identity)["ExitCode"]:
            raise NotSavedError(f"`{' '.join(argv)}` ended with exit code {code}")

    def _archived_file(self, container: Container, path: str) -> Iterator[bytes]:
        pieces, _ = self.project.client.api.get_archive(container.id, path)
        with tarfile.open(fileobj=cast("IO[bytes]", io.BufferedReader(_Pieces(pieces))), mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    raise NotSavedError(f"{path} is no regular file")
                while piece := content.read(_PIECE_BYTES):
                    yield piece


def write_clean(pieces: Iterable[bytes], out: IO[bytes], redactor: Redactor) -> None:
    """Write pieces of a text, line by line, without secrets."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        out.writelines(redactor.line(line) + b"\n" for line in lines)
    out.write(redactor.line(rest))


class _Pieces(io.RawIOBase):
    """A file over an iterator of bytes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._rest = b""

    def readable(self) -> bool:
        """Return that this file can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the current piece, or the next one."""
        if not self._rest:
            self._rest = next(self._pieces, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
