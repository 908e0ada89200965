"""Painting: strokes, tiles with their versions, drafts, and what is told of label sets.

Tiles are squares of 256 × 256 pixels of one z. A tile's version is the number of the change that made it what it is.
Values travel as base64 of zlib of one byte a pixel, row by row.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlex_jupyter.types.base import Name, Record, Time
from mlex_jupyter.types.data import ClassInfo

Place = Annotated[int, Field(ge=0, lt=1 << 31)]
Length = Annotated[int, Field(ge=1, lt=1 << 31)]
Window = Annotated[str, Field(min_length=1, max_length=100)]
Axis = Annotated[int, Field(ge=0, le=2)]


class Patch(Record):
    """A rectangle of new values on a slice across z, y or x (axis 0, 1, 2).

    Across z its rows are y and its columns x; across y they are z and x; across x, z and y. It has one `value` for
    all pixels that are set, or `values` for each pixel of the rectangle.
    """

    axis: Axis = 0
    index: Place
    row: Place
    column: Place
    height: Length
    width: Length
    value: int | None = Field(None, ge=0, le=255)
    values: str | None = None
    runs: tuple[Place, ...] | None = None
    """Which pixels are set, row by row: so many not, so many set, so many not, …; left out, all of them."""


class TileVersion(Record):
    """A tile, and the version of it that somebody saw."""

    z: Place
    row: Place
    column: Place
    version: int


class Stroke(Record):
    """What a person paints between pressing and letting go: all of it is committed, once, or nothing."""

    patches: Annotated[tuple[Patch, ...], Field(min_length=1)]
    tiles: tuple[TileVersion, ...] = ()
    """The versions of the tiles that were painted over, as they were seen."""
    as_of: int | None = None
    """The draft's number when the tiles that are not listed were seen."""
    key: str | None = Field(None, min_length=1, max_length=200)
    """The client's own id of this stroke: sent twice, it is one stroke."""
    window: Window | None = None
    """The window that it was painted in, by an id of the client's: each window takes back its own strokes."""


class Tile(Record):
    """A tile after a change."""

    z: int
    row: int
    column: int
    version: int
    values: str | None = None
    """Left out where they are what was sent."""


class Painted(Record):
    """A change of a draft, acknowledged: it is not lost any more."""

    labels: str
    number: int
    kind: str
    pixels: int
    """How many pixels have another value now."""
    tiles: tuple[Tile, ...]
    undo: int
    """How many of one's own strokes can be taken back now."""
    redo: int


class Draft(Record):
    """The working copy of a label set: its newest version, and what was painted since."""

    labels: str
    name: Name
    dataset: str
    shape: tuple[int, int, int]
    """z, y and x."""
    tile: int
    """The side of a tile in pixels."""
    classes: tuple[ClassInfo, ...]
    version: int
    """The version that it stands on."""
    number: int
    """That of the last change; it only grows."""
    unsaved: bool
    """Whether something was changed since that version."""
    undo: int
    redo: int
    refused: int
    """How many strokes were refused and wait to be painted again or dropped."""
    changed: Time | None


class Block(Record):
    """A square of a slice's labels; it is smaller at the slice's lower and right edge."""

    row: int
    column: int
    version: int
    values: str


class LabelSlice(Record):
    """The labels of one slice across z, y or x. Squares that are not listed are empty, of the version `elsewhere`."""

    labels: str
    axis: int
    index: int
    height: int
    width: int
    tile: int
    number: int
    """The draft's number when this was read; give it as a stroke's `as_of`."""
    elsewhere: int
    blocks: tuple[Block, ...]


class StrokeInfo(Record):
    """One change in a draft's history."""

    number: int
    kind: Literal["stroke", "undo", "redo", "classes", "import", "restore", "new"]
    state: Literal["done", "undone", "dropped", "refused", "settled"]
    """`undone` can be done again; `dropped` cannot any more; `refused` was never done, and is kept."""
    author: str
    window: str | None = None
    pixels: int
    slices: tuple[int, ...]
    of: int | None
    """The stroke that was taken back or done again."""
    time: Time


class SliceBalance(Record):
    """Labelled pixels of one slice, by class name."""

    z: int
    counts: dict[str, int]
    labelled: float
    """The share of the slice's pixels that have a label."""


class ClassChange(Record):
    """How one class differs between two versions, in pixels."""

    name: str
    value: int
    added: int
    removed: int


class LabelComparison(Record):
    """What differs between two versions of a label set, from the first to the second."""

    name: Name
    dataset: str
    version: int
    other: int
    classes: tuple[ClassChange, ...]
    added: int
    """Pixels that had no label before."""
    removed: int
    """Pixels that have none any more."""
    changed: int
    """Pixels of one class that are of another now."""
    slices: tuple[int, ...]
    """The z where something differs."""


class Exported(Record):
    """A file or folder that labels were written to, on the server's machine."""

    path: str
    format: str
    version: int
    nbytes: int
