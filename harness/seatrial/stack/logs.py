"""Container logs saved without secrets."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event
from typing import IO, cast

from docker.errors import DockerException
from requests import RequestException

from seatrial.stack.containers import Container, ProjectContainers, bounded
from seatrial.wire.redaction import Redactor

_PIECE_BYTES = 1 << 16
Saving = tuple[str, Iterable[bytes]]
"""The name of a file, and what goes into it."""


class NotSavedError(Exception):
    """A log that can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeeper:
    """Saves into one folder; `files` are the log files inside the containers, by service.

    Each of the two ways to save ends after `within_s`, whatever a container or the daemon does.
    """

    project: ProjectContainers
    folder: Path
    files: Mapping[str, tuple[str, ...]]
    since_epoch_s: int = 0
    within_s: float = 12.0  # longer than the client waits for an answer, whose error says more

    def save_volatile(self) -> list[str]:
        """Save the files on a tmpfs, which are gone when the container stops; return what could not be saved."""
        return self._save_all(
            (self._name(one, path), self._shown(one, path))
            for one, path in self._wanted()
            if self._on_tmpfs(one, path)
        )

    def save(self) -> list[str]:
        """Save standard output and all other files; return what could not be saved."""
        return self._save_all(self._lasting())

    def _lasting(self) -> Iterator[Saving]:
        for one in self.project.containers():
            yield f"{one.name}.log", self._output(one)
        for one, path in self._wanted():
            if not self._on_tmpfs(one, path):
                yield self._name(one, path), self._archived(one, path)

    def _save_all(self, savings: Iterator[Saving]) -> list[str]:
        problems: list[str] = []
        over = Event()

        def work() -> None:
            for name, pieces in savings:
                doing.append(name)
                problems.append(self._save(name, _until(over, pieces)))

        doing = ["the list of containers"]
        try:
            bounded(work, self.within_s)
        except TimeoutError:
            over.set()
            problems.append(f"{doing[-1]} and what follows: not saved within {self.within_s:g} s")
        return list(filter(None, problems))

    def _name(self, one: Container, path: str) -> str:
        return f"{one.name}-{PurePosixPath(path).name}"

    def _wanted(self) -> Iterator[tuple[Container, str]]:
        for one in self.project.containers():
            for path in self.files.get(one.service, ()):
                yield one, path

    def _on_tmpfs(self, one: Container, path: str) -> bool:
        inspected = self.project.inspect(one.id)
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

    def _output(self, one: Container) -> Iterator[bytes]:
        yield from self.project.client.api.logs(
            one.id, stream=True, follow=False, since=self.since_epoch_s or None
        )

    def _shown(self, one: Container, path: str) -> Iterator[bytes]:
        try:
            yield from self._executed(one, "test", "-f", path)  # `cat` would wait for ever for a pipe's writer
        except NotSavedError as error:
            raise NotSavedError(f"{path} is no regular file") from error
        yield from self._executed(one, "cat", path)

    def _executed(self, one: Container, *argv: str) -> Iterator[bytes]:
        api = self.project.client.api
        made = api.exec_create(one.id, list(argv), stderr=False)
        with closing(api.exec_start(made["Id"], stream=True)) as pieces:
            yield from pieces
        if code := api.exec_inspect(made["Id"])["ExitCode"]:
            raise NotSavedError(f"`{' '.join(argv)}` ended with exit code {code}")

    def _archived(self, one: Container, path: str) -> Iterator[bytes]:
        pieces, _ = self.project.client.api.get_archive(one.id, path)
        with tarfile.open(fileobj=cast("IO[bytes]", io.BufferedReader(_Pieces(pieces))), mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    raise NotSavedError(f"{path} is no regular file")
                while piece := content.read(_PIECE_BYTES):
                    yield piece


def _until(over: Event, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces until `over` is set."""
    for piece in pieces:
        if over.is_set():
            return
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
        """Return that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with what is at hand."""
        if not self._rest:
            self._rest = next(self._pieces, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
