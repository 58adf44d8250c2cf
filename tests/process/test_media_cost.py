"""What viewers cost the generator: memory that does not depend on the clip, and processor time for each viewer."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from process.locust_child import locust_child
from process.media_child import CALM, LOCUSTFILES, Watched, catalogue, write
from process.small_nginx import nginx

from seatrial.media.clip import Clip

pytestmark = [pytest.mark.servers, pytest.mark.long]
MIB = 1 << 20
PLAYING_S = 12
BEGIN_S = 16
SETTLED_S = 5


def _peak_rss_bytes(url: str, path: str) -> int:
    """Return the peak of a generator whose viewers, one with each player, have watched for a while."""
    words = (*CALM, "--media-url", path, "--media-player", "chrome,firefox,android,ffmpeg,safari")
    with locust_child(url, *words, locustfile=LOCUSTFILES / "media_playback.py", users=8) as child:
        child.open_gate()
        child.wait_for("second", PLAYING_S)
        status = Path(f"/proc/{child.process.pid}/status").read_text()
        assert child.stop(0.5) == 0, child.log
    (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    """A clip of 1 GiB (36 minutes at 4 Mbit/s) takes at most 5 MiB more than one of 10 MiB."""
    with nginx(tmp_path) as server:
        for name, size in (("small", 10 * MIB), ("large", 1024 * MIB)):
            write(Clip.of_size(size, 4_000_000), tmp_path / "files" / f"{name}.mp4")
        small = _peak_rss_bytes(server.url, "/small.mp4")
        large = _peak_rss_bytes(server.url, "/large.mp4")
    assert large - small < 5 * MIB


@pytest.mark.alone
def test_two_hundred_viewers_need_less_than_a_core(tmp_path: Path) -> None:
    """At 4 Mbit/s each, with every byte proved, no viewer stalls, and the generator has time left."""
    clip = Clip(duration_s=300.0, bitrate_bps=4_000_000)
    with nginx(tmp_path) as server:
        write(clip, tmp_path / "files" / "clip.mp4")
        words = (*CALM, "--media-catalogue", catalogue(tmp_path, [("/clip.mp4", clip)]))
        within = ("--media-begin-within", str(BEGIN_S))
        load = LOCUSTFILES / "media_playback.py"
        with locust_child(server.url, *words, *within, locustfile=load, users=200) as child:
            child.open_gate()
            for second in range(1, BEGIN_S + SETTLED_S + PLAYING_S, 5):
                child.wait_for("second", second)
            assert child.stop(0.5) == 0, child.log
            run = Watched(child)
            busy = [line["cpu_fraction"] for line in child.lines("generator") if line["cpu_fraction"] is not None]
    assert run.outcomes <= {"ok", "aborted", "cut"}
    details = [flow["detail"] for flow in run.flows]
    assert len(details) >= 200
    assert sum(detail["stalls_count"] for detail in details) == 0
    assert statistics.median(busy[BEGIN_S + SETTLED_S : -1]) < 0.7
