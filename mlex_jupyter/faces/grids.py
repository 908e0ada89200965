"""Titles and rows of words, laid out for a terminal of any width and for a notebook in either theme.

The words come from other people. In HTML they are escaped, in a terminal what is not printable is shown as an escape.
"""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mlex_jupyter.faces.words import plain


@dataclass(frozen=True)
class Grid:
    """Titles and rows of words, the same for a terminal and for a notebook."""

    titles: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    colours: tuple[str | None, ...]
    """Of the first column's icon, a row."""
    notes: tuple[str | None, ...]


@dataclass(frozen=True)
class Fact:
    """One thing that is said of a record, in one or more lines."""

    title: str
    lines: tuple[str, ...]
    colour: str | None = None
    """Of the first word, where that is an icon."""


# ---------------------------------------------------------------- text

GAP = "  "
NARROWEST = 4


def width(text: str) -> int:
    """The columns that a text takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, most: int) -> str:
    """A text that fits, its end replaced by … where it did not."""
    if width(text) <= most:
        return text
    while text and width(text) > most - 1:
        text = text[:-1]
    return text + "…"


def text_grid(found: Grid, columns: int | None = None) -> str:
    """A table for a terminal of so many columns."""
    most = columns or shutil.get_terminal_size((120, 24)).columns
    rows = [list(found.titles), *[[plain(cell) for cell in row] for row in found.rows]]
    widths = [max(width(row[place]) for row in rows) for place in range(len(found.titles))]
    while sum(widths) + len(GAP) * (len(widths) - 1) > most and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row, note in zip(rows, [None, *found.notes], strict=True):
        lines += _text_row(row, widths, found.right)
        lines += [f"{' ' * widths[0]}{GAP}→ {plain(note)}"] if note else []
    return "\n".join(lines)


def _text_row(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """A row; the words of its last column go on in the next line, those of the others are cut."""
    *most, last = row
    cells = [_fitted(cell, room, side) for cell, room, side in zip(most, widths, right, strict=False)]
    wrapped = [_fitted(last, widths[-1], True)] if right[-1] else textwrap.wrap(last, widths[-1]) or [""]
    first = GAP.join([*cells, wrapped[0]]).rstrip()
    indent = " " * sum(room + len(GAP) for room in widths[:-1])
    return [first, *(indent + more for more in wrapped[1:])]


def _fitted(cell: str, most: int, to_the_right: bool) -> str:
    fitting = cut(cell, most)
    space = " " * (most - width(fitting))
    return space + fitting if to_the_right else fitting + space


def text_facts(facts: Sequence[Fact], columns: int | None = None) -> str:
    """Titles and what is said of each, one under the other. A sentence is wrapped, a log keeps its lines."""
    longest = max((width(fact.title) for fact in facts), default=0)
    room = max(NARROWEST, (columns or shutil.get_terminal_size((120, 24)).columns) - longest - len(GAP))
    told = []
    for fact in facts:
        lines = [plain(line) for line in fact.lines]
        if len(lines) == 1:
            lines = textwrap.wrap(lines[0], room, break_long_words=False, break_on_hyphens=False)
        titles = [fact.title] + [""] * len(lines)
        told += [f"{title:<{longest}}{GAP}{line}" for title, line in zip(titles, lines, strict=False)]
    return "\n".join(told)


# ---------------------------------------------------------------- HTML

TABLE = (
    "border-collapse:collapse;font-family:var(--jp-ui-font-family);font-size:var(--jp-ui-font-size1);"
    "color:var(--jp-ui-font-color1);font-variant-numeric:tabular-nums"
)
HEAD = (
    "padding:4px 16px 4px 0;vertical-align:top;color:var(--jp-ui-font-color2);font-weight:500;"
    "font-size:var(--jp-ui-font-size0)"
)
CELL = "padding:4px 16px 4px 0;vertical-align:top;white-space:pre-wrap;border-top:1px solid var(--jp-border-color2)"


def html_grid(found: Grid) -> str:
    """A table that looks as JupyterLab does, in both themes."""
    sides = ["right" if right else "left" for right in found.right]
    head = "".join(
        f'<th style="{HEAD};text-align:{side}">{escape(title)}</th>'
        for title, side in zip(found.titles, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{CELL};text-align:{side}">{_html_cell(cell, colour if place == 0 else None)}</td>'
            for place, (cell, side) in enumerate(zip(row, sides, strict=True))
        )
        + "</tr>"
        + (f'<tr><td></td><td colspan="{len(row) - 1}"><code>{escape(plain(note))}</code></td></tr>' if note else "")
        for row, colour, note in zip(found.rows, found.colours, found.notes, strict=True)
    )
    return f'<table style="{TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _html_cell(cell: str, colour: str | None) -> str:
    """The icon carries the hue, the word keeps the text's colour."""
    safe = escape(plain(cell))
    if colour is None or " " not in safe:
        return safe
    icon, rest = safe.split(" ", 1)
    return f'<span style="color:var({colour})">{icon}</span> {rest}'


def _html_lines(said: Sequence[str], colour: str | None) -> str:
    return "<br>".join(_html_cell(line, colour) for line in said)


def html_facts(facts: Sequence[Fact]) -> str:
    """Titles and what is said of each, as a small table."""
    rows = "".join(
        f'<tr><th style="{HEAD};text-align:left;border-top:1px solid var(--jp-border-color2)">{escape(fact.title)}</th>'
        f'<td style="{CELL};text-align:left">{_html_lines(fact.lines, fact.colour)}</td></tr>'
        for fact in facts
    )
    return f'<table style="{TABLE}"><tbody>{rows}</tbody></table>'
