"""What the how-to pages about CI tell people to copy: their YAML, and the commands in it."""

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
    return [body for found, body in _BLOCK.findall(text) if found == language]


def scenario() -> str:
    """Return the scenario that the pages share."""
    return next(one for one in blocks("ci-github-actions.md", "yaml") if "question:" in one)


def commands(page: str) -> list[str]:
    """Return the lines of a page's jobs and console blocks that start our program, in their order."""
    console = [line.removeprefix("$ ") for one in blocks(page, "console") for line in one.splitlines()]
    lines = [line for one in blocks(page, "yaml") for line in _lines(yaml.safe_load(one))]
    return [line.strip() for line in (*lines, *console) if line.strip().startswith("seatrial ")]


def _lines(node: Any) -> Iterator[str]:  # noqa: ANN401  (any YAML value)
    if isinstance(node, dict):
        for one in node.values():
            yield from _lines(one)
    elif isinstance(node, list):
        for one in node:
            yield from _lines(one)
    elif isinstance(node, str):
        yield from node.splitlines()
