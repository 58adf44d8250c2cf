"""A folder with one scenario and all files that it names, for tests that read scenarios."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.errors import ScenarioInvalid
from seatrial.model import Scenario
from seatrial.scenario import reading, source

SHORT = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
load: {locustfile: drive.py, users: 3, warmup: 5s, duration: 20s, parameters: {depth: 1.10}}
"""
"""A scenario to which a test adds lines, from the fifth on."""
FULL = """\
question: Does it leak?
stack: st
front_door: {service: web, port: 80}
ready: [{get: /, expect: 200, within: 10s}]
tiers: {web: {place: proxy}, app: {place: app}}
load:
  locustfile: drive.py
  users: 3
  duration: 1m
  parameters: {depth: 2, fast: true}
variants: {big: {files: {web.conf: big.conf}}}
secrets: [TOKEN]
"""
"""A scenario with nearly every key, of which a test changes one."""
_FILES = {
    "st/compose.yaml": "services: {web: {image: w}, app: {image: a}}\n",
    "st/web.conf": "",
    "st/big.conf": "",
    "drive.py": "",
    "rates.csv": "second,rate\n0,5\n30,8\n",
    "late.csv": "5,5\n",
}


def make(folder: Path) -> Path:
    """Write the files that a scenario may name; return the path of the scenario itself."""
    (folder / "st").mkdir(parents=True)
    for name, text in _FILES.items():
        (folder / name).write_text(text)
    return folder / "one.yaml"


def read(file: Path, text: str, *settings: str) -> Scenario:
    """Write the scenario and read it, with settings as of `--set`."""
    file.write_text(text)
    return reading.read(str(file), source.parse_overrides(settings))


def problems(file: Path, text: str, *settings: str) -> list[str]:
    """Return the problems of a scenario, each with its line, if it is one of the file's."""
    with pytest.raises(ScenarioInvalid) as caught:
        read(file, text, *settings)
    return [line.strip().removeprefix(f"{file}:") for line in caught.value.what.splitlines()[1:]]
