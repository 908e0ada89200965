"""Views: a slice's labels for the screen, how much is labelled where, and what happened to a draft."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

import numpy as np
from sqlalchemy import Connection, select

from mlex_jupyter.errors import Invalid
from mlex_jupyter.labels import drafts, ledger
from mlex_jupyter.labels.bases import Bases, Packed, lines
from mlex_jupyter.labels.drafts import Balance, Working
from mlex_jupyter.labels.hands import Hand
from mlex_jupyter.labels.tiles import EMPTY, SIDE, Bytes, Place, cut, extent, pack, unpack
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import label_strokes, label_tiles
from mlex_jupyter.types import Block, ClassInfo, Draft, LabelSlice, SliceBalance, StrokeInfo

AT_MOST = 1000
AXES = "zyx"

Rows = Mapping[Place, tuple[int, bytes | None]]


def overview(tx: Connection, draft: Working, hand: Hand) -> Draft:
    """How a draft stands, for one person."""
    undo, redo, _ = ledger.steps(tx, draft.labels, hand)
    refused = ledger.steps(tx, draft.labels, Hand(hand.author))[2]
    return Draft(
        labels=draft.labels,
        name=draft.name,
        dataset=draft.dataset,
        shape=draft.shape,
        tile=SIDE,
        classes=draft.classes,
        version=draft.base,
        number=draft.number,
        unsaved=draft.unsaved,
        undo=undo,
        redo=redo,
        refused=refused,
        changed=None if draft.time is None else datetime.fromtimestamp(draft.time, timezone.utc),
    )


def history(tx: Connection, draft: Working, limit: int, refused: bool) -> list[StrokeInfo]:
    """The last changes, the newest first."""
    if limit < 1:
        raise Invalid(f"limit={limit}: ask for at least one.")
    query = select(label_strokes).where(label_strokes.c.labels == draft.labels)
    if refused:
        query = query.where(label_strokes.c.state == "refused")
    rows = tx.execute(query.order_by(label_strokes.c.number.desc()).limit(min(limit, AT_MOST)))
    return [
        StrokeInfo(
            number=row.number,
            kind=row.kind,
            state=row.state,
            author=row.author,
            window=row.window,
            pixels=row.pixels,
            slices=tuple(sorted({z for z, _, _ in row.tiles})),
            of=row.of,
            time=datetime.fromtimestamp(row.time, timezone.utc),
        )
        for row in rows
    ]


def balance_of(balance: Balance, classes: Sequence[ClassInfo], shape: tuple[int, int, int]) -> list[SliceBalance]:
    """The labelled slices, with what is labelled in each."""
    pixels = shape[1] * shape[2]
    return [
        SliceBalance(
            z=z,
            counts={found.name: counts.get(found.value, 0) for found in classes},
            labelled=sum(counts.values()) / pixels,
        )
        for z, counts in sorted(balance.items())
        if counts
    ]


# ---------------------------------------------------------------- slices


def draft_slice(store: Store, bases: Bases, labels: str, axis: int, index: int) -> LabelSlice:
    """A slice of a draft as it is now."""

    def look(tx: Connection) -> tuple[Working, Rows]:
        draft = drafts.find(tx, labels)
        assert draft is not None  # whoever asks has opened it
        _check(draft.shape, axis, index)
        column = (label_tiles.c.z, label_tiles.c.row, label_tiles.c.col)[axis]
        query = select(label_tiles).where(
            label_tiles.c.labels == labels, column == (index if axis == 0 else index // SIDE)
        )
        return draft, {(row.z, row.row, row.col): (row.version, row.packed) for row in tx.execute(query)}

    draft, rows = store.read_now(look)
    return _slice(bases, draft, draft.base, rows, axis, index)


def version_slice(bases: Bases, draft: Working, version: int, axis: int, index: int) -> LabelSlice:
    """A slice of a version."""
    _check(draft.shape, axis, index)
    return _slice(bases, draft, version, {}, axis, index)


def _check(shape: tuple[int, int, int], axis: int, index: int) -> None:
    if not 0 <= axis <= 2:
        raise Invalid(f"There is no axis {axis} to cut across.", hint="Say 0 for z, 1 for y, 2 for x.")
    if not 0 <= index < shape[axis]:
        raise Invalid(f"There is no slice {index} there.", hint=f"Say an index from 0 to {shape[axis] - 1}.")


def _slice(bases: Bases, draft: Working, version: int, rows: Rows, axis: int, index: int) -> LabelSlice:
    height, width = (length for place, length in enumerate(draft.shape) if place != axis)
    blocks = (_across_z if axis == 0 else _across)(bases, draft, version, rows, axis, index)
    return LabelSlice(
        labels=draft.labels,
        axis=axis,
        index=index,
        height=height,
        width=width,
        tile=SIDE,
        number=draft.number,
        elsewhere=draft.floor,
        blocks=tuple(blocks),
    )


def _across_z(bases: Bases, draft: Working, version: int, rows: Rows, axis: int, z: int) -> list[Block]:
    """Tiles travel as they are kept: nothing is unpacked."""
    covered = {(row, column) for (_, row, column), (_, packed) in rows.items() if packed is not None}
    whole = _whole(bases, draft, version, z, covered)
    found: dict[tuple[int, int], tuple[int, bytes]] = {at: (draft.floor, packed) for at, packed in whole.items()}
    for (_, row, column), (changed, packed) in rows.items():
        found[row, column] = changed, whole.get((row, column), EMPTY) if packed is None else packed
    return [
        Block(
            row=row,
            column=column,
            version=changed,
            values=_text(packed or pack(np.zeros(extent(draft.shape, (z, row, column)), np.uint8))),
        )
        for (row, column), (changed, packed) in sorted(found.items())
    ]


def _whole(bases: Bases, draft: Working, version: int, z: int, covered: set[tuple[int, int]]) -> Packed:
    """What the version holds of a slice; not looked at where every tile was painted over."""
    tiles = -(-draft.shape[1] // SIDE) * -(-draft.shape[2] // SIDE)
    return {} if len(covered) == tiles else bases.tiles(bases.place(draft.labels, version), z)


def _across(bases: Bases, draft: Working, version: int, rows: Rows, axis: int, index: int) -> list[Block]:
    """Lines of the slices that have labels, put together."""
    depth, along = draft.shape[0], draft.shape[2 if axis == 1 else 1]
    plane = np.zeros((depth, along), np.uint8)
    painted = _painted_over(rows, axis)
    across = -(-along // SIDE)
    under = [z for z in range(depth) if len(painted.get(z, ())) < across]
    for z, line in lines(bases.place(draft.labels, version), axis, index, under).items():
        plane[z] = line
    versions: dict[tuple[int, int], int] = {}
    for (z, row, column), (changed, packed) in rows.items():
        at = column if axis == 1 else row
        block = z // SIDE, at
        versions[block] = max(changed, versions.get(block, 0))
        if packed is not None:
            tile = unpack(packed, extent(draft.shape, (z, row, column)))
            inside = index % SIDE
            line = tile[inside] if axis == 1 else tile[:, inside]
            plane[z, at * SIDE : at * SIDE + line.size] = line
    return _cut(plane, versions, draft.floor)


def _painted_over(rows: Rows, axis: int) -> dict[int, set[int]]:
    """Which tiles along a line of each z were painted over."""
    found: dict[int, set[int]] = {}
    for (z, row, column), (_, packed) in rows.items():
        if packed is not None:
            found.setdefault(z, set()).add(column if axis == 1 else row)
    return found


def _cut(plane: Bytes, versions: Mapping[tuple[int, int], int], floor: int) -> list[Block]:
    found = {(row, column): pack(tile) for row, column, tile in cut(plane)}
    for row, column in versions.keys() - found.keys():
        shape = plane[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE].shape
        found[row, column] = pack(np.zeros(shape, np.uint8))
    return [
        Block(row=row, column=column, version=versions.get((row, column), floor), values=_text(packed))
        for (row, column), packed in sorted(found.items())
    ]


def _text(packed: bytes) -> str:
    return base64.b64encode(packed).decode()
