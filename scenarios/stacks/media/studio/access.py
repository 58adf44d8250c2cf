"""Who may have which clip: the asset's permission, and the file's group.

A container does not see the site's accounts, so a file's owner and mode in it say nothing. Its group is therefore
kept beside it, and the groups of a user are asked of the uid and gid service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

CLIP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(mp4|m4v|mov)")
USER = re.compile(r"[a-z][a-z0-9-]{0,31}")
DEFAULT_GID = 5000


class Access:
    """Decides with what two services say."""

    def __init__(self, root: Path, get: Callable[[str], Any], *, assets_url: str, ids_url: str) -> None:
        self._root = root
        self._get = get
        self._assets_url = assets_url
        self._ids_url = ids_url

    def allows(self, user: str, clip: str) -> bool:
        """Return whether a user may have a clip; raises AskFailed, for what is not known is not allowed."""
        if not USER.fullmatch(user):
            return False
        account = self._get(f"{self._ids_url}/ids/{user}")
        if account is None or read_gid(self._root / clip) not in account["gids"]:
            return False
        answer = self._get(f"{self._assets_url}/assets/{quote(Path(clip).stem)}/users/{user}")
        return answer is not None and answer["allowed"] is True


def write_gid(file: Path, gid: int) -> None:
    """Keep the group of a file beside it."""
    file.with_name(file.name + ".json").write_text(json.dumps({"gid": gid}), encoding="utf-8")


def read_gid(file: Path) -> int:
    """Return the group of a file; that of the whole site if none was kept."""
    try:
        return int(json.loads(file.with_name(file.name + ".json").read_text(encoding="utf-8"))["gid"])
    except FileNotFoundError:
        return DEFAULT_GID
