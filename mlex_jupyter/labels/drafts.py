"""Drafts: the working copy of a label set, its newest version with tiles painted over it.

A tile that was painted is a row of the database with all of its values; every other tile is as in the base. So a
stroke is one commit, a volume costs what is painted of it, and what was acknowledged is as durable as a job.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mlex_jupyter.labels import ledger
from mlex_jupyter.labels.bases import Bases
from mlex_jupyter.labels.tiles import EMPTY, Bytes, Change, Place, counted, extent, pack, unpack
from mlex_jupyter.store.tables import Row, label_changes, label_drafts, label_slices, label_strokes, label_tiles
from mlex_jupyter.types import ClassInfo, LabelSet

Balance = Mapping[int, Mapping[int, int]]
"""Labelled pixels by z and value."""


@dataclass(frozen=True)
class Working:
    """The row of a draft."""

    labels: str
    dataset: str
    name: str
    shape: tuple[int, int, int]
    classes: tuple[ClassInfo, ...]
    base: int
    number: int
    changed: int
    saved: int
    floor: int
    time: float | None

    @property
    def unsaved(self) -> bool:
        """Whether the base lacks something."""
        return self.changed > self.saved

    def names(self) -> dict[int, str]:
        """The classes' names by value."""
        return {found.value: found.name for found in self.classes}


def find(tx: Connection, labels: str, *, lock: bool = False) -> Working | None:
    """A draft; locked, nobody else changes it before this transaction ends."""
    query = select(label_drafts).where(label_drafts.c.labels == labels)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _working(row)


def named(tx: Connection, dataset: str, name: str) -> Working | None:
    """A draft by its dataset's id and its own name."""
    query = select(label_drafts).where(label_drafts.c.dataset == dataset, label_drafts.c.name == name)
    row = tx.execute(query).one_or_none()
    return None if row is None else _working(row)


def _working(row: Row) -> Working:
    fields = dict(row._mapping)
    fields["shape"] = tuple(fields["shape"])
    fields["classes"] = tuple(ClassInfo.model_validate(one) for one in fields["classes"])
    return Working(**fields)


def put_on(tx: Connection, base: LabelSet, shape: tuple[int, int, int], balance: Balance, kind: str) -> Working:
    """Put the draft on a version that was not made of it; what was painted before can no longer be taken back."""
    before = find(tx, base.id, lock=True)
    number = before.number + 1 if before else 1
    fields: dict[str, Any] = {
        "classes": [found.model_dump() for found in base.classes],
        "base": base.version,
        "number": number,
        "changed": number,
        "saved": number,
        "floor": number,
        "time": time.time(),
    }
    if before:
        tx.execute(update(label_drafts).where(label_drafts.c.labels == base.id).values(**fields))
    else:
        about = {"labels": base.id, "dataset": base.dataset, "name": base.name, "shape": list(shape)}
        tx.execute(insert(label_drafts).values(**about, **fields))
    for table in (label_tiles, label_slices, label_changes):
        tx.execute(delete(table).where(table.c.labels == base.id))
    live = label_strokes.c.state.in_(("done", "undone"))
    tx.execute(update(label_strokes).where(label_strokes.c.labels == base.id, live).values(state="settled"))
    put_counts(tx, base.id, balance)
    ledger.add_history(tx, base.id, number, kind=kind, state="settled", author=base.author or "", tiles=[])
    found = find(tx, base.id)
    assert found is not None
    return found


# ---------------------------------------------------------------- tiles


TileRows = Mapping[Place, tuple[int, bytes | None]]


def tile_rows(tx: Connection, labels: str, places: Collection[Place]) -> TileRows:
    """Version and values of those of these tiles that have a row."""
    if not places:
        return {}
    inside = [
        column.between(min(place[axis] for place in places), max(place[axis] for place in places))
        for axis, column in enumerate((label_tiles.c.z, label_tiles.c.row, label_tiles.c.col))
    ]
    rows = tx.execute(select(label_tiles).where(label_tiles.c.labels == labels, *inside))
    return {place: (row.version, row.packed) for row in rows if (place := (row.z, row.row, row.col)) in places}


def base_values(bases: Bases, draft: Working, wanted: Iterable[Place]) -> dict[Place, bytes]:
    """These tiles as the base has them, packed."""
    return bases.some(bases.place(draft.labels, draft.base), wanted)


