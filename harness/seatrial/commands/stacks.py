"""Verbs about stacks: `up`, `down`, `clean`, `images`."""

from __future__ import annotations

from typing import Any

import click

from seatrial.commands.options import DURATION, request, results_option, stack_options
from seatrial.experiment import maintenance as upkeep
from seatrial.experiment import stacks
from seatrial.host import builds
from seatrial.host import images as image_store
from seatrial.progress import Progress
from seatrial.scenario import reading


@click.command()
@click.argument("scenario")
@stack_options
@click.option("--for", "kept_s", type=DURATION, default="8h", help="After which time `clean` may remove it.")
@results_option
def up(scenario: str, kept_s: float, **options: Any) -> None:  # noqa: ANN401
    """Bring SCENARIO's stack up, seed it, leave it there, and print the locust line for it."""
    with Progress() as progress:
        kept = stacks.up(request(scenario, options), kept_s, progress)
    where = f" at {kept.public_url}" if kept.public_url else ""
    click.echo(f"{kept.project} is up{where}; its files: {kept.folder}")
    click.echo(kept.locust_line)
    click.echo(f"seatrial down {kept.project}")


@click.command()
@click.argument("project", required=False)
def down(project: str | None) -> None:
    """Remove the stack that `up` left (or all of them, if no PROJECT is named)."""
    for line in upkeep.down(project):
        click.echo(line)


@click.command()
def clean() -> None:
    """Remove what a killed run left: labelled objects whose owner is dead or whose deadline has passed."""
    for line in upkeep.clean():
        click.echo(line)


@click.group()
def images() -> None:
    """Make the images that stacks are built from."""


@images.command()
def bootstrap() -> None:
    """Make debian:trixie-slim available: present, pulled, or made with mmdebstrap."""
    click.echo(f"debian:trixie-slim: {image_store.bootstrap(say=click.echo)}")


@images.command()
@click.argument("scenario")
def build(scenario: str) -> None:
    """Build the images of SCENARIO's stack."""
    builds.build(reading.read(scenario).compose_file)
