"""The commands and the scenario on the pages about CI are valid."""

from __future__ import annotations

import shlex
from pathlib import Path

import ci_pages
import click
import pytest

from seatrial import cli
from seatrial.scenario import reading


@pytest.mark.parametrize("page", ci_pages.PAGES)
def test_every_command_is_known_with_its_options(page: str) -> None:
    """A command or an option that was renamed has to be renamed on the page."""
    lines = ci_pages.commands(page)
    assert lines

    for line in lines:
        words = shlex.split(line.split(" >")[0].split(" || ")[0])[1:]
        command = cli.load(words.pop(0))
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        command.make_context(line, words, resilient_parsing=False)


def test_the_scenario_is_valid(tmp_path: Path) -> None:
    """In the layout that the page describes: two checkouts side by side."""
    for side in ("base", "head"):
        (tmp_path / side / "deploy").mkdir(parents=True)
        (tmp_path / side / "deploy" / "compose.yaml").write_text("services: {nginx: {image: a}, app: {image: b}}")
    file = tmp_path / "head" / "ci" / "loadtest.yaml"
    file.parent.mkdir()
    file.write_text(ci_pages.scenario(), encoding="utf-8")

    scenario = reading.read(str(file))

    assert set(scenario.variants) == {"base", "head"}
    assert len(scenario.gate) == 3