class Canvas:
    """Some tiles of a draft, in a transaction that has locked it."""

    def __init__(
        self,
        tx: Connection,
        draft: Working,
        places: Collection[Place],
        rows: TileRows,
        base: Mapping[Place, bytes],
    ) -> None:
        self.tx = tx
        self.draft = draft
        self.versions = {place: rows[place][0] if place in rows else draft.floor for place in places}
        self._packed = {place: _first(rows.get(place, (0, None))[1], base.get(place, EMPTY)) for place in places}
        self._unpacked: dict[Place, Bytes] = {}
        self._known = set(rows)

    def seen(self, place: Place) -> Bytes:
        """The values of a tile, to be looked at."""
        if place not in self._unpacked:
            self._unpacked[place] = unpack(self._packed[place], extent(self.draft.shape, place))
        return self._unpacked[place]

    def values(self, place: Place) -> Bytes:
        """The values of a tile, to be written to."""
        return self.seen(place).copy()

    def write(self, number: int, after: Mapping[Place, Bytes]) -> dict[Place, Change]:
        """Make the tiles so, and say what changed."""
        changes: dict[Place, Change] = {}
        for place, values in after.items():
            if change := Change.between(self.seen(place), values):
                changes[place] = change
                self._packed[place] = pack(values) if values.any() else EMPTY
                self._unpacked[place] = values
                self.versions[place] = number
        self._put(number, list(changes))
        self._count(changes)
        return changes

    def packed(self, place: Place) -> bytes:
        """The values of a tile as they travel."""
        return self._packed[place] or pack(self.seen(place))

    def _put(self, number: int, places: list[Place]) -> None:
        rows = [{"z": z, "row": r, "col": c, "version": number, "packed": self._packed[z, r, c]} for z, r, c in places]
        known = [{f"at_{name}": value for name, value in row.items()} for row in rows if _place(row) in self._known]
        new = [{"labels": self.draft.labels, **row} for row in rows if _place(row) not in self._known]
        if known:
            at = (label_tiles.c[name] == bindparam(f"at_{name}") for name in ("z", "row", "col"))
            values: dict[str, Any] = {name: bindparam(f"at_{name}") for name in ("version", "packed")}
            self.tx.execute(
                update(label_tiles).where(label_tiles.c.labels == self.draft.labels, *at).values(**values), known
            )
        if new:
            self.tx.execute(insert(label_tiles), new)
        self._known.update(places)

    def _count(self, changes: Mapping[Place, Change]) -> None:
        turned: dict[int, NDArray[np.int64]] = {}
        for (z, _, _), change in changes.items():
            where = change.turned != 0
            after = change.after[where]
            turned[z] = turned.get(z, 0) + counted(after) - counted(after ^ change.turned[where])
        before = counts_of(self.tx, self.draft.labels, turned)
        after_counts = {}
        for z, more in turned.items():
            known = before.get(z, {})
            values = set(known) | set(np.flatnonzero(more).tolist())
            now = {value: known.get(value, 0) + int(more[value]) for value in sorted(values) if value}
            after_counts[z] = {value: count for value, count in now.items() if count}
        put_counts(self.tx, self.draft.labels, after_counts)


def _place(row: Mapping[str, Any]) -> Place:
    return row["z"], row["row"], row["col"]


def _first(packed: bytes | None, otherwise: bytes) -> bytes:
    return otherwise if packed is None else packed


# ---------------------------------------------------------------- counts


def counts_of(tx: Connection, labels: str, zs: Collection[int] | None = None) -> dict[int, dict[int, int]]:
    """Labelled pixels of a draft by z and value."""
    query = select(label_slices).where(label_slices.c.labels == labels).order_by(label_slices.c.z)
    if zs is not None:
        if not zs:
            return {}
        query = query.where(label_slices.c.z.between(min(zs), max(zs)))
    return {row.z: {int(value): n for value, n in row.counts.items()} for row in tx.execute(query)}


def put_counts(tx: Connection, labels: str, balance: Balance) -> None:
    """Set the counts of these slices; a slice without labels has no row."""
    if balance:
        at = (label_slices.c.labels == labels, label_slices.c.z == bindparam("at_z"))
        tx.execute(delete(label_slices).where(*at), [{"at_z": z} for z in balance])
    rows = [
        {"labels": labels, "z": z, "counts": {str(value): n for value, n in counts.items()}}
        for z, counts in balance.items()
        if counts
    ]
    if rows:
        tx.execute(insert(label_slices), rows)
