"""The media commands: files written whole or not at all, what they print, and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from seatrial import cli
from seatrial.errors import ResultsUnwritable
from seatrial.media import files
from seatrial.media.clip import Clip
from seatrial.media.digests import Checker, Digests

STORED = Path(__file__).parent / "data" / "mp4"


class Called(click.Group):
    """The command line with its words given."""

    def __init__(self, *words: str | Path) -> None:
        super().__init__()
        self._words = [str(word) for word in words]

    def __call__(self, *, standalone_mode: bool) -> object:
        """Call it as `cli.run` does."""
        return cli.seatrial(self._words, standalone_mode=standalone_mode)


def _run(*words: str | Path) -> int:
    return cli.run(Called(*words))


def test_a_clip_is_the_file_that_its_description_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte; the description is that of a catalogue."""
    out = tmp_path / "clip.mp4"

    assert _run("media", "make", out, "--duration", "2s", "--bitrate", "1Mbit", "--moov", "last", "--json") == 0
    said = json.loads(capsys.readouterr().out)

    clip = Clip.from_spec(said["clip"])
    assert said["size"] == out.stat().st_size == clip.size
    assert clip.matches(0, out.read_bytes()) == -1
    assert list(tmp_path.iterdir()) == [out]


def test_a_clip_of_a_size_and_a_duration_has_the_bitrate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the three the third follows."""
    out = tmp_path / "clip.mp4"

    assert _run("media", "make", out, "--duration", "8s", "--size", "4MB", "--no-newlines") == 0
    assert capsys.readouterr().out == f"{out}: 8.00 s, 4.00 Mbit/s, 3.81 MiB, moov first, seed 1, no newlines\n"
    assert _run("media", "make", out, "--duration", "8s", "--size", "4MB", "--bitrate", "4Mbit") == 2


def test_an_index_is_printed_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """The place of moov, the duration, the tracks."""
    assert _run("media", "index", STORED / "last.mp4") == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  moov  2.04 KiB at byte 5921",
        "  mdat  5.74 KiB at byte 40",
        "  track 1: vide avc1, 64 x 48, 3.00 s, 3 sync samples",
        "  track 2: soun mp4a, 3.13 s, 25 sync samples",
    ]
    assert _run("media", "index", STORED / "fragmented.mp4", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["fragmented"], said["moov_offset"], len(said["tracks"])) == (True, 28, 2)


def test_digests_check_the_file_that_they_are_of(tmp_path: Path) -> None:
    """Written beside it."""
    out, listed = tmp_path / "clip.mp4", tmp_path / "clip.json"
    assert _run("media", "make", out, "--duration", "1s") == 0
    assert _run("media", "digests", out, "-o", listed, "--block", "64KiB") == 0

    checker = Checker(Digests(json.loads(listed.read_text(encoding="utf-8"))))
    assert checker.feed(0, out.read_bytes()) == -1
    assert checker.unchecked_bytes == 0
    assert _run("media", "digests", out, "-o", listed) == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--duration", "5x"), 2, "not a duration"),
        (("--bitrate", "4MB"), 2, "not a bitrate"),
        (("--bitrate", "1kbit"), 2, "bitrate is out of range"),
        (("--duration", "0s"), 2, "duration is out of range"),
        (("--size", "1kB"), 2, "that small"),
        (("--size", "1kB", "--duration", "1h"), 2, "bitrate is out of range"),
        (("--fps", "0"), 2, "picture rate"),
        (("--size", "1000000GB", "--bitrate", "200Mbit", "--fps", "240"), 2, "duration is out of range"),
        (("--size", "20000GB", "--bitrate", "200Mbit", "--fps", "25"), 8, "disk is too small"),
    ],
)
def test_options_that_make_no_clip(
    words: tuple[str, ...], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with its exit code, and nothing is left."""
    assert _run("media", "make", tmp_path / "clip.mp4", *words) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it is to be replaced."""
    out = tmp_path / "mine.mp4"
    out.write_text("mine")

    assert _run("media", "make", out, "--duration", "1s") == 2
    assert out.read_text() == "mine"
    assert "--replace" in capsys.readouterr().err
    assert _run("media", "make", out, "--duration", "1s", "--replace") == 0
    assert out.read_bytes()[4:8] == b"ftyp"
    assert _run("media", "make", tmp_path, "--replace") == 2
    for nowhere in (tmp_path / "no" / "clip.mp4", out / "clip.mp4", tmp_path / f"{'a' * 300}.mp4"):
        assert _run("media", "make", nowhere, "--duration", "1s") == 8


def test_a_write_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    """Neither under the final name nor under another one; a file that was to be replaced stays."""
    out = tmp_path / "mine.mp4"
    out.write_text("mine")

    def pieces(error: BaseException) -> Iterator[bytes]:
        yield b"half"
        raise error

    with pytest.raises(ResultsUnwritable, match="No space left"):
        files.write(out, pieces(OSError(28, "No space left on device")), 10, replace=True, say=lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        files.write(out, pieces(KeyboardInterrupt()), 10, replace=True, say=lambda _: None)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_that_is_no_mp4_is_told_with_the_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and no traceback."""
    other = tmp_path / "page.html"
    other.write_text("<html><body>not here</body></html>")

    assert _run("media", "index", other) == 2
    assert capsys.readouterr().err == (
        "seatrial: this is not an MP4 file\n"
        f"  where:    {other}, byte 0\n"
        "  seen:     b'<html><b'\n"
        "  expected: 'ftyp' or another box that a file begins with\n"
    )
    assert _run("media", "index", tmp_path / "none.mp4") == 2
