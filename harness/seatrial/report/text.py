"""The report that a person reads in a terminal, a log or a mail: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from seatrial.judge.latency import Traffic
from seatrial.judge.validity import RESERVED
from seatrial.model import Note
from seatrial.report import numbers, tables
from seatrial.report.console import standard_output
from seatrial.report.contents import Happened, Review
from seatrial.report.mends import mend

_MOST_EVENTS = 20


def show(review: Review) -> None:
    """Print the report to standard output."""
    render(review, standard_output())


def table(rows: Sequence[Mapping[str, object]], console: Console | None = None) -> str:
    """Return rows of named values, such as the list of runs, as a table; words if there is none."""
    if not rows:
        return "nothing there yet"
    out = console or standard_output()
    with out.capture() as captured:
        out.print(tables.listed(rows), highlight=False, end="")
    return captured.get().rstrip("\n")


def render(review: Review, console: Console) -> None:
    """Print the report to `console`, as wide as that is; without a terminal it is plain text."""
    with console.capture() as captured:
        for part in _parts(review, console.width):
            console.print(part, highlight=False)
    lines = captured.get().splitlines()
    # cells are padded to their column; in a log or a mail that would be trailing blanks
    console.file.writelines(f"{line.rstrip()}\n" for line in lines)


def _parts(review: Review, width: int) -> Iterator[RenderableType]:
    yield _verdict(review)
    if review.endpoints:
        yield _section(
            "Requests", _traffic_explained(review), tables.endpoints(review.total, review.endpoints, width)
        )
    if review.flows:
        yield _section(
            "Flows", "a flow is one task of a user, such as a whole pull", tables.flows(review.flows, width)
        )
    ended_otherwise = [row for row in (*review.endpoints, *review.flows) if set(row.outcomes) - {"ok"}]
    if ended_otherwise:
        said = "* is not a failure: given up on purpose (aborted), or by the end of the run (cut)"
        yield _section("Outcomes", said, tables.failures(ended_otherwise))
    yield from _services(review, width)
    if review.events:
        yield _section("Events", "from the start of the window", _events(review.events))
    if review.notes:
        yield _section("Notes", "what to keep in mind, and what to do about it", _notes(review.notes))
    yield _section("Run", "", _run(review))


def _verdict(review: Review) -> RenderableType:
    about, total = review.about, review.total
    word = Text(" VALID " if review.valid else " INVALID ", style="bold reverse " + _colour(review.valid))
    parts = [about.scenario, about.variant, f"{about.engine} engine"]
    parts += [f"{about.users} users"] if about.users is not None else ["no load"]
    first = Text.assemble(word, " ", (" · ".join(parts), "bold"))
    where = (
        f"in a window of {numbers.duration(review.window.length_ns)}"
        if review.window.opened
        else "in all; no window was opened"
    )
    said = f"{numbers.count(total.count)} requests and {_flow_count(review.flows)} flows {where}; {_failed(total)}"
    lines = [first, Text(said)]
    reasons = [note for note in review.notes if note.invalidates]
    lines += [Text(f"not to be trusted: {note.kind}: {note.text}", style="red") for note in reasons]
    if about.status != "complete" and not reasons:
        lines.append(Text(f"the run did not come to its end: {about.status}", style="red"))
    if about.error:
        lines.append(Text(about.error, style="red"))
    return Group(*lines)


def _traffic_explained(review: Review) -> str:
    if review.total.failures:
        return "latency of the successes, start to last byte; first byte: p50; - : too few to tell"
    return "latency from start to last byte; first byte: p50; - : too few to tell"


def _services(review: Review, width: int) -> Iterator[RenderableType]:
    stack = [placed for placed in review.services if placed.use.service not in RESERVED]
    if stack:
        said = "unrecl. = anon + kernel + shmem + sock + dirty; clean: cache that can be taken back"
        yield _section("Memory", said, tables.memory(stack, width))
    if review.services:
        said = "CPU in the window; stall: time in which some task waited; gap: time between two samples"
        table, empty = tables.work(review.services, width)
        yield _section("Work", said, Group(table, Text(empty, style="dim")) if empty else table)


def _events(events: Sequence[Happened]) -> RenderableType:
    rows = [
        (numbers.moment(event.after_ns), " ".join((event.service, event.event, *_detail(event))))
        for event in events[:_MOST_EVENTS]
    ]
    if len(events) > _MOST_EVENTS:
        rows.append(("...", f"{len(events) - _MOST_EVENTS} more in events.jsonl"))
    return tables.pairs(rows)


def _detail(event: Happened) -> list[str]:
    return [f"{name}={value}" for name, value in event.detail.items() if name != "image"]


def _notes(notes: Sequence[Note]) -> RenderableType:
    rows = []
    for note in notes:
        rows.append((("! " if note.invalidates else "  ") + note.kind, note.text))
        if advice := mend(note.kind):
            rows.append(("", f"-> {advice}"))
    return tables.pairs(rows)


def _run(review: Review) -> RenderableType:
    about, times = review.about, review.times
    rows = [
        ("question", about.question),
        ("began", about.began_utc),
        ("engine", f"{about.engine}: {about.engine_reason}" if about.engine_reason else about.engine),
        ("load went by", about.url_via),
        ("generator", _generator(review)),
        ("sampler", _sampler(review)),
        ("to first request", f"{numbers.duration(times.command_to_first_request_ns)} from the command"),
        (
            "to the end",
            f"{numbers.duration(times.last_request_to_end_ns)} from the last request, with teardown",
        ),
        ("data", about.folder),
        ("", f"{', '.join(about.files)}; pandas, polars and DuckDB open the tables"),
        ("see it again", f"seatrial show {about.show}"),
    ]
    return tables.pairs([(name, text) for name, text in rows if text])


def _generator(review: Review) -> str:
    use = review.generator
    if not use.seconds:
        return ""
    processes = "1 process" if use.workers == 1 else f"{numbers.count(use.workers)} processes"
    usual, most = numbers.percent(use.cpu_median), numbers.percent(use.cpu_max)
    lag = numbers.duration(use.loop_lag_p99_max_ns)
    return f"{processes}, CPU {usual} of a core (at most {most}), loop lag p99 at most {lag}"


def _sampler(review: Review) -> str:
    own = [placed.use for placed in review.services if placed.use.service == "sampler"]
    reading = [placed.use.reading_ns.p50 for placed in review.services if placed.use.service not in RESERVED]
    told = [took for took in reading if took is not None]
    if not own or not told:
        return ""
    least, most = numbers.duration(min(told)), numbers.duration(max(told))
    return f"{numbers.percent(own[0].cpu_cores)} of a core; {least} to {most} for one reading of a service (p50)"


def _flow_count(flows: Sequence[Traffic]) -> str:
    return numbers.count(sum(flow.count for flow in flows))


def _failed(total: Traffic) -> str:
    if not total.count:
        return "nothing was asked"
    if not total.failures:
        return "no failures"
    return f"{numbers.count(total.failures)} failed ({numbers.percent(total.failures / total.count)})"


def _section(title: str, said: str, body: RenderableType) -> RenderableType:
    head = Text.assemble("\n", (title, "bold cyan"), (f"  {said}" if said else "", "dim"))
    return Group(head, Padding(body, (0, 0, 0, 2), expand=False))


def _colour(valid: bool) -> str:  # noqa: FBT001  (a yes or no is what the colour says)
    return "green" if valid else "red"
