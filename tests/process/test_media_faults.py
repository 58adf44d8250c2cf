"""Servers that answer wrongly: each fault has its own outcome, of the request and of the viewer's flow."""

from __future__ import annotations

import json
import re
from pathlib import Path

from process.media_child import CALM, catalogue, watched
from process.served import Handler, served

from seatrial.media.clip import Clip

CLIP = Clip(duration_s=128.0, bitrate_bps=4_000_000, moov="last", seed=5)  # 64 MB
WRONG_AT = 600_000
_PIECE = 65_536
FTYP = b"\0\0\0\x10ftypisom\0\0\0\0"
BROKEN = {
    "text": b"this is not an MP4 file" * 10,
    "no-moov": FTYP + b"\0\1\0\x08mdat" + bytes(65_536),
    "huge-moov": FTYP + (300 << 20).to_bytes(4) + b"moov" + bytes(8192),
}
"""Files that can't be played; of the last one only the beginning exists."""
SIZES = {name: len(content) for name, content in BROKEN.items()} | {"huge-moov": 400 << 20}


class Faulty(Handler):
    """Serves the clip with ranges; the path says what is wrong with the request that asks for media data."""

    def do_GET(self) -> None:
        """Answer."""
        fault = self.path.strip("/").removesuffix(".mp4")
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked and fault != "whole" else 0
        media = 0 < first < CLIP.size // 2
        if fault == "vanished" and media:
            self.answer(404)
            return
        size = SIZES.get(fault, CLIP.size)
        self.send_response(200 if fault == "whole" else 206)
        shift = int(fault == "shifted" and media)
        if fault != "whole":
            total = "*" if fault == "unknown" else str(size + shift)
            self.send_header("Content-Range", f"bytes {first + shift}-{size - 1 + shift}/{total}")
        self.send_header("Content-Length", str(size - first))
        self.send_header("ETag", '"2"' if fault == "changed" and media else '"1"')
        self.end_headers()
        self._body(first, first + 300_000 if fault == "cut" and media else size, fault)
        self.close_connection = True

    def _body(self, first: int, end: int, fault: str) -> None:
        if fault in BROKEN:
            self.wfile.write(BROKEN[fault][first:])
            return
        for at in range(first, end, _PIECE):
            piece = bytearray(CLIP.read(at, min(_PIECE, end - at)))
            if fault == "wrong" and at <= WRONG_AT < at + len(piece):
                piece[WRONG_AT - at] ^= 1
            self.wfile.write(piece)


FAULTS = {
    "wrong": ("digest", f"wrong bytes from offset {WRONG_AT} on"),
    "shifted": ("range", "another range than was asked for"),
    "changed": ("changed", 'etag was "1", and now is "2"'),
    "whole": ("whole", "a 200 with the whole where a range was asked for"),
    "cut": ("truncated", "body ended before its length"),
    "vanished": ("status", "unexpected status 404"),
    "text": ("rejected", "this is not an MP4 file, byte 0"),
    "no-moov": ("rejected", "moov"),
    "huge-moov": ("rejected", "the box 'moov' is too large, byte 16"),
    "unknown": ("ok", ""),
}
"""What is wrong: the outcome, and words of the reason."""


def test_each_fault_has_its_outcome(tmp_path: Path) -> None:
    """It is that of the request which shows it and of the flow, and the reason says what was seen."""
    clips = [(f"/{fault}.mp4", CLIP) for fault in FAULTS if fault not in BROKEN]
    listed = Path(catalogue(tmp_path, clips))
    known = json.loads(listed.read_text())
    listed.write_text(json.dumps({**known, "real": [{"path": f"/{name}.mp4"} for name in BROKEN]}))
    many = ("--media-zipf", "0", "--media-watch-most", "2", "--media-player", "ffmpeg", "--media-wait", "0.1")
    with served(Faulty) as url:
        run = watched(url, *CALM, *many, "--media-catalogue", str(listed), users=20, flows=70)
    seen = set()
    for flow in run.flows:
        fault = flow["detail"]["clip"].strip("/").removesuffix(".mp4")
        outcome, reason = FAULTS[fault]
        if flow["outcome"] == "cut":  # by the end of the run
            continue
        seen.add(fault)
        requests = {row["outcome"] for row in run.requests if row["flow_id"] == flow["flow_id"]}
        assert (fault, flow["outcome"]) == (fault, outcome)
        assert outcome in requests
        assert requests <= {outcome, "ok", "aborted"}
        assert reason in flow["detail"].get("reason", "")
    assert seen == set(FAULTS)
