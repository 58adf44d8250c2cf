"""Which block devices count: whole disks, and not what is stacked on them, whose bytes are in the disks below."""

from __future__ import annotations

from pathlib import Path

DEVICES = Path("/sys/dev/block")
_STACKED = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")


def is_disk(name: str) -> bool:
    """Tell whether the kernel's name for a device is that of a disk of its own."""
    return not name.startswith(_STACKED)


class Disks:
    """Tells devices by their numbers, as cgroup files name them; each is looked up once."""

    def __init__(self, devices: Path = DEVICES) -> None:
        self._devices = devices
        self._known: dict[bytes, bool] = {}

    def counts(self, number: bytes) -> bool:
        """Tell whether `major:minor` is a disk of its own; so is one that this host does not show."""
        if number not in self._known:
            try:
                self._known[number] = is_disk((self._devices / number.decode()).readlink().name)
            except OSError:
                self._known[number] = True
        return self._known[number]
