"""Image manifests: media types, the choice of a platform from an index, and the blobs that make an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from _untrusted import Nonsense, json_object

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
INDEXES = frozenset({DOCKER_LIST, OCI_INDEX})
RESOLVE_ACCEPT = f"{DOCKER_MANIFEST}, {DOCKER_LIST}, {OCI_MANIFEST}, {OCI_INDEX}, */*"
"""What containerd accepts when it resolves a tag, in its order; without the OCI types a registry answers 404."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_MEDIA_TYPE = re.compile(r"[!-~]+/[!-~]+")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One blob or manifest: what it is and what its bytes hash to."""

    media_type: str
    digest: str


def top(content_type: str, digest: str) -> Descriptor:
    """Return what a tag stands for, by the headers of the answer to HEAD; Nonsense if they don't say."""
    return _descriptor({"mediaType": essence(content_type), "digest": digest})


def essence(content_type: str) -> str:
    """Return a Content-Type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def fetch_accept(media_type: str) -> str:
    """Return what containerd accepts when it fetches by digest."""
    return f"{media_type}, */*"


def for_platform(index: bytes, platform: str) -> Descriptor:
    """Return the manifest of `os/architecture[/variant]` from an index; Nonsense if it offers none."""
    wanted = platform.split("/")
    for entry in _list(json_object(index, "the index"), "manifests"):
        offered = entry.get("platform")
        if isinstance(offered, dict) and _matches(offered, wanted):
            return _descriptor(entry)
    raise Nonsense("the index has no manifest for this platform")


def blobs(manifest: bytes) -> tuple[Descriptor, Sequence[Descriptor]]:
    """Return a manifest's config and its layers, each digest once, as a content store fetches them."""
    document = json_object(manifest, "the manifest")
    config = _descriptor(document.get("config"))
    layers = {layer.digest: layer for layer in map(_descriptor, _list(document, "layers"))}
    layers.pop(config.digest, None)
    return config, tuple(layers.values())


def _matches(offered: dict[str, Any], wanted: Sequence[str]) -> bool:
    keys = ("os", "architecture", "variant")[: len(wanted)]
    return [offered.get(key) for key in keys] == list(wanted)


def _list(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = document.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Nonsense(f"the manifest has no list of {key}")
    return entries


def _descriptor(entry: object) -> Descriptor:
    fields = entry if isinstance(entry, dict) else {}
    media_type, digest = fields.get("mediaType"), fields.get("digest")
    if not isinstance(media_type, str) or _MEDIA_TYPE.fullmatch(media_type) is None:
        raise Nonsense("a descriptor has no media type")
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise Nonsense("a descriptor has no digest that can be verified")
    return Descriptor(media_type, digest)
