"""The commands for stacks and the host: up, down, clean, images, validate, ranges, doctor, plugin, schema."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from seatrial.commands.options import DURATION, request, results_option, set_option, stack_options
from seatrial.errors import ExitCode
from seatrial.experiment import maintenance, preflight, stacks
from seatrial.host import images as host_images
from seatrial.host.doctor import examine
from seatrial.load import child
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.report import text
from seatrial.scenario import grammar, reading, source


@click.command()
@click.argument("scenario")
@stack_options
@click.option("--for", "kept_s", type=DURATION, default="8h", help="After which time `clean` may remove it.")
@results_option
def up(scenario: str, kept_s: float, **options: Any) -> None:  # noqa: ANN401
    """Bring SCENARIO's stack up, seed it, leave it running, and print the `locust` command for it."""
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
    for line in maintenance.down(project):
        click.echo(line)


@click.command()
def clean() -> None:
    """Remove what a killed run left: labelled objects whose owner is dead or whose deadline has passed."""
    for line in maintenance.clean():
        click.echo(line)


@click.group()
def images() -> None:
    """Make the images that stacks are built from."""


@images.command()
def bootstrap() -> None:
    """Make debian:trixie-slim available: present, pulled, or made with mmdebstrap."""
    click.echo(f"debian:trixie-slim: {host_images.bootstrap(say=click.echo)}")


@images.command()
@click.argument("scenario")
def build(scenario: str) -> None:
    """Build the images of SCENARIO's stack."""
    host_images.build(reading.read(scenario).compose_file)


@click.command()
@click.argument("scenario")
@set_option
def validate(scenario: str, settings: tuple[str, ...]) -> None:
    """Check SCENARIO and report every problem at once."""
    checked = reading.check_comparable(scenario, source.parse_overrides(settings))
    child.check_options(checked.load, checked.variants.values())
    click.echo(f"{checked.path}: valid; variants: {', '.join(checked.variants)}")


@click.command()
@click.argument("url")
@click.option("--yes-load", "confirmed", multiple=True, metavar="HOST", help="Confirm a host beyond loopback.")
@click.option("--json", "as_values", is_flag=True, help="The result as JSON.")
def ranges(url: str, confirmed: tuple[str, ...], as_values: bool) -> int:  # noqa: FBT001
    """Ask the server of URL the 24 range cases of RFC 9110, and say which it fails."""
    report = preflight.ask_alone(url, confirmed)
    if as_values:
        click.echo(json.dumps(documents.ranges_values(report), indent=1))
    else:
        text.show_ranges(report)
    return ExitCode.KEPT if report.plays else ExitCode.BROKEN


@click.command()
@click.option("--json", "as_values", is_flag=True, help="The result as JSON.")
def doctor(as_values: bool) -> None:  # noqa: FBT001
    """Report what this host has and lacks, and what will distort a measurement here."""
    findings = [asdict(finding) for finding in examine(results=Path("results"))]
    click.echo(json.dumps(findings, indent=1) if as_values else text.doctor(findings))


@click.command()
def plugin() -> None:
    """Print the path of the file that gives any locustfile a recorder, a rate and a gate."""
    click.echo(child.plugin())


@click.command()
def schema() -> None:
    """Print the JSON Schema of a scenario, for editors."""
    click.echo(json.dumps(grammar.json_schema(), indent=1))
