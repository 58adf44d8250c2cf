"""The thumbnail service: one picture of a clip at a second, resized and encoded by Pillow.

The picture is made of the clip's own bytes at that second, scaled to a frame of 1280 x 720 and then resized: about
the work of a decoded key frame, without a video decoder. Environment: MEDIA_ROOT.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, abort, request
from PIL import Image

from studio.access import CLIP
from studio.boxes import Film, NotMp4, read_film

_SEED_SIZE = (160, 90)
_SEED_BYTES = _SEED_SIZE[0] * _SEED_SIZE[1] * 3
_FRAME_SIZE = (1280, 720)
_QUALITY = 85
WIDTHS = range(16, 1281)


def picture(file: Path, second: float, width: int) -> bytes:
    """Return a JPEG; raises NotMp4, or IndexError for a second that the film does not have."""
    with file.open("rb") as clip:
        film = read_film(clip, file.stat().st_size)
        if not 0 <= second <= film.duration_s:
            raise IndexError(f"the film has {film.duration_s:.3f} s")
        clip.seek(_offset(film, second))
        seed = clip.read(_SEED_BYTES).ljust(_SEED_BYTES, b"\0")
    frame = Image.frombytes("RGB", _SEED_SIZE, seed).resize(_FRAME_SIZE, Image.Resampling.BICUBIC)
    height = round(width * _FRAME_SIZE[1] / _FRAME_SIZE[0])
    encoded = io.BytesIO()
    frame.resize((width, height), Image.Resampling.LANCZOS).save(encoded, "JPEG", quality=_QUALITY)
    return encoded.getvalue()


def create(environment: Mapping[str, str]) -> Flask:
    """Make the application."""
    app = Flask("thumbs", static_folder=None)
    root = Path(environment.get("MEDIA_ROOT", "/srv/media"))

    @app.get("/thumbs/<asset>/<int:second>.jpg")
    @app.get("/thumbs/<asset>/<float:second>.jpg")
    def thumbnail(asset: str, second: float) -> Response:
        width = request.args.get("width", 320, type=int)
        file = root / f"{asset}.mp4"
        if not (CLIP.fullmatch(file.name) and file.is_file()):
            abort(HTTPStatus.NOT_FOUND)
        if width not in WIDTHS:
            abort(HTTPStatus.BAD_REQUEST)
        try:
            jpeg = picture(file, second, width)
        except IndexError:
            abort(HTTPStatus.NOT_FOUND)
        except NotMp4:
            abort(HTTPStatus.UNPROCESSABLE_ENTITY)
        response = Response(jpeg, mimetype="image/jpeg")
        response.headers["Cache-Control"] = "private, max-age=3600"
        response.add_etag()
        return response.make_conditional(request)

    return app


def application() -> Flask:
    """Make the application as gunicorn does: `studio.thumbs:application()`."""
    return create(os.environ)


def _offset(film: Film, second: float) -> int:
    """Return where a second's bytes are, as if the bit rate were constant."""
    last = max(0, film.data_bytes - _SEED_BYTES)
    share = second / film.duration_s if film.duration_s else 0.0
    return film.data_offset + min(last, int(film.data_bytes * share))
