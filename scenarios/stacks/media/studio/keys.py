"""The one-shot service: writes the signing key where nginx can include it. `python3 -m studio.keys`.

nginx reads no environment. The file defines the variable $signing_key, which only nginx's own `secure_link` uses.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

KEY = re.compile(r"[A-Za-z0-9_-]{8,200}")


def main(environment: Mapping[str, str]) -> None:
    """Write the file; ValueError for a key that would end nginx's word, or that is too short."""
    key = environment["MEDIA_SIGNING_KEY"]
    if not KEY.fullmatch(key):
        raise ValueError("MEDIA_SIGNING_KEY has to be 8 to 200 letters, digits, _ or -")
    folder = Path(environment.get("KEYS_FOLDER", "/srv/keys"))
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "signing-key.new"
    unfinished.touch(mode=0o600)
    unfinished.write_text(f'map "" $signing_key {{\n    default "{key}";\n}}\n', encoding="utf-8")
    unfinished.replace(folder / "signing-key.conf")


if __name__ == "__main__":
    main(os.environ)
