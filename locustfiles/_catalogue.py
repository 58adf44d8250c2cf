"""Which images there are to pull: one that was named, or all that a catalogue lists."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Image:
    """A repository and one of its tags."""

    repository: str
    tag: str


def images(catalogue: bytes) -> tuple[Image, ...]:
    """Return the images of a catalogue: `{"repositories": [{"name": ..., "tags": [{"tag": ...}]}]}`, sorted.

    ValueError if it lists none, or is something else.
    """
    try:
        repositories = json.loads(catalogue)["repositories"]
        found = {Image(str(each["name"]), str(tag["tag"])) for each in repositories for tag in each["tags"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a catalogue: {error}") from error
    if not found:
        raise ValueError("the catalogue lists no image")
    return tuple(sorted(found))
