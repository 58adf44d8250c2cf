"""Drives FFmpeg: the program for what it can do, its library libavformat for seeks and pauses in a session.

The program `ffmpeg` can neither seek nor pause while it runs; libavformat_reader.py calls the same library as
a player does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cases import PAUSE, PLAY, PRELOAD, RESUME, SEEK, STOP, Step
from golden_session import ClipFacts, Done

_END_S = 10.0
_READER = Path(__file__).with_name("libavformat_reader.py")


def version() -> str:
    """Return what `ffmpeg -version` says first."""
    done = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True, timeout=_END_S)
    return done.stdout.split(" Copyright")[0].removeprefix("ffmpeg version ")


def session(url: str, clip: ClipFacts, steps: Sequence[Step]) -> tuple[str, list[Done], list[Done], float]:
    """Play; return the driver, actions, events (both with times of time.monotonic) and the time of the stop."""
    if any(step.what in {SEEK, PAUSE} for step in steps):
        return _library(url, clip.timescale, steps)
    if steps[0].what == PRELOAD:
        return _probe(url, steps[0])
    return _program(url, steps)


def _program(url: str, steps: Sequence[Step]) -> tuple[str, list[Done], list[Done], float]:
    words = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-i", url, "-c", "copy", "-f", "null", "-"]
    actions = [Done(at_s=time.monotonic(), what=PLAY)]
    program = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        time.sleep(steps[0].wait_s)
        actions.append(Done(at_s=time.monotonic(), what=STOP))
    finally:
        program.kill()
        program.wait(_END_S)
    return "ffmpeg -re -i URL -c copy -f null -", actions, [], actions[-1].at_s


def _probe(url: str, step: Step) -> tuple[str, list[Done], list[Done], float]:
    actions = [Done(at_s=time.monotonic(), what=PRELOAD)]
    words = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", url]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    ended_s = time.monotonic()
    time.sleep(step.wait_s / 10)
    event = Done(at_s=ended_s, what="probed", media_s=float(done.stdout))
    return "ffprobe -show_entries format=duration URL", actions, [event], time.monotonic()


def _library(url: str, timescale: int, steps: Sequence[Step]) -> tuple[str, list[Done], list[Done], float]:
    plan = json.dumps([(step.what, step.wait_s, step.media_s) for step in steps])
    limit_s = sum(step.wait_s for step in steps) + 60.0
    words = [sys.executable, str(_READER), url, str(timescale), plan]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=limit_s)
    told = [Done(**json.loads(line)) for line in done.stdout.splitlines()]
    actions = [one for one in told if one.what in {PLAY, SEEK, PAUSE, RESUME, STOP}]
    events = [one for one in told if one not in actions]
    return "libavformat: av_read_frame at real time, av_seek_frame", actions, events, actions[-1].at_s
