"""Verbs that make one run: `run`, `observe`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seatrial.commands.options import DURATION, STORED_FILE, output_options, request, results_option, stack_options
from seatrial.commands.results import show_run
from seatrial.experiment import stacks, trial
from seatrial.experiment.request import command_began_ns
from seatrial.experiment.stacks import ObserveRequest
from seatrial.progress import Progress


@click.command()
@click.argument("scenario")
@stack_options
@click.option("--users", type=int, help="How many users at once; with a rate, at most.")
@click.option("--rate", metavar="TEXT", help="Arrivals: 50/s, 10/s for 10s, 20/s (steps), 1/s to 9/s for 60s.")
@click.option("--arrivals", type=click.Choice(["constant", "poisson"]), help="How a rate is spaced.")
@click.option("--processes", type=int, metavar="N", help="How many processes make the load.")
@click.option("--warmup", help="How long before the window: 10s, or `stable`.")
@click.option("--duration", help="How long the window is, such as 60s.")
@click.option(
    "--attach", default="", metavar="PROJECT", help="The stack that is up: a Compose project or label=value."
)
@click.option("--catalogue", type=STORED_FILE, help="What is in the stack already; nothing is seeded.")
@click.option("--seed", type=int, default=1, help="Where every random choice begins.")
@click.option("--yes-load", "confirmed", multiple=True, metavar="HOST", help="Confirm a host of allow_hosts.")
@click.option("--strict", is_flag=True, help="Exit code 7 where a budget is not decided.")
@results_option
@output_options
def run(scenario: str, **options: Any) -> int:  # noqa: ANN401  (click hands over what the options above declare)
    """Bring SCENARIO's stack up, drive it, watch it, judge it, and tear it down."""
    asked = request(scenario, options)
    with Progress(quiet=options["quiet"]) as progress:
        folder = trial.run(asked, progress)
    return show_run(folder, as_values=options["as_values"], strict=options["strict"])


@click.command()
@click.option("--attach", required=True, metavar="PROJECT", help="A Compose project, or label=value.")
@click.option("--duration", type=DURATION, default="30s", help="How long.")
@results_option
@output_options
def observe(attach: str, duration: float, results: Path, **options: Any) -> int:  # noqa: ANN401
    """Watch a stack that is already up, without any load; nothing of it is touched."""
    asked = ObserveRequest(project=attach, results=results, duration_s=duration, command_ns=command_began_ns())
    with Progress(quiet=options["quiet"]) as progress:
        folder = stacks.observe(asked, progress)
    return show_run(folder, as_values=options["as_values"])
