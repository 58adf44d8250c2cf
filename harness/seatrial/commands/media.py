"""The command for test media: media make, media digests, media index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from seatrial.commands.options import BITRATE, DURATION, SIZE
from seatrial.errors import UsageError
from seatrial.media import digests as block_digests
from seatrial.media import files
from seatrial.media.clip import Clip
from seatrial.progress import Progress
from seatrial.report import media as shown

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_NEW_FILE = click.Path(path_type=Path)
_SHOWN_FROM_BYTES = 1 << 28  # less is written within a second or two
_DURATION_S, _BITRATE_BPS = 60.0, 4_000_000


@click.group()
def media() -> None:
    """Make test clips whose bytes can be proved, list digests of files, look into an MP4 file."""


@media.command()
@click.argument("out", type=_NEW_FILE)
@click.option("--duration", type=DURATION, help="How long it plays (60s).")
@click.option("--bitrate", type=BITRATE, help="Of the media data, such as 800kbit (4Mbit).")
@click.option("--size", type=SIZE, help="How large at most, such as 10GiB; with one of the two above.")
@click.option("--moov", type=click.Choice(["first", "last"]), default="first", help="Where the index stands.")
@click.option("--fps", type=int, default=25, help="Pictures a second.")
@click.option("--seed", type=int, default=1, help="Another seed makes other bytes.")
@click.option("--newlines/--no-newlines", default=True, help="Whether the media data have the byte 0x0A.")
@click.option("--wide", is_flag=True, help="Sizes and offsets in 64 bits, also below 4 GiB.")
@click.option("--replace", is_flag=True, help="Overwrite OUT.")
@click.option("--json", "as_values", is_flag=True, help="The clip's description, as a catalogue has it.")
def make(out: Path, *, replace: bool, as_values: bool, **values: Any) -> None:  # noqa: ANN401
    """Write a test clip to OUT: valid MP4, the same bytes for the same options."""
    clip = _clip(values)
    with Progress(quiet=as_values or clip.size < _SHOWN_FROM_BYTES) as progress:

        def say(written: int) -> None:
            progress.live(f"{out}: {100 * written // clip.size} %")

        files.write(out, clip.pieces(), clip.size, replace=replace, say=say)
    described = {"path": str(out), "size": clip.size, "clip": clip.spec()}
    click.echo(json.dumps(described) if as_values else shown.clip(out, clip))


@media.command()
@click.argument("file", type=_FILE)
@click.option("-o", "--output", type=_NEW_FILE, help="Where to write the list (standard output).")
@click.option("--block", type=SIZE, default=block_digests.BLOCK_BYTES, help="Bytes of a block (256KiB).")
@click.option("--replace", is_flag=True, help="Overwrite the output.")
def digests(file: Path, output: Path | None, block: int, *, replace: bool) -> None:
    """List the SHA-256 of each block of FILE, with which parts of it can be checked elsewhere."""
    with file.open("rb") as opened:
        listed = block_digests.make(opened, block)
    text = json.dumps(listed)
    if output is None:
        click.echo(text)
    else:
        files.write(output, [text.encode()], len(text), replace=replace, say=lambda _: None)


@media.command()
@click.argument("file", type=_FILE)
@click.option("--json", "as_values", is_flag=True, help="The result as JSON.")
def index(file: Path, *, as_values: bool) -> None:
    """Print what the index of the MP4 file FILE says: its place, duration, bitrate, tracks."""
    found = shown.index_values(files.index(file))
    click.echo(json.dumps(found, indent=1) if as_values else shown.index(file, found))


def _clip(values: Mapping[str, Any]) -> Clip:
    """Return the clip of the options; of duration, bitrate and size the third follows from two."""
    duration_s, bitrate_bps, size = values["duration"], values["bitrate"], values["size"]
    others = {name: values[name] for name in ("moov", "fps", "seed", "newlines", "wide")}
    if size is not None and duration_s is not None:
        if bitrate_bps is not None:
            raise UsageError("duration, bitrate and size can't all be given", hint="leave one of them out")
        return Clip.of_size_and_duration(size, duration_s, **others)
    bitrate_bps = _BITRATE_BPS if bitrate_bps is None else bitrate_bps
    if size is not None:
        return Clip.of_size(size, bitrate_bps, **others)
    return Clip(duration_s=_DURATION_S if duration_s is None else duration_s, bitrate_bps=bitrate_bps, **others)
