"""Verbs that make experiments: `compare`, `selfcheck`."""

from __future__ import annotations

import json
from typing import Any

import click

from seatrial.analysis import experiment as weighing
from seatrial.analysis.results import Weighed
from seatrial.analysis.stored_runs import RunCache
from seatrial.commands.options import experiment_options, load_options, output_options, request, results_option
from seatrial.compare import noise, pairing
from seatrial.errors import ExitCode
from seatrial.experiment import compare as comparing
from seatrial.experiment.compare import CompareRequest
from seatrial.measure import metric
from seatrial.progress import Progress
from seatrial.report import json_export as experiment_json
from seatrial.report import series_files, text


@click.command()
@click.argument("scenario")
@click.option("--variants", metavar="A,B", help="Which variants (default: those of the scenario).")
@experiment_options
@click.option("--against", default="", metavar="RUN", help="A stored experiment or run that stands for the base.")
@load_options
@click.option("--strict", is_flag=True, help="Exit code 7 where nothing was decided.")
@results_option
@output_options
def compare(scenario: str, **options: Any) -> int:  # noqa: ANN401
    """Compare SCENARIO's variants in blocks, and say in words which is better, worse, or not to be told apart."""
    return _compare("compare", scenario, options)


@click.command()
@click.argument("scenario")
@experiment_options
@load_options
@results_option
@output_options
def selfcheck(scenario: str, **options: Any) -> int:  # noqa: ANN401
    """Compare SCENARIO's base with itself: how much this machine scatters, and what it can't see."""
    return _compare("selfcheck", scenario, options)


def _compare(command: str, scenario: str, options: dict[str, Any]) -> int:
    from seatrial.report import paging  # noqa: PLC0415  (Bokeh takes a second to import)

    asked = CompareRequest(
        request=request(scenario, options),
        command=command,
        resume=options["resume"],
        against=options.get("against", ""),
    )
    cache = RunCache()
    with Progress(quiet=options["quiet"]) as progress:
        done = comparing.compare(asked, progress, cache)
        weighed = weighing.analyse(done.folder, cache=cache)
        series_files.save(weighed, done.folder)
        paging.write_experiment(weighed, done.folder, cache=cache)
    if options["as_values"]:
        click.echo(json.dumps(experiment_json.render(weighed), indent=1))
    else:
        text.show_experiment(weighed)
    if done.failure is not None:
        raise done.failure
    if command == "selfcheck":
        return weighed.exit_code() or unseen(weighed)
    return weighed.exit_code(strict=options["strict"])


def unseen(weighed: Weighed) -> ExitCode:
    """Print the thresholds of the gate that are below what can be seen; return the exit code of that.

    Failures always gate; their threshold counts only where the scenario names them.
    """
    named = {metric.parse(one).text for one in weighed.plan.gate}
    gated = {one.metric.text for one in weighed.comparison.gated} if weighed.comparison else set()
    gated -= {pairing.FAILURES.text} - named
    refused = noise.refused([one for one in weighed.floors if one.metric.text in gated])
    for refusal in refused:
        click.echo(f"seatrial: {refusal}", err=True)
    return ExitCode.NOT_DECIDED if refused else ExitCode.KEPT
