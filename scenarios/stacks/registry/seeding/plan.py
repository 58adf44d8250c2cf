"""Which images a seed stands for, and their bytes: pure, and independent of Python's version and of the clock."""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

PLATFORMS = ("linux/amd64", "linux/arm64")

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"

_TAR_BLOCK_BYTES = 512
_TAR_FRAME_BYTES = 3 * _TAR_BLOCK_BYTES  # one header, and two empty blocks at the end
SMALLEST_LAYER_BYTES = _TAR_FRAME_BYTES + _TAR_BLOCK_BYTES


@dataclass(frozen=True)
class Span:
    """A range, both ends included."""

    low: int
    high: int


@dataclass(frozen=True)
class Shape:
    """How many images, of how many layers, of which size."""

    repositories: int
    tags: int
    layers: Span
    layer_bytes: Span
    seed: int


@dataclass(frozen=True)
class Layer:
    """A layer before its bytes are made: what they are made from, and how many."""

    key: str
    size_bytes: int


@dataclass(frozen=True)
class Image:
    """One platform's image."""

    platform: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Tag:
    """One tag of a repository: an index over one image for each platform."""

    repository: str
    name: str
    images: tuple[Image, ...]


@dataclass(frozen=True)
class Content:
    """Bytes with a media type, known by their digest."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        """The OCI digest."""
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    def descriptor(self) -> dict[str, Any]:
        """Return the OCI descriptor."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


def tags(shape: Shape) -> Iterator[Tag]:
    """Yield every tag of the shape, repository by repository."""
    for repository in range(1, shape.repositories + 1):
        for tag in range(1, shape.tags + 1):
            images = tuple(_image(shape, repository, tag, platform) for platform in PLATFORMS)
            yield Tag(f"seatrial/app-{repository}", f"v{tag}", images)


def layer(planned: Layer) -> Content:
    """Make a layer's bytes: a tar archive of one file of incompressible bytes, which every client can unpack.

    SHAKE-128 of the key is the file: fast, and the same in every version of every language.
    """
    size_bytes = planned.size_bytes - _TAR_FRAME_BYTES
    data = hashlib.shake_128(planned.key.encode()).digest(size_bytes)
    header = tarfile.TarInfo(planned.key.replace(":", "/") + ".bin")
    header.size = size_bytes
    archive = io.BytesIO()
    archive.write(header.tobuf(format=tarfile.USTAR_FORMAT))
    archive.write(data)
    archive.write(bytes(planned.size_bytes - archive.tell()))
    return Content(LAYER_TYPE, archive.getvalue())


def config(platform: str, layer_digests: Sequence[str]) -> Content:
    """Make an image's configuration; layers are not compressed, so that a layer's digest is its diff id."""
    system, architecture = platform.split("/")
    rootfs = {"type": "layers", "diff_ids": list(layer_digests)}
    return _json(CONFIG_TYPE, {"architecture": architecture, "os": system, "config": {}, "rootfs": rootfs})


def manifest(config_descriptor: dict[str, Any], layer_descriptors: Sequence[dict[str, Any]]) -> Content:
    """Make a platform's manifest."""
    body = {"config": config_descriptor, "layers": list(layer_descriptors)}
    return _json(MANIFEST_TYPE, {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, **body})


def index(manifests: Sequence[tuple[str, Content]]) -> Content:
    """Make the index over (platform, manifest)."""
    entries = []
    for platform, content in manifests:
        system, architecture = platform.split("/")
        entries.append({**content.descriptor(), "platform": {"architecture": architecture, "os": system}})
    return _json(INDEX_TYPE, {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})


def _json(media_type: str, body: dict[str, Any]) -> Content:
    return Content(media_type, json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


def _image(shape: Shape, repository: int, tag: int, platform: str) -> Image:
    name = f"{shape.seed}:app-{repository}:v{tag}:{platform}"
    span = shape.layers
    count = span.low + int(_fraction(f"{name}:layers") * (span.high - span.low + 1))
    # The tags of a repository stand on one base layer, as those of real images do.
    base = f"{shape.seed}:app-{repository}:base:{platform}:1"
    keys = [base] + [f"{name}:{number}" for number in range(2, count + 1)]
    return Image(platform, tuple(Layer(key, _size_bytes(key, shape.layer_bytes)) for key in keys))


def _size_bytes(key: str, span: Span) -> int:
    """Draw a size, each order of magnitude as likely as the next, as a whole number of tar blocks."""
    drawn = span.low * math.pow(span.high / span.low, _fraction(f"{key}:size"))
    return max(SMALLEST_LAYER_BYTES, round(drawn / _TAR_BLOCK_BYTES) * _TAR_BLOCK_BYTES)


def _fraction(key: str) -> float:
    """Turn a key into a number of [0, 1)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48
