"""A Flask application that serves one file by `send_file`, or by a generator (RANGE_MODE=generator), for tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, send_file

app = Flask(__name__)
FILE = Path(os.environ["RANGE_FILE"])


@app.get("/media/clip.mp4")
def clip() -> Response:
    """Serve the file; the generator knows neither length nor ranges."""
    if os.environ.get("RANGE_MODE") != "generator":
        return send_file(FILE, mimetype="video/mp4")
    return Response(pieces(), mimetype="video/mp4")


def pieces() -> Iterator[bytes]:
    """Yield the file in pieces of 64 KiB."""
    with FILE.open("rb") as stream:
        while piece := stream.read(1 << 16):
            yield piece
