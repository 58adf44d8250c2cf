"""Test clips play: in Chromium, and in ffmpeg, whose ffprobe also says anew what the stored files say."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import chromium
import ffprobed
import pytest
from chromium import Page

from seatrial.media import avc
from seatrial.media.clip import Clip
from seatrial.media.mp4 import read_index

MAKE = Path(__file__).parents[1] / "unit" / "data" / "mp4" / "make.sh"
PAGE = "<!doctype html><title>a clip</title><video muted src='{}'></video>"
FORMS = [
    Clip(duration_s=8, bitrate_bps=1_000_000),
    Clip(duration_s=8, bitrate_bps=1_000_000, moov="last", newlines=False, seed=2),
    Clip(duration_s=8.36, bitrate_bps=4_000_000, wide=True),
    Clip(duration_s=3, bitrate_bps=60_000_000, moov="last"),
    Clip(duration_s=20, bitrate_bps=100_000, fps=50),
    Clip(duration_s=0.04, bitrate_bps=100_000),
]
ids = [f"{clip.bitrate_bps}-{clip.moov}-{clip.duration_s}" for clip in FORMS]


def _written(clip: Clip, file: Path) -> Path:
    with file.open("wb") as opened:
        opened.writelines(clip.pieces())
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all clips."""
    program = chromium.found()
    assert program is not None, "no Chromium on the PATH: make test installs it"
    with chromium.page(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.browser
@pytest.mark.parametrize("clip", FORMS[:3], ids=ids[:3])
def test_chromium_plays_and_seeks(clip: Clip, browser: Page, tmp_path: Path) -> None:
    """The time goes on from the beginning, and from the middle after a seek; no error."""
    file = _written(clip, tmp_path / "clip.mp4")
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(file.as_uri()), encoding="utf-8")

    browser.open(page)
    browser.value("window.video = document.querySelector('video'); video.play()")
    browser.until("video.currentTime > 0.2 && video.readyState >= 3")
    assert browser.value("video.duration") == pytest.approx(clip.media_s)
    assert browser.value("[video.videoWidth, video.videoHeight]") == [avc.WIDTH, avc.HEIGHT]
    browser.value("video.currentTime = 5")
    browser.until("!video.seeking && video.currentTime > 5.2")
    browser.value("video.currentTime = video.duration - 0.2")
    browser.until("video.ended")
    assert browser.value("video.error") is None


@pytest.mark.browser
def test_chromium_shows_the_grey_of_the_second(browser: Page, tmp_path: Path) -> None:
    """A seek shows the picture of that second: luma of the range 16 to 235 as red, green and blue."""
    clip = Clip(duration_s=4, bitrate_bps=100_000)
    source = f"data:video/mp4;base64,{base64.b64encode(clip.read(0, clip.size)).decode()}"
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(source), encoding="utf-8")

    browser.open(page)
    for second in range(4):
        browser.value(_SOUGHT.format(second + 0.5))
        expected = (avc.grey(second * 25, 25) - 16) * 255 / 219
        assert browser.value(_PIXEL) == pytest.approx([expected] * 3, abs=2)


_SOUGHT = """new Promise((done) => {{
  window.video = document.querySelector('video');
  video.onseeked = () => requestAnimationFrame(() => done(true));
  video.currentTime = {};
}})"""
_PIXEL = """(() => {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 8;
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 8, 8);
  return [...context.getImageData(4, 4, 1, 1).data].slice(0, 3);
})()"""


def _ffmpeg(*words: str | Path) -> bytes:
    """Run ffmpeg, or ffprobe if that is the first word; neither may complain."""
    ran = subprocess.run([*map(str, words)], capture_output=True, check=False, timeout=120)
    assert (ran.returncode, ran.stderr.decode()) == (0, "")
    return ran.stdout


