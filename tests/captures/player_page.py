"""The page with a <video> that browsers are driven by, and the words that drive it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from cases import PAUSE, PLAY, PRELOAD, RESUME, SEEK, STOP, Step
from golden_session import Done

PATH = "/player.html"
PAGE = b"""<!doctype html><meta charset="utf-8"><title>player</title>
<video id="v" muted playsinline width="640" height="360"></video>
<script>
const v = document.getElementById("v"), told = [];
for (const what of ["loadstart", "loadedmetadata", "canplay", "playing", "waiting", "stalled", "suspend",
                    "seeking", "seeked", "ended", "error"])
  v.addEventListener(what, () => told.push([performance.now(), what, v.currentTime]));
</script>
"""
_DO = {
    PLAY: 'v.preload = "auto"; v.src = {url!r}; v.play().catch(() => 0); 0',
    PRELOAD: 'v.preload = "metadata"; v.src = {url!r}; 0',
    SEEK: "v.currentTime = {media_s}; 0",
    PAUSE: "v.pause(); 0",
    RESUME: "v.play().catch(() => 0); 0",
    STOP: 'v.removeAttribute("src"); v.load(); 0',
}
_AFTER_STOP_S = 1.0
Evaluate = Callable[[str], Any]


def follow(evaluate: Evaluate, path: str, steps: Sequence[Step]) -> tuple[list[Done], list[Done], float]:
    """Do the steps on the open page; return actions, events and the time of the stop, all of time.monotonic."""
    actions: list[Done] = []
    for step in [*steps, Step(STOP, _AFTER_STOP_S)]:
        if step.what == STOP:
            events = _events(evaluate)
        actions.append(Done(at_s=time.monotonic(), what=step.what, media_s=step.media_s))
        evaluate(_DO[step.what].format(url=path, media_s=step.media_s))
        time.sleep(step.wait_s)
    return actions, events, actions[-1].at_s


def _events(evaluate: Evaluate) -> list[Done]:
    now_ms, told = evaluate("[performance.now(), told]")
    zero_s = time.monotonic() - now_ms / 1e3
    return [Done(at_s=zero_s + at_ms / 1e3, what=what, media_s=round(media_s, 3)) for at_ms, what, media_s in told]
