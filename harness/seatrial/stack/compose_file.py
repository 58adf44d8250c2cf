"""The override that Seatrial adds to a Compose file: labels, names, replaced files, the published port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from seatrial.errors import UsageError
from seatrial.model import FrontDoor, StackSpec
from seatrial.stack.built_images import image_changes
from seatrial.stack.compose_yaml import Config, Instead, escaped


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
