"""The commands that put load on a stack or watch one: run, observe, compare, selfcheck, capacity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from seatrial.analysis.results import ExperimentResult
from seatrial.commands.options import (
    DURATION,
    attach_options,
    experiment_options,
    load_options,
    output_options,
    place_options,
    request,
    seed_options,
    stack_options,
)
from seatrial.commands.results import show_run
from seatrial.errors import ExitCode
from seatrial.experiment import stacks, trial
from seatrial.experiment.request import command_began_ns
from seatrial.progress import Progress
from seatrial.record import documents
from seatrial.report import json_export, text


@click.command()
@click.argument("scenario")
@stack_options
@load_options
@click.option("--arrivals", type=click.Choice(["constant", "poisson"]), help="How a rate is spaced.")
@click.option("--processes", type=int, metavar="N", help="How many processes make the load.")
@attach_options
@click.option("--strict", is_flag=True, help="Exit code 7 where a budget is not decided.")
@output_options
def run(scenario: str, **options: Any) -> int:  # noqa: ANN401  (click hands over what the options above declare)
    """Bring SCENARIO's stack up, drive it, watch it, judge it, and tear it down."""
    with Progress(quiet=options["quiet"]) as progress:
        folder = trial.run(request(scenario, options), progress)
    return show_run(folder, as_values=options["as_values"], strict=options["strict"])


@click.command()
@click.option("--attach", required=True, metavar="PROJECT", help="A Compose project, or label=value.")
@click.option("--duration", type=DURATION, default="30s", help="How long.")
@output_options
def observe(attach: str, duration: float, results: Path, **options: Any) -> int:  # noqa: ANN401
    """Watch a stack that is already up, without any load; nothing of it is touched."""
    command_ns = command_began_ns()
    with Progress(quiet=options["quiet"]) as progress:
        folder = stacks.observe(attach, results, progress, duration_s=duration, command_ns=command_ns)
    return show_run(folder, as_values=options["as_values"])


@click.command()
@click.argument("scenario")
@click.option("--variants", metavar="A,B", help="Which variants (default: those of the scenario).")
@experiment_options
@click.option("--against", default="", metavar="RUN", help="A stored experiment or run that stands for the base.")
@load_options
@click.option("--strict", is_flag=True, help="Exit code 7 where nothing was decided.")
@output_options
def compare(scenario: str, **options: Any) -> int:  # noqa: ANN401
    """Compare SCENARIO's variants in blocks, and report which is better, worse, or not distinguishable."""
    return _compare("compare", scenario, options)


@click.command()
@click.argument("scenario")
@experiment_options
@load_options
@output_options
def selfcheck(scenario: str, **options: Any) -> int:  # noqa: ANN401
    """Compare SCENARIO's base with itself: how much this machine scatters, and what it can't see."""
    return _compare("selfcheck", scenario, options)


def _compare(command: str, scenario: str, options: dict[str, Any]) -> int:
    from seatrial.analysis.experiment import analyse  # noqa: PLC0415
    from seatrial.analysis.stored_runs import RunCache  # noqa: PLC0415
    from seatrial.experiment import compare as comparing  # noqa: PLC0415
    from seatrial.report import ci_exports, html  # noqa: PLC0415  (Bokeh takes a second to import)

    resume, against = options["resume"], options.get("against", "")
    compared = comparing.CompareRequest(
        request=request(scenario, options), command=command, resume=resume, against=against
    )
    cache = RunCache()
    with Progress(quiet=options["quiet"]) as progress:
        done = comparing.compare(compared, progress, cache)
        result = analyse(done.folder, cache=cache)
        ci_exports.save(result, done.folder)
        html.write_experiment(result, done.folder, cache=cache)
    if options["as_values"]:
        click.echo(json.dumps(json_export.experiment_json(result), indent=1))
    else:
        text.show_experiment(result)
    if done.failure is not None:
        raise done.failure
    if command == "selfcheck":
        return result.exit_code() or report_unseen_thresholds(result)
    return result.exit_code(strict=options["strict"])


def report_unseen_thresholds(result: ExperimentResult) -> ExitCode:
    """Print the gate's thresholds that are below what this machine can show; return the exit code for them.

    Failures are always in the gate; their threshold counts only if the scenario names it.
    """
    from seatrial.compare import comparison, pairing  # noqa: PLC0415
    from seatrial.measure import metric  # noqa: PLC0415

    named = {metric.parse(one).text for one in result.plan.gate}
    gated = {one.metric.text for one in result.comparison.gated} if result.comparison else set()
    gated -= {pairing.FAILURES.text} - named
    refused = comparison.refusals([one for one in result.floors if one.metric.text in gated])
    for refusal in refused:
        click.echo(f"seatrial: {refusal}", err=True)
    return ExitCode.NOT_DECIDED if refused else ExitCode.KEPT


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
@place_options
@attach_options
@seed_options
@output_options
def capacity(scenario: str, **options: Any) -> int:  # noqa: ANN401
    """Search the highest rate at which SCENARIO's stack keeps its budgets, and validate it."""
    from seatrial.experiment.capacity import CapacityRequest, effort, search  # noqa: PLC0415
    from seatrial.report import html  # noqa: PLC0415  (Bokeh takes a second to import)

    names = options["names"] or ("base",)
    searched = CapacityRequest(
        request=request(scenario, {**options, "variant": names[0]}),
        variants=tuple(dict.fromkeys(names)),
        budgets=options["budgets"],
        spacing=options["spacing"],
        users=options["pool"],
        validate_s=options["validate_s"],
        effort=effort(options),
    )
    with Progress(quiet=options["quiet"]) as progress:
        runs = search(searched, progress)
        progress.say(f"the page: {html.write_run(runs[-1][0])}")
    results = [result for _, result in runs]
    if options["as_values"]:
        click.echo(json.dumps([documents.capacity_values(result) for result in results], indent=1))
    else:
        text.show_capacities(results)
    return ExitCode.gravest(result.exit_code(strict=options["strict"]) for result in results)
