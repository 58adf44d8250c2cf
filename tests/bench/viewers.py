"""Measure a viewer's processor time beside ffmpeg's: `python tests/bench/viewers.py [--viewers 100]`.

Viewers play 4 Mbit/s clips from an nginx of this machine, which is not counted; nor is start-up. ffmpeg reads the
same in real time (`ffmpeg -re -i URL -c copy -f null -`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from process.locust_child import locust_child
from process.media_child import CALM, LOCUSTFILES, catalogue, write
from process.small_nginx import nginx

from seatrial.media.clip import Clip

BITRATE_BPS = 4_000_000
_WARM_S = 8
"""Over which viewers begin; so long again, and each has filled its buffer."""
_S_PER_HOUR = 3600.0
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the user and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def viewers_cpu_s(url: str, player: str, clips: Sequence[str], viewers: int, seconds: int) -> tuple[float, str]:
    """Return the processor seconds of one viewer-hour, and what was wrong ("": nothing)."""
    words = (*CALM, *clips, "--media-player", player, "--media-wait", "0", "--media-begin-within", str(_WARM_S))
    with locust_child(url, *words, locustfile=LOCUSTFILES / "media_playback.py", users=viewers) as child:
        child.open_gate()
        child.wait_for("second", _WARM_S)
        child.wait_for("second", 2 * _WARM_S)
        begun_s, used_s = time.monotonic(), cpu_s(child.process.pid)
        child.wait_for("second", 2 * _WARM_S + seconds)
        used_s, lasted_s = cpu_s(child.process.pid) - used_s, time.monotonic() - begun_s
        child.stop(0.5)
        stalled = sum(flow["detail"].get("stalls_count", 0) for flow in child.lines("flows"))
        failed = [row["outcome"] for row in child.requests() if row["outcome"] not in {"ok", "aborted", "cut"}]
    return used_s / lasted_s / viewers * _S_PER_HOUR, f"{stalled} stalls, {len(failed)} failed"


def ffmpeg_cpu_s(url: str, seconds: int) -> float:
    """Return the processor seconds of one hour of ffmpeg."""
    words = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-i", url, "-c", "copy", "-f", "null", "-"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as program:
        time.sleep(2.0)
        begun_s, used_s = time.monotonic(), cpu_s(program.pid)
        time.sleep(seconds)
        used_s, lasted_s = cpu_s(program.pid) - used_s, time.monotonic() - begun_s
        program.kill()
    return used_s / lasted_s * _S_PER_HOUR


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--players", default="chrome,ffmpeg")
    options = parser.parse_args()
    console = Console()
    clip = Clip(duration_s=300.0, bitrate_bps=BITRATE_BPS)
    with tempfile.TemporaryDirectory() as name, nginx(Path(name)) as server:
        folder = Path(name)
        write(clip, folder / "files" / "clip.mp4")
        listed = ("--media-catalogue", catalogue(folder, [("/clip.mp4", clip)]))
        for player in options.players.split(","):
            for label, clips in (("every byte proved", listed), ("not proved", ("--media-url", "/clip.mp4"))):
                hour_s, wrong = viewers_cpu_s(server.url, player, clips, options.viewers, options.seconds)
                console.print(f"{player:8} {hour_s:7.2f} s of CPU a viewer-hour, {label} ({wrong})")
        hour_s = ffmpeg_cpu_s(f"{server.url}/clip.mp4", options.seconds)
        console.print(f"ffmpeg   {hour_s:7.2f} s of CPU an hour, the program itself")


if __name__ == "__main__":
    main()