@pytest.mark.long
@pytest.mark.parametrize("clip", FORMS, ids=ids)
def test_ffmpeg_decodes_every_picture(clip: Clip, tmp_path: Path) -> None:
    """Without a complaint, each with its grey, over the whole picture; ffprobe says what was asked."""
    file = _written(clip, tmp_path / "clip.mp4")

    raw = _ffmpeg("ffmpeg", "-v", "error", "-i", file, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    entries = "stream=nb_frames,bit_rate:format=duration"
    told = _ffmpeg("ffprobe", "-v", "error", "-show_entries", entries, "-of", "csv=p=0", file).decode().split()

    luma_bytes, chroma_bytes = avc.WIDTH * avc.HEIGHT, avc.WIDTH * avc.HEIGHT // 2
    assert len(raw) == clip.pictures * (luma_bytes + chroma_bytes)
    for number in range(clip.pictures):
        begin = number * (luma_bytes + chroma_bytes)
        picture = raw[begin : begin + luma_bytes + chroma_bytes]
        assert picture == bytes([avc.grey(number, clip.fps)]) * luma_bytes + bytes([128]) * chroma_bytes
    bitrate_bps, frames = told[0].split(",")
    assert int(frames) == clip.pictures
    assert float(told[1]) == pytest.approx(clip.media_s)
    assert float(bitrate_bps) == pytest.approx(clip.bitrate_bps, rel=0.02)


@pytest.mark.long
@pytest.mark.parametrize("moov", ["first", "last"])
def test_ffmpeg_seeks_beyond_four_gib(moov: Literal["first", "last"], tmp_path: Path) -> None:
    """The last second of a clip of 20 GiB, of which only the index and that second are on the disk."""
    clip = Clip(duration_s=21_600, bitrate_bps=8_000_000, moov=moov)
    index = read_index(clip.read, clip.size)
    last = index.offset_at(clip.media_s - 2)
    file = tmp_path / "clip.mp4"
    with file.open("wb") as opened:
        probed = (index.mdat_offset, 8 << 20)  # ffmpeg decodes some pictures of the beginning first
        spans = ((0, 4096), (index.moov_offset, index.moov_size), probed, (last, clip.size - last))
        for offset, count in spans:
            opened.seek(offset)
            opened.write(clip.read(offset, count))

    assert clip.size > 20 << 30
    assert file.stat().st_blocks * 512 < 64 << 20
    seek = f"{clip.media_s - 1:.2f}"
    words = ("-v", "error", "-ss", seek, "-i", file, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    raw = _ffmpeg("ffmpeg", *words)
    assert len(raw) == 25 * avc.WIDTH * avc.HEIGHT * 3 // 2
    assert raw[0] == avc.grey(clip.pictures - 25, 25)


@pytest.mark.long
def test_ffprobe_says_of_new_files_what_it_said_of_the_stored_ones(tmp_path: Path) -> None:
    """Files that this machine's ffmpeg makes, with the same checks."""
    subprocess.run([MAKE, tmp_path], check=True, timeout=120)
    made = sorted(path for path in tmp_path.iterdir() if path.suffix in {".mp4", ".mov"})

    assert [path.name for path in made] == sorted(
        path.name for path in MAKE.parent.iterdir() if path.suffix in {".mp4", ".mov"}
    )
    for file in made:
        ffprobed.check_head(file)
        if ffprobed.is_plain(file):
            ffprobed.check_playable(file)
            ffprobed.check_offsets(file)


_MEASURED = """
import resource, sys
from seatrial.media.clip import Clip
clip = Clip(duration_s=float(sys.argv[1]), bitrate_bps=8_000_000, moov="last")
written = sum(map(len, clip.pieces()))
assert written == clip.size
print(clip.size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.long
def test_a_large_clip_takes_no_more_memory_than_a_small_one() -> None:
    """10 MiB against more than 4 GiB, in processes of their own."""
    small, large = (
        [int(number) for number in subprocess.check_output([sys.executable, "-c", _MEASURED, seconds]).split()]
        for seconds in ("10", "4400")
    )

    assert large[0] > 4 << 30 > 400 * small[0] > 0
    assert large[1] - small[1] < 5 << 20
