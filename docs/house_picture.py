"""The picture of the house, drawn from the imports.

`python docs/house_picture.py > docs/explanation/house.svg` draws one box a package, with its modules, in the
rows of the layers of pyproject.toml. An arrow leads from a package to one that it imports; those that follow from
others are left out (transitive reduction).
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "explanation" / "house.svg"

_PACKAGE = ROOT / "harness" / "seatrial"
_WIDTH, _MARGIN, _GAP_X, _GAP_Y, _PAD, _LINE = 1120, 80, 16, 36, 10, 15
_TITLE, _COLUMN = 20, 136
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.name{font-weight:bold;font-size:13px}"
    "rect{fill:#f4f7fa;stroke:#5b7083}path{fill:none;stroke:#5b7083;stroke-width:1.2;marker-end:url(#tip)}"
)
_TIP = (
    '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" style="fill:#5b7083;marker-end:none"/></marker></defs>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One package as it is drawn, in pixels."""

    name: str
    modules: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float
    row: int

    @property
    def middle(self) -> float:
        """The horizontal centre."""
        return self.x + self.width / 2

    @property
    def full(self) -> bool:
        """Whether it has its row for itself."""
        return self.width > _WIDTH / 2


def layers() -> list[list[str]]:
    """Return the rows of the house, from top to bottom, each with the names that stand side by side."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in row.split("|")] for row in rows]


def packages() -> dict[str, set[str]]:
    """Return, for each name of the house, the others that its modules import."""
    found: dict[str, set[str]] = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE).parts[0].removesuffix(".py")
        if name != "__init__":
            found.setdefault(name, set()).update(_imported(path))
    return {name: uses - {name} for name, uses in found.items()}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "seatrial":
            inner = node.module.split(".")[1:]
            yield from inner[:1] or (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith("seatrial.commands"):
            yield "commands"  # by name, when a command is to be run


def reduced(uses: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Return the imports that do not follow from others: a uses c is left out where a uses b and b uses c."""
    reach: dict[str, set[str]] = {}

    def reached(name: str) -> set[str]:
        if name not in reach:
            reach[name] = set(uses.get(name, ())).union(*map(reached, uses.get(name, ())))
        return reach[name]

    return sorted(
        (name, used)
        for name, all_used in uses.items()
        for used in all_used
        if not any(used in reached(other) for other in all_used - {used})
    )


def placed(rows: Sequence[Sequence[str]]) -> list[Box]:
    """Return the boxes, row below row; a row of several shares the width."""
    boxes: list[Box] = []
    top: float = _MARGIN / 2
    for number, names in enumerate(rows):
        width = (_WIDTH - 2 * _MARGIN - _GAP_X * (len(names) - 1)) / len(names)
        columns = max(1, int((width - 2 * _PAD) // _COLUMN))
        modules = [_modules(name) for name in names]
        lines = max(-(-len(listed) // columns) for listed in modules)
        height = _TITLE + lines * _LINE + _PAD
        for index, (name, listed) in enumerate(zip(names, modules, strict=True)):
            x = _MARGIN + index * (width + _GAP_X)
            boxes.append(Box(name=name, modules=listed, x=x, y=top, width=width, height=height, row=number))
        top += height + _GAP_Y
    return boxes


def _modules(name: str) -> tuple[str, ...]:
    folder = _PACKAGE / name
    return tuple(path.stem for path in sorted(folder.glob("*.py")) if path.stem != "__init__")


def drawn() -> str:
    """Return the picture as SVG."""
    boxes = placed(layers())
    by_name = {box.name: box for box in boxes}
    height = max(box.y + box.height for box in boxes) + _MARGIN / 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:g}">',
        f"<style>{_STYLE}</style>",
        _TIP,
        '<rect width="100%" height="100%" style="fill:white;stroke:none"/>',
    ]
    for box in boxes:
        lines += _box(box)
    lanes = 0
    for upper, lower in reduced(packages()):
        above, below = by_name[upper], by_name[lower]
        if below.row - above.row == 1:
            lines.append(_arrow(above, below))
        else:
            lanes += 1
            lines.append(_around(above, below, lanes))
    return "\n".join([*lines, "</svg>", ""])


def _box(box: Box) -> Iterator[str]:
    yield f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="4"/>'
    yield f'<text class="name" x="{box.x + _PAD:g}" y="{box.y + _TITLE - 3:g}">{escape(box.name)}</text>'
    columns = max(1, int((box.width - 2 * _PAD) // _COLUMN))
    for index, module in enumerate(box.modules):
        x = box.x + _PAD + index % columns * _COLUMN
        y = box.y + _TITLE + _LINE * (index // columns + 1) - 4
        yield f'<text x="{x:g}" y="{y:g}">{escape(module)}</text>'


def _arrow(above: Box, below: Box) -> str:
    x = above.middle if above.width < below.width else below.middle
    return f'<path d="M{x:g},{above.y + above.height:g} L{x:g},{below.y:g}"/>'


def _around(above: Box, below: Box, lane: int) -> str:
    """Return an arrow through the margin, where the two do not stand in neighbouring rows.

    Boxes that fill their row are left and entered at the side, the others through the gap below and above them.
    """
    left = (above.middle + below.middle) / 2 < _WIDTH / 2 or (above.full and below.full and lane % 2 == 1)
    shift = 4 + 5 * (lane % 5)
    gutter = _MARGIN - 6 - 6 * lane if left else _WIDTH - _MARGIN + 6 + 6 * lane
    if above.full:
        points = [(above.x if left else above.x + above.width, above.y + above.height / 2)]
        points.append((gutter, points[0][1]))
    else:
        gap_y = above.y + above.height + shift
        points = [(above.middle + shift, above.y + above.height), (above.middle + shift, gap_y), (gutter, gap_y)]
    if below.full:
        y = below.y + below.height / 2 - 8 + 4 * (lane % 4)
        points += [(gutter, y), (below.x if left else below.x + below.width, y)]
    else:
        gap_y = below.y - shift - 4
        points += [(gutter, gap_y), (below.middle + shift, gap_y), (below.middle + shift, below.y)]
    return '<path d="M' + " L".join(f"{x:g},{y:g}" for x, y in points) + '"/>'


if __name__ == "__main__":
    sys.stdout.write(drawn())
