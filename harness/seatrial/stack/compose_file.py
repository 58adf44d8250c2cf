"""The override file that is added to a Compose configuration, and what is read from the configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, cast

import yaml

from seatrial.errors import UsageError
from seatrial.model import StackSpec

Config = dict[str, Any]
"""What `docker compose config` prints: every default filled in, every short form made long."""
_SHIPPED = "seatrial/"
_DIGITS = 8


class Instead(list[Any]):
    """A list that replaces the one in the file, where Compose would append to it (`!override`, 2.24.4)."""


class _Dumper(yaml.SafeDumper):
    """Writes `Instead` with its tag."""


_Dumper.add_representer(Instead, lambda dumper, data: dumper.represent_sequence("!override", list(data)))


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


def build_project(compose_file: Path) -> str:
    """Return the project under which a stack's images are built.

    Compose writes the project into an image's labels, so a project for each run would change the image's id.
    """
    return f"seatrial-{_slug(compose_file.parent.name) or 'stack'}"


def image_names(compose_file: Path, changes: Mapping[str, Any], config: Config) -> dict[str, str]:
    """Return the new image names of services that build an image, or use the image that another one builds.

    A run must not retag what the user builds under the name in the file, so the name is made from the stack's path
    and the variant's `changes`. Names under `seatrial/` are those of shipped stacks: without changes they stay.
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


def override(spec: StackSpec, config: Config, labels: Mapping[str, str]) -> Config:
    """Return the last file of `-f`; UsageError if the stack lacks a file or service that is named."""
    check_front_door(spec, config["services"])
    _check_files(spec, config)
    return {
        "services": _services(spec, config, labels),
        "networks": _labelled(spec, config.get("networks"), labels),
        "volumes": _labelled(spec, config.get("volumes"), labels),
        "configs": _replaced_contents(spec, config.get("configs")),
        "secrets": _replaced_contents(spec, config.get("secrets")),
    }


def check_front_door(spec: StackSpec, services: Collection[str]) -> None:
    """Raise UsageError if the front door is none of the services."""
    if spec.front_door is not None and spec.front_door.service not in services:
        raise UsageError(
            f"the stack has no service {spec.front_door.service!r} for the front door",
            where=str(spec.compose_file),
            expected=f"one of {', '.join(sorted(services))}",
        )


def _check_files(spec: StackSpec, config: Config) -> None:
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


def _services(spec: StackSpec, config: Config, labels: Mapping[str, str]) -> dict[str, Any]:
    """Add to each service the labels, a name of this project, the replaced files, and its cores."""
    added: dict[str, Any] = {}
    images = image_changes(spec.compose_file, spec.variant.compose, config)
    for name, service in config["services"].items():
        added[name] = entry = {"labels": dict(labels), **images.get(name, {})}
        if "container_name" in service:  # a fixed name would clash with the stack that the user has running
            entry["container_name"] = f"{spec.project}-{name}-1"
        if mounts := _replaced_mounts(spec, service):
            entry["volumes"] = mounts
        if spec.cores and not service.get("cpuset"):  # a user's own choice of cores stays
            entry["cpuset"] = ",".join(map(str, sorted(spec.cores)))
    if spec.port and (door := spec.front_door) is not None:
        ports = config["services"][door.service].get("ports") or []
        others = [port for port in ports if port.get("target") != door.port]
        wanted = {"target": door.port, "published": str(spec.port), "host_ip": "127.0.0.1", "protocol": "tcp"}
        added[door.service]["ports"] = Instead([wanted, *others])
    return added


def _labelled(spec: StackSpec, declared: Config | None, labels: Mapping[str, str]) -> dict[str, Any]:
    """Add labels to each network or volume, and a name of this project, so that no volume of the user is used."""
    return {
        key: {"labels": dict(labels), "name": f"{spec.project}_{key}"}
        for key, entry in (declared or {}).items()
        if not (entry or {}).get("external")
    }


def _replaced_contents(spec: StackSpec, declared: Config | None) -> dict[str, Any]:
    """Replace the files of `configs` or `secrets`."""
    files = {key: Path(str(entry.get("file", ""))) for key, entry in (declared or {}).items()}
    new = spec.variant.files
    return {key: {"file": escaped(new[file])} for key, file in files.items() if file in new}


def _replaced_mounts(spec: StackSpec, service: Config) -> list[Any]:
    mounts = []
    for mount in service.get("volumes") or []:
        if mount.get("type") != "bind":
            continue
        source = Path(mount["source"])
        for old, new in spec.variant.files.items():
            if old == source or source in old.parents:
                target = PurePosixPath(mount["target"]) / old.relative_to(source).as_posix()
                mounts.append({**mount, "source": escaped(new), "target": str(target)})
    return mounts


def local_entry(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service's `x-seatrial.local`, empty without one."""
    return dict((service.get("x-seatrial") or {}).get("local") or {})


def once_services(config: Config) -> frozenset[str]:
    """Return the services that are meant to end: declared so, or awaited to their end by another one."""
    once = set()
    for name, service in config["services"].items():
        if local_entry(service).get("kind") == "once":
            once.add(name)
        dependencies = (service.get("depends_on") or {}).items()
        once |= {
            needed for needed, how in dependencies if how.get("condition") == "service_completed_successfully"
        }
    return frozenset(once)


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
    return {
        name: tuple((one.get("x-seatrial") or {}).get("logs") or ()) for name, one in config["services"].items()
    }
