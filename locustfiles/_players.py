"""The player models by name: each module `_player_NAME.py` beside this one has one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from _player import Player

_PREFIX = "_player_"


def _found() -> Mapping[str, type[Player]]:
    for path in sorted(Path(__file__).parent.glob(f"{_PREFIX}*.py")):
        importlib.import_module(path.stem)
    models = {model.__module__.removeprefix(_PREFIX): model for model in Player.__subclasses__()}
    return MappingProxyType(dict(sorted(models.items())))


MODELS = _found()
"""The class of each player."""
MIX = MappingProxyType({"chrome": 50, "safari": 25, "android": 15, "firefox": 5, "ffmpeg": 5})
"""The shares of `mix`, in percent: an estimate after public browser statistics, with two players more."""


def chosen(words: str) -> Mapping[str, int]:
    """Return the shares of a text such as `chrome`, `mix` or `chrome:3,safari:1`; ValueError for any other."""
    if words == "mix":
        return MIX
    shares: dict[str, int] = {}
    for word in words.split(","):
        name, _, share = word.strip().partition(":")
        if name not in MODELS or not (share or "1").isdigit():
            raise ValueError(f"there is no player {word.strip()!r}")
        shares[name] = int(share or 1)
    if not sum(shares.values()):
        raise ValueError("no player has a share")
    return shares
