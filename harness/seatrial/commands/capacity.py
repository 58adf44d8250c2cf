"""The command `capacity`."""

from __future__ import annotations

import json
from typing import Any

import click

from seatrial.commands.options import (
    DURATION,
    ENGINES,
    STORED_FILE,
    output_options,
    request,
    results_option,
    set_option,
)
from seatrial.errors import ExitCode
from seatrial.experiment import capacity as searching
from seatrial.experiment.capacity import CapacityRequest, effort
from seatrial.progress import Progress
from seatrial.record import capacities
from seatrial.report import text


@click.command()
@click.argument("scenario")
@click.option("--variant", "names", multiple=True, metavar="NAME", help="Which variants, one after the other.")
@click.option("--budget", "budgets", multiple=True, metavar="TEXT", help="In place of the scenario's budgets.")
@click.option("--users", "pool", type=int, metavar="N", help="How many requests may be in flight at most.")
@click.option("--arrivals", "spacing", type=click.Choice(["constant", "poisson"]), help="How a rate is spaced.")
@click.option("--processes", type=int, metavar="N", help="How many processes make the load.")
@click.option("--warmup", help="How long at the lowest rate before the search, such as 10s.")
@click.option("--validate", "validate_s", type=DURATION, default="60s", help="How long below the bound; 0s: not.")
@click.option("--trial", "trial_s", type=DURATION, default="5s", help="How long one trial is.")
@click.option("--sum", "sum_s", type=DURATION, default="30s", help="How many seconds of trials make a bound.")
@click.option("--width", type=float, default=4.0, help="How close the bounds have to be, in per cent.")
@click.option("--most", "most_per_s", type=float, default=20_000.0, help="The highest rate that is tried.")
@click.option("--limit", "limit_s", type=DURATION, default="6m", help="How many seconds of trials at most.")
@click.option("--strict", is_flag=True, help="Exit code 7 where no bounds could be found.")
@click.option("--engine", type=ENGINES, default="auto", help="Where the services run.")
@click.option("--attach", default="", metavar="PROJECT", help="The stack that is up.")
@click.option("--catalogue", type=STORED_FILE, help="What is in the stack already.")
@set_option
@click.option("--port", type=int, default=0, help="Publish the front door there (default: a free port).")
@click.option("--seed", type=int, default=1, help="Where every random choice begins.")
@click.option("--yes-load", "confirmed", multiple=True, metavar="HOST", help="Confirm a host of allow_hosts.")
@results_option
@output_options
def capacity(scenario: str, **options: Any) -> int:  # noqa: ANN401
    """Search the highest rate at which SCENARIO's stack keeps its budgets, and validate it."""
    from seatrial.report import paging  # noqa: PLC0415  (Bokeh takes a second to import)

    names = options["names"] or ("base",)
    asked = CapacityRequest(
        request=request(scenario, {**options, "variant": names[0]}),
        variants=tuple(dict.fromkeys(names)),
        budgets=options["budgets"],
        spacing=options["spacing"],
        users=options["pool"],
        validate_s=options["validate_s"],
        effort=effort(options),
    )
    with Progress(quiet=options["quiet"]) as progress:
        searched = searching.search(asked, progress)
        progress.say(f"the page: {paging.write(searched.folders[-1])}")
    if options["as_values"]:
        click.echo(json.dumps([capacities.values(one) for one in searched.results], indent=1))
    else:
        text.show_capacities(searched.results)
    return ExitCode.gravest(result.exit_code(strict=options["strict"]) for result in searched.results)
