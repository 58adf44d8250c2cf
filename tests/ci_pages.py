"""The YAML and the commands that the how-to pages about CI offer to copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"
PAGES = ("ci-github-actions.md", "ci-gitlab.md", "run-in-ci.md")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a language in a page."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    return [body for name, body in _BLOCK.findall(text) if name == language]


def scenario() -> str:
    """Return the scenario that the pages share."""
    return next(block for block in blocks("ci-github-actions.md", "yaml") if "question:" in block)


def commands(page: str) -> list[str]:
    """Return the lines of a page's jobs and console blocks that start our program, in their order."""
    console = [line.removeprefix("$ ") for block in blocks(page, "console") for line in block.splitlines()]
    lines = [line for block in blocks(page, "yaml") for line in _lines(yaml.safe_load(block))]
    return [line.strip() for line in (*lines, *console) if line.strip().startswith("seatrial ")]


def _lines(node: Any) -> Iterator[str]:  # noqa: ANN401  (any YAML value)
    if isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _lines(inner)
    elif isinstance(node, str):
        yield from node.splitlines()
