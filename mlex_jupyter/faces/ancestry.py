"""What was made from what: a tree for a terminal, a drawing for a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from mlex_jupyter.faces.words import plain
from mlex_jupyter.types import Lineage, LineageNode

MARKS = {"dataset": "▦", "labels": "✎", "run": "▶", "model": "◆", "unknown": "?"}
WIDE, HIGH, BESIDE, BELOW, MARGIN = 210, 42, 46, 12, 6
LONGEST = 30


# ---------------------------------------------------------------- text


def tree(lineage: Lineage) -> str:
    """What it was made from, and below what was made from it; what stands there twice is told once."""
    nodes = {node.id: node for node in lineage.nodes}
    parents: dict[str, list[str]] = {}
    children: dict[str, list[str]] = {}
    for edge in lineage.edges:
        parents.setdefault(edge.child, []).append(edge.parent)
        children.setdefault(edge.parent, []).append(edge.child)
    lines = [_line(nodes[lineage.about])]
    for title, ways in (("made from", parents), ("made from it", children)):
        branches = _branches(lineage.about, ways, nodes)
        lines += ["", title, *branches] if branches else []
    if len(lines) == 1:
        lines += ["", "Nothing else is known: it was made from nothing here, and nothing was made from it."]
    return "\n".join([*lines, *(["", "There is more: say a larger --limit."] if lineage.more else [])])


def _branches(start: str, ways: Mapping[str, Sequence[str]], nodes: Mapping[str, LineageNode]) -> list[str]:
    lines: list[str] = []
    told: set[str] = set()
    waiting = [(one, "", one == ways[start][-1]) for one in reversed(ways.get(start, ()))]
    while waiting:
        one, indent, last = waiting.pop()
        again = " (as above)" if one in told and ways.get(one) else ""
        lines.append(f"{indent}{'└─ ' if last else '├─ '}{_line(nodes[one])}{again}")
        if one not in told:
            further = ways.get(one, ())
            waiting += [(to, indent + ("   " if last else "│  "), to == further[-1]) for to in reversed(further)]
        told.add(one)
    return lines


def _line(node: LineageNode) -> str:
    said = f"  {plain(node.says)}" if node.says else ""
    return f"{MARKS[node.kind]} {plain(node.name)}  {node.kind}{said}"


# ---------------------------------------------------------------- a drawing


def drawing(lineage: Lineage) -> str:
    """Boxes from left to right, what was made first at the left, as an SVG in the colours of the page."""
    places = _places(lineage)
    width = max(x for x, _ in places.values()) + WIDE + MARGIN
    height = max(y for _, y in places.values()) + HIGH + MARGIN
    edges = "".join(_edge(places[edge.parent], places[edge.child], edge.detail) for edge in lineage.edges)
    boxes = "".join(_box(node, *places[node.id], node.id == lineage.about) for node in lineage.nodes)
    more = "<div>There is more: ask for a larger <code>limit</code>.</div>" if lineage.more else ""
    return (
        f'<div style="overflow:auto;max-height:480px"><svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{escape(tree(lineage))}" width="{width}" height="{height}" '
        f'style="font-family:var(--jp-ui-font-family,sans-serif)">{edges}{boxes}</svg></div>{more}'
    )


def _places(lineage: Lineage) -> dict[str, tuple[int, int]]:
    """Left and top of each box: one column after the last parent's, in a column one below the other."""
    column: dict[str, int] = {}
    filled: dict[int, int] = {}
    places = {}
    parents: dict[str, list[str]] = {}
    for edge in lineage.edges:
        parents.setdefault(edge.child, []).append(edge.parent)
    for node in lineage.nodes:  # parents come first
        column[node.id] = max((column.get(one, -1) + 1 for one in parents.get(node.id, ())), default=0)
        row = filled.get(column[node.id], 0)
        filled[column[node.id]] = row + 1
        places[node.id] = (MARGIN + column[node.id] * (WIDE + BESIDE), MARGIN + row * (HIGH + BELOW))
    return places


def _edge(parent: tuple[int, int], child: tuple[int, int], detail: str) -> str:
    x, y, to_x, to_y = parent[0] + WIDE, parent[1] + HIGH // 2, child[0], child[1] + HIGH // 2
    middle = (x + to_x) // 2
    line = (
        f'<path d="M{x} {y}C{middle} {y} {middle} {to_y} {to_x} {to_y}" fill="none" '
        'stroke="var(--jp-border-color0,#999)" stroke-width="1.5"/>'
    )
    if not detail:
        return line
    return (
        f'{line}<text x="{middle}" y="{(y + to_y) // 2 - 4}" text-anchor="middle" font-size="10" '
        f'fill="var(--jp-ui-font-color2,#666)">{escape(plain(detail))}</text>'
    )


def _box(node: LineageNode, x: int, y: int, meant: bool) -> str:
    stroke = "var(--jp-brand-color1,#1976d2)" if meant else "var(--jp-border-color1,#bbb)"
    name, says = (escape(_cut(plain(text))) for text in (f"{MARKS[node.kind]} {node.name}", node.says or node.kind))
    return (
        f"<g><title>{escape(plain(f'{node.kind} {node.name}: {node.says}'))}&#10;{escape(plain(node.id))}</title>"
        f'<rect x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="4" fill="var(--jp-layout-color1,#fff)" '
        f'stroke="{stroke}" stroke-width="{2 if meant else 1}"/>'
        f'<text x="{x + 10}" y="{y + 17}" font-size="12" fill="var(--jp-ui-font-color1,#222)">{name}</text>'
        f'<text x="{x + 10}" y="{y + 33}" font-size="10" fill="var(--jp-ui-font-color2,#666)">{says}</text></g>'
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
