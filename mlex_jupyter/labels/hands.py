"""Who paints, and where: whose strokes a step back takes back."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement

from mlex_jupyter.store.tables import label_strokes


class Hand(NamedTuple):
    """Who paints, and in which window: each has its own steps back. Without one they are all of a person's."""

    author: str
    window: str | None = None

    def strokes(self, labels: str) -> tuple[ColumnElement[bool], ...]:
        """Which strokes are theirs."""
        of = label_strokes.c
        mine = (of.labels == labels, of.author == self.author)
        return mine if self.window is None else (*mine, of.window == self.window)
