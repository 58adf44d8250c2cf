"""Players in a real Locust child, against a real nginx: sequences, buffers, proof of the bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from process.media_child import CALM, catalogue, watched, write
from process.small_nginx import nginx

from seatrial.media.clip import Clip

pytestmark = pytest.mark.servers
CLIPS = {
    "/first.mp4": Clip(duration_s=120.0, bitrate_bps=4_000_000, moov="first", seed=1),
    "/last.mp4": Clip(duration_s=120.0, bitrate_bps=4_000_000, moov="last", seed=2),
}
SECONDS = ("--media-watch-most", "2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Give the URL of an nginx that serves the clips, and their catalogue."""
    folder = tmp_path_factory.mktemp("media")
    with nginx(folder) as served:
        for path, clip in CLIPS.items():
            write(clip, folder / "files" / path[1:])
        yield served.url, catalogue(folder, CLIPS.items())


SEQUENCES = {
    "chrome": (["opening"], ["opening", "tail", "range"]),
    "firefox": (["opening"], ["opening", "tail", "range"]),
    "ffmpeg": (["opening"], ["opening", "tail", "range"]),
    "android": (["opening"], ["opening", "tail", "range"]),
    "safari": (["probe", "opening"], ["probe", "opening", "tail", "range"]),
}
"""What a player asks of a clip with its index first, and last."""


def test_each_player_plays(server: tuple[str, str]) -> None:
    """Viewers with all players watch 2 s of a clip: nothing fails, the sequence is the player's."""
    url, listed = server
    options = (*CALM, *SECONDS, "--media-catalogue", listed, "--media-zipf", "0")
    run = watched(url, *options, "--media-player", ",".join(SEQUENCES), flows=24, users=24)
    assert run.outcomes <= {"ok", "aborted"}
    for flow in run.flows:
        asked = [row["endpoint"] for row in run.requests if row["flow_id"] == flow["flow_id"]]
        detail = flow["detail"]
        assert asked == SEQUENCES[flow["profile"]][detail["clip"] == "/last.mp4"]
        assert (flow["flow"], flow["outcome"]) == ("play", "ok")
        assert 1.9 < detail["played_s"] < 10.0
        assert detail["startup_s"] >= 0
        assert (detail["abandoned_ratio"], detail["seeks_count"]) == (0, 0)
        assert detail["received_bytes"] >= detail["distinct_bytes"] >= detail["played_bytes"] > 900_000
        assert detail["media_s"] == 120.0
    assert len({(flow["profile"], flow["detail"]["clip"]) for flow in run.flows}) >= 8


def test_seeks_are_requests_of_their_own(server: tuple[str, str]) -> None:
    """Far seeks ask for other places, and their waits are measured; bytes that came twice are counted once."""
    url, listed = server
    seeking = "--media-seeks 90 --media-seek-distance 15 --media-watch-most 3".split()
    options = (*CALM, *seeking, "--media-catalogue", listed, "--media-player", "ffmpeg,android")
    run = watched(url, *options, flows=6, users=6)
    assert run.outcomes <= {"ok", "aborted"}
    assert run.labels.count("seek") >= 6
    details = [flow["detail"] for flow in run.flows]
    assert {flow["outcome"] for flow in run.flows} == {"ok"}
    assert sum(detail["seeks_count"] for detail in details) >= run.labels.count("seek")
    assert any(detail.get("seek_s", -1.0) >= 0 for detail in details)
    assert any(detail["received_bytes"] > detail["distinct_bytes"] for detail in details)
