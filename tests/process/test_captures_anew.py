"""Real players captured anew on this machine: they still ask as the golden files say."""

from __future__ import annotations

import shutil
from pathlib import Path

import capture
import clips
import golden_session
import player_firefox
import pytest
import session_compare
from capture import Wanted
from session_compare import Tolerance
from static_origin import static_origin

pytestmark = [pytest.mark.long, pytest.mark.servers]
TOLERANCE = Tolerance(bytes_=4 << 20, share=0.4)
"""Wider than for the models: a machine that is busy with other tests fills buffers late."""
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="not installed: ffmpeg")
needs_firefox = pytest.mark.skipif(player_firefox.found() is None, reason="not installed: firefox-esr")


@pytest.mark.parametrize(
    ("player", "case", "moov"),
    [
        pytest.param("ffmpeg", "seek-back", "last", marks=needs_ffmpeg),
        pytest.param("ffmpeg", "play", "first", marks=needs_ffmpeg),
        pytest.param("chromium", "seek-back", "last", marks=pytest.mark.browser),
        pytest.param("chromium", "play", "first", marks=pytest.mark.browser),
        pytest.param("firefox", "seek-back", "last", marks=needs_firefox),
    ],
)
def test_a_player_still_asks_as_captured(player: str, case: str, moov: str, tmp_path: Path) -> None:
    """The same requests in the same order, over the same connections."""
    files, own = tmp_path / "clips", tmp_path / "nginx"
    files.mkdir()
    own.mkdir()
    clip = clips.made(files, clips.OWN, 60, moov)
    wanted = Wanted(player=player, case=case, clip=clip, path=f"/media/{clip.path.name}", rate=None, variant="")
    with static_origin(own, files) as origin:
        seen = capture.captured(wanted, origin)

    golden = golden_session.read((capture.GOLDEN / player / seen.name).with_suffix(".json"))
    assert session_compare.differences(golden, seen, TOLERANCE) == []
