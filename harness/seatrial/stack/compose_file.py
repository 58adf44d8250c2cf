"""The override file Seatrial adds to a Compose configuration, and what the configuration says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, cast

import yaml

from seatrial.errors import UsageError
from seatrial.model import FrontDoor, StackSpec

Config = dict[str, Any]
"""What `docker compose config` prints: every default filled in, every short form made long."""


class Instead(list[Any]):
    """A list that takes the place of the one in the file, where Compose would append (`!override`, 2.24.4)."""


class _Dumper(yaml.SafeDumper):
    """Writes `Instead` with its tag."""


def _represent_instead(dumper: yaml.SafeDumper, data: Instead) -> yaml.Node:
    return dumper.represent_sequence("!override", list(data))


_Dumper.add_representer(Instead, _represent_instead)


def dump(document: Config) -> str:
    """Return the file's text."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False)


def parsed(text: str) -> Config:
    """Read what `docker compose config` printed; it doubles every `$`, which is undone here."""
    return cast("Config", _unescaped(yaml.safe_load(text)))


def escaped(text: object) -> str:
    """Return a text with its `$` doubled, as Compose reads it."""
    return str(text).replace("$", "$$")


def _unescaped(value: object) -> object:
    match value:
        case str():
            return value.replace("$$", "$")
        case list():
            return [_unescaped(one) for one in value]
        case dict():
            return {key: _unescaped(one) for key, one in value.items()}
        case _:
            return value


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """What an override consists of."""

    spec: StackSpec
    config: Config
    labels: Mapping[str, str]

    def services(self) -> dict[str, Any]:
        """Add to each service the labels, a name of this project, the replaced files, and its cores."""
        added: dict[str, Any] = {}
        images = image_changes(self.spec.compose_file, self.spec.variant.compose, self.config)
        for name, service in self.config["services"].items():
            entry: dict[str, Any] = {"labels": dict(self.labels), **images.get(name, {})}
            if "container_name" in service:  # a fixed name would clash with the stack that the user has running
                entry["container_name"] = f"{self.spec.project}-{name}-1"
            if mounts := self._replaced_mounts(service):
                entry["volumes"] = mounts
            if self.spec.cores and not service.get("cpuset"):  # the user's own choice of cores stands
                entry["cpuset"] = ",".join(map(str, sorted(self.spec.cores)))
            added[name] = entry
        if self.spec.port and self.spec.front_door is not None:
            added[self.spec.front_door.service]["ports"] = self._ports(self.spec.front_door)
        return added

    def named(self, kind: str) -> dict[str, Any]:
        """Add labels to each network or volume, and a name of this project: no volume of the user's is used."""
        return {
            key: {"labels": dict(self.labels), "name": f"{self.spec.project}_{key}"}
            for key, one in (self.config.get(kind) or {}).items()
            if not (one or {}).get("external")
        }

    def contents(self, kind: str) -> dict[str, Any]:
        """Replace the files of `configs` or `secrets`."""
        added = {}
        for key, one in (self.config.get(kind) or {}).items():
            new = self.spec.variant.files.get(Path(str(one.get("file", ""))))
            if new is not None:
                added[key] = {"file": escaped(new)}
        return added

    def _replaced_mounts(self, service: Config) -> list[Any]:
        mounts = []
        for mount in service.get("volumes") or []:
            if mount.get("type") != "bind":
                continue
            source = Path(mount["source"])
            for old, new in self.spec.variant.files.items():
                if old == source or source in old.parents:
                    inside = old.relative_to(source)
                    target = PurePosixPath(mount["target"]) / inside.as_posix()
                    mounts.append({**mount, "source": escaped(new), "target": str(target)})
        return mounts

    def _ports(self, door: FrontDoor) -> Instead:
        ports = self.config["services"][door.service].get("ports") or []
        others = [port for port in ports if port.get("target") != door.port]
        wanted = {"target": door.port, "published": str(self.spec.port), "host_ip": "127.0.0.1", "protocol": "tcp"}
        return Instead([wanted, *others])


def override(spec: StackSpec, config: Config, labels: Mapping[str, str]) -> Config:
    """Return the last file of `-f`; UsageError if the stack lacks a file or service that is named."""
    addition = Addition(spec=spec, config=config, labels=labels)
    _check(spec, config)
    return {
        "services": addition.services(),
        "networks": addition.named("networks"),
        "volumes": addition.named("volumes"),
        "configs": addition.contents("configs"),
        "secrets": addition.contents("secrets"),
    }


def _check(spec: StackSpec, config: Config) -> None:
    if spec.front_door is not None and spec.front_door.service not in config["services"]:
        raise UsageError(
            f"the stack has no service {spec.front_door.service!r} for the front door",
            where=str(spec.compose_file),
            expected=f"one of {', '.join(sorted(config['services']))}",
        )
    mounts = [mount for one in config["services"].values() for mount in one.get("volumes") or []]
    sources = {Path(mount["source"]) for mount in mounts if mount.get("type") == "bind"}
    contents = [one for kind in ("configs", "secrets") for one in (config.get(kind) or {}).values() if one]
    sources |= {Path(str(one.get("file"))) for one in contents}
    for old in spec.variant.files:
        if not sources & {old, *old.parents}:
            raise UsageError(
                f"variant {spec.variant.name!r} replaces a file that no service mounts",
                where=str(spec.compose_file),
                seen=str(old),
                hint="mount it by `volumes`, `configs` or `secrets`; a file that a build copies can't be replaced",
            )


def extension(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a service's `x-seatrial`, or nothing."""
    return service.get("x-seatrial") or {}


def once_services(config: Config) -> frozenset[str]:
    """Return the services that are meant to end: so declared, or waited for by another one."""
    waited_for = {
        name
        for service in config["services"].values()
        for name, how in (service.get("depends_on") or {}).items()
        if how.get("condition") == "service_completed_successfully"
    }
    declared = {
        name
        for name, service in config["services"].items()
        if (extension(service).get("local") or {}).get("kind") == "once"
    }
    return frozenset(waited_for | declared)


def expected_services(config: Config) -> dict[str, int]:
    """Return the services that have to run on, and how many containers each of them has."""
    once = once_services(config)
    counts = {}
    for name, service in config["services"].items():
        # `scale` and `deploy.replicas` are two spellings of the number of containers (Compose specification)
        scale, deployed = service.get("scale"), (service.get("deploy") or {}).get("replicas")
        given = deployed if scale is None else scale
        count = 1 if given is None else int(given)
        if name not in once and count > 0:
            counts[name] = count
    return counts


def log_files(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the declared log files inside the containers, by service."""
    return {name: tuple(extension(one).get("logs") or ()) for name, one in config["services"].items()}
