"""Commands about this host and about files: `validate`, `doctor`, `plugin`, `schema`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from seatrial.commands.options import set_option
from seatrial.host import doctor_ as doctors
from seatrial.load import command as load_command
from seatrial.report import text
from seatrial.scenario import comparable, overrides
from seatrial.scenario import grammar_ as grammar


@click.command()
@click.argument("scenario")
@set_option
def validate(scenario: str, settings: tuple[str, ...]) -> None:
    """Check SCENARIO and tell every problem at once."""
    checked = comparable.check(scenario, overrides.parse(settings))
    load_command.check(checked.load, checked.variants.values())
    click.echo(f"{checked.path}: valid; variants: {', '.join(checked.variants)}")


@click.command()
@click.option("--json", "as_values", is_flag=True, help="The result as JSON.")
def doctor(as_values: bool) -> None:  # noqa: FBT001
    """Tell what this host has and lacks, and what will distort a measurement here."""
    findings = [asdict(finding) for finding in doctors.examine(results=Path("results"))]
    click.echo(json.dumps(findings, indent=1) if as_values else text.doctor(findings))


@click.command()
def plugin() -> None:
    """Print the path of the file that gives any locustfile a recorder, a rate and a gate."""
    click.echo(load_command.plugin())


@click.command()
def schema() -> None:
    """Print the JSON Schema of a scenario, for editors."""
    click.echo(json.dumps(grammar.json_schema(), indent=1))
