"""Saves what the containers wrote, before they are removed, without secrets."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from docker.errors import DockerException
from requests import RequestException

from seatrial.stack.containers import Container, View
from seatrial.stack.redaction import Redactor

_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeeper:
    """Saves into one folder; `files` are the log files inside the containers, by service."""

    view: View
    folder: Path
    files: Mapping[str, tuple[str, ...]]
    since_epoch_s: int = 0

    def save_volatile(self) -> list[str]:
        """Save the files on a tmpfs, which are gone when the container stops; return what could not be saved."""
        return [
            self._save(f"{one.service}-{PurePosixPath(path).name}", self._shown(one, path))
            for one, path in self._wanted()
            if self._on_tmpfs(one, path)
        ]

    def save(self) -> list[str]:
        """Save standard output and all other files; return what could not be saved."""
        outputs = [self._save(f"{one.service}.log", self._output(one)) for one in self.view.containers()]
        files = [
            self._save(f"{one.service}-{PurePosixPath(path).name}", self._archived(one, path))
            for one, path in self._wanted()
            if not self._on_tmpfs(one, path)
        ]
        return outputs + files

    def _wanted(self) -> Iterator[tuple[Container, str]]:
        for one in self.view.containers():
            for path in self.files.get(one.service, ()):
                yield one, path

    def _on_tmpfs(self, one: Container, path: str) -> bool:
        inspected = self.view.inspect(one.id)
        mounts = inspected["HostConfig"].get("Tmpfs") or {}
        found = [*mounts, *(mount["Destination"] for mount in inspected["Mounts"] if mount["Type"] == "tmpfs")]
        return any(PurePosixPath(path).is_relative_to(mount) for mount in found)

    def _save(self, name: str, pieces: Iterable[bytes]) -> str:
        try:
            with (self.folder / name).open("wb") as out:
                write_clean(pieces, out, self.view.redactor)
        except (DockerException, RequestException, tarfile.TarError) as error:
            return f"{name} could not be saved: {error}"
        return ""

    def _output(self, one: Container) -> Iterator[bytes]:
        yield from self.view.client.api.logs(one.id, stream=True, follow=False, since=self.since_epoch_s or None)

    def _shown(self, one: Container, path: str) -> Iterator[bytes]:
        api = self.view.client.api
        made = api.exec_create(one.id, ["cat", path], stderr=False)
        yield from api.exec_start(made["Id"], stream=True)

    def _archived(self, one: Container, path: str) -> Iterator[bytes]:
        pieces, _ = self.view.client.api.get_archive(one.id, path)
        with tarfile.open(fileobj=cast("IO[bytes]", io.BufferedReader(_Pieces(pieces))), mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                while content is not None and (piece := content.read(_PIECE_BYTES)):
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
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with what is at hand."""
        if not self._rest:
            self._rest = next(self._pieces, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
