"""How a clip's bytes leave the service: by Flask's send_file, a generator, the whole file, or by nginx for it."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from flask import Response, request, send_file
from werkzeug.http import parse_range_header

_PIECE_BYTES = 65_536


class Delivery:
    """Answers a request for a file in the way that was chosen; each way is one that teams have in production."""

    def __init__(self, kind: str, types: mimetypes.MimeTypes) -> None:
        self._kind = kind
        self._types = types

    def answer(self, file: Path) -> Response:
        """Answer GET or HEAD; the file exists."""
        mime = self._types.guess_type(file.name)[0] or "application/octet-stream"
        match self._kind:
            case "accel":
                return _by_nginx(file, mime)
            case "generator":
                return _ranges(file, mime)
            case "whole":
                return Response(_pieces(file, 0, file.stat().st_size), mimetype=mime)
            case _:
                return send_file(file, mimetype=mime, conditional=True)


def mime_types(path: Path) -> mimetypes.MimeTypes:
    """Read a mime.types file; it has the last word."""
    types = mimetypes.MimeTypes()
    types.read(str(path))
    return types


def _by_nginx(file: Path, mime: str) -> Response:
    """Answer with the header by which nginx sends the file itself, ranges and validators included."""
    return Response(headers={"X-Accel-Redirect": f"/protected/{file.name}", "Content-Type": mime})


def _ranges(file: Path, mime: str) -> Response:
    """Answer one range by a generator, as snippets for video in Flask do: no validators, no preconditions."""
    size = file.stat().st_size
    wanted = parse_range_header(request.headers.get("Range"), make_inclusive=True)
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        response = Response(_pieces(file, 0, size), mimetype=mime)
        response.content_length = size
        response.headers["Accept-Ranges"] = "bytes"
        return response
    span = wanted.range_for_length(size)
    if span is None:
        return Response(
            status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{size}"}
        )
    first, end = span
    response = Response(_pieces(file, first, end - first), HTTPStatus.PARTIAL_CONTENT, mimetype=mime)
    response.content_length = end - first
    response.headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    response.headers["Accept-Ranges"] = "bytes"
    return response


def _pieces(path: Path, offset: int, count: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while count and (piece := file.read(min(count, _PIECE_BYTES))):
            yield piece
            count -= len(piece)
