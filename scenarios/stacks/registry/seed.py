"""Fills the registry with images made from a seed, and writes what is there to the catalogue.

Environment: SEATRIAL_FRONT_DOOR (URL), SEATRIAL_CATALOGUE (file to write; catalogue.json), REGISTRY_USER,
REGISTRY_PASSWORD. What is already there is not pushed again. Exit code 1 and one line on stderr when it fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seeding import plan
from seeding.registry import Account, Registry, SeedError

_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Seeder:
    """Pushes planned images, and counts what it pushed, what was present, and how many bytes there are."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._sizes: dict[tuple[str, str], int] = {}
        self.pushed = 0
        self.present = 0

    @property
    def total_bytes(self) -> int:
        """The bytes of all layers and configurations, each counted once in a repository."""
        return sum(self._sizes.values())

    def tag(self, tag: plan.Tag) -> dict[str, Any]:
        """Push a tag's images and its index; returns its entry of the catalogue."""
        images = [(image.platform, *self._image(tag.repository, image)) for image in tag.images]
        index = plan.index([(platform, manifest) for platform, manifest, _entry in images])
        self._count(pushed=self._registry.push_manifest(tag.repository, tag.name, index))
        platforms = [entry for _platform, _manifest, entry in images]
        return {"tag": tag.name, "index": index.digest, "platforms": platforms}

    def _image(self, repository: str, image: plan.Image) -> tuple[plan.Content, dict[str, Any]]:
        layers = [self._blob(repository, plan.layer(layer)) for layer in image.layers]
        config = self._blob(repository, plan.config(image.platform, [layer["digest"] for layer in layers]))
        manifest = plan.manifest(config, layers)
        self._count(pushed=self._registry.push_manifest(repository, manifest.digest, manifest))
        return manifest, {
            "platform": image.platform,
            "manifest": manifest.digest,
            "config": _brief(config),
            "layers": [_brief(layer) for layer in layers],
        }

    def _blob(self, repository: str, blob: plan.Content) -> dict[str, Any]:
        descriptor = blob.descriptor()
        place = (repository, descriptor["digest"])
        if place not in self._sizes:
            self._count(pushed=self._registry.push_blob(repository, blob))
            self._sizes[place] = descriptor["size"]
        return descriptor

    def _count(self, *, pushed: bool) -> None:
        self.pushed += pushed
        self.present += not pushed


def main(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Seed as asked; raises SeedError, or OSError when the catalogue can't be written."""
    arguments = _parser().parse_args(argv)
    front_door = environment.get("SEATRIAL_FRONT_DOOR")
    if not front_door:
        raise SeedError("SEATRIAL_FRONT_DOOR is not set; for example http://127.0.0.1:5000")
    account = Account(
        environment.get("REGISTRY_USER", "captain"), environment.get("REGISTRY_PASSWORD", "throw-away")
    )
    seeder = Seeder(Registry(front_door, account, chunked=arguments.chunked))
    shape = plan.Shape(
        arguments.repositories, arguments.tags, arguments.layers, arguments.layer_size, arguments.seed
    )
    repositories: dict[str, list[dict[str, Any]]] = {}
    for tag in plan.tags(shape):
        repositories.setdefault(tag.repository, []).append(seeder.tag(tag))
    catalogue = {
        "schema": 1,
        "seed": shape.seed,
        "repositories": [{"name": name, "tags": tags} for name, tags in repositories.items()],
        "bytes": seeder.total_bytes,
        "pushed": seeder.pushed,
        "present": seeder.present,
    }
    _write(Path(environment.get("SEATRIAL_CATALOGUE", "catalogue.json")), catalogue)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seed.py", description="Fills the registry with images made from a seed."
    )
    parser.add_argument("--repositories", type=_positive, default=2)
    parser.add_argument("--tags", type=_positive, default=2, help="tags of each repository")
    parser.add_argument("--layers", type=_span, default="1-8", help="layers of each image: 3, or 1-8")
    parser.add_argument("--layer-size", type=_sizes, default="64KiB-2MiB", help="1MiB, or 64KiB-2MiB")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--chunked", action="store_true", help="push layers by PATCH with chunked transfer coding")
    return parser


def _positive(text: str) -> int:
    return _ordered(text, int(text), int(text)).low


def _span(text: str) -> plan.Span:
    low, _dash, high = text.partition("-")
    return _ordered(text, int(low), int(high or low))


def _sizes(text: str) -> plan.Span:
    low, _dash, high = text.partition("-")
    return _ordered(text, _size_bytes(low), _size_bytes(high or low))


def _size_bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)(B|KiB|MiB|GiB)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 64KiB or 2MiB")
    return int(match[1]) * _UNITS[match[2]]


def _ordered(text: str, low: int, high: int) -> plan.Span:
    if not 1 <= low <= high:
        raise argparse.ArgumentTypeError(f"{text!r} does not start at 1 or more, or ends before it starts")
    return plan.Span(low, high)


def _brief(descriptor: Mapping[str, Any]) -> dict[str, Any]:
    return {"digest": descriptor["digest"], "size": descriptor["size"]}


def _write(path: Path, catalogue: Mapping[str, Any]) -> None:
    """Write the whole catalogue or none."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text(json.dumps(catalogue, indent=1) + "\n")
    unfinished.replace(path)


if __name__ == "__main__":
    try:
        main(sys.argv[1:], os.environ)
    except (SeedError, OSError) as error:
        raise SystemExit(f"seed.py: {error}") from None
