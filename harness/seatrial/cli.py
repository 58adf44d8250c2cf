"""The command line: the group of all verbs."""

from __future__ import annotations

import click

from seatrial.verbs import capacity, care, experiments, runs, stacks, stored


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="seatrial")
def seatrial() -> None:
    """Load tests of container stacks: request latency and container memory on one clock, with a verdict."""


for _verb in (
    *(runs.run, experiments.compare, experiments.selfcheck, capacity.capacity, runs.observe),
    *(stored.show, stored.report, stored.list_, stacks.up, stacks.down, stacks.images, care.validate),
    *(stored.recover, care.clean, care.doctor, care.plugin, care.schema),
):
    seatrial.add_command(_verb)
