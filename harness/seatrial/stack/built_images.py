"""Names for the images that a stack builds, other than those of the user's own builds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from seatrial.stack.compose_yaml import Config, Instead

_SHIPPED = "seatrial/"
_DIGITS = 8


def build_project(compose_file: Path) -> str:
    """Return the project under which images are built.

    Compose puts the project into the image's labels, so a project for each run would give the same image another
    id each time. It is the stack's.
    """
    return f"seatrial-{_slug(compose_file.parent.name) or 'stack'}"


def image_names(compose_file: Path, changes: Mapping[str, Any], config: Config) -> dict[str, str]:
    """Return the images of services whose name changes: built ones, and those that use what another builds.

    A run must not retag what the user builds under the name in the file, so the stack's place and the variant's
    `changes` make a name of their own. The names of a stack under `seatrial/` are ours already; without changes
    they stay.
    """
    services: dict[str, Any] = config["services"]
    built = [
        name
        for name, one in services.items()
        if "build" in one and (changes or not str(one.get("image", "")).startswith(_SHIPPED))
    ]
    written = json.dumps([str(compose_file.absolute()), changes], sort_keys=True, default=str)
    stack = f"{build_project(compose_file)}-{sha256(written.encode()).hexdigest()[:_DIGITS]}"
    names = {name: f"{stack}-{_slug(name)}" for name in built}
    new = {_tagged(services[name]["image"]): names[name] for name in built if "image" in services[name]}
    users = {name: new.get(_tagged(one.get("image", ""))) for name, one in services.items() if "build" not in one}
    return names | {name: image for name, image in users.items() if image}


def image_changes(compose_file: Path, changes: Mapping[str, Any], config: Config) -> dict[str, dict[str, Any]]:
    """Return the entries of an override that set those names, by service."""
    entries: dict[str, dict[str, Any]] = {}
    for name, image in image_names(compose_file, changes, config).items():
        entries[name] = {"image": image}
        if (config["services"][name].get("build") or {}).get("tags"):
            entries[name]["build"] = {"tags": Instead()}
    return entries


def _tagged(image: str) -> str:
    """Return the name with its tag, which is `latest` where none is written."""
    return image if not image or ":" in image.rpartition("/")[2] else f"{image}:latest"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
