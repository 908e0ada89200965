"""Versions: label volumes that never change. A draft is saved as one, an old one is put on top again.

    <home>/labels/<id>/v<N>.zarr      uint8 of the dataset's z, y and x, a chunk a slice; 0 is unlabelled

A version is written beside its place and takes its name in the transaction that commits its row. A slice that did
not change is the same file as before, by another name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, func, insert, select, update

from mlex_jupyter.catalog.lineage import link, of_labels
from mlex_jupyter.data.painted import create
from mlex_jupyter.errors import Conflict, NotFound
from mlex_jupyter.events import append
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.files import sync_folder, sync_tree
from mlex_jupyter.labels import drafts
from mlex_jupyter.labels.bases import Bases, chunk, holds, plane
from mlex_jupyter.labels.counts import mapped, tally, total
from mlex_jupyter.labels.drafts import Balance, Working
from mlex_jupyter.labels.tiles import SIDE, Bytes, extent, unpack
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import label_drafts, label_tiles, labels
from mlex_jupyter.types import ClassInfo, LabelSet, new_id, now

FORGOTTEN_S = 24 * 3600
TILES_KEPT = 4096
"""Tiles that stay in the database after they were saved, so that painting goes on without a look at the base."""
TRIES = 20


@dataclass(frozen=True)
class Written:
    """A volume that was written beside its place, and what its row is to say."""

    beside: Path
    draft: Working
    """As it was when this was made of it."""
    classes: tuple[ClassInfo, ...]
    balance: Balance
    author: str
    note: str


class Versions:
    """The versions of one home's label sets."""

    def __init__(self, store: Store, bases: Bases) -> None:
        self.store = store
        self.bases = bases
        self.folder = bases.folder

    def all(self, labels_id: str) -> list[LabelSet]:
        """Every version of a label set, the newest first."""
        query = select(labels.c.record).where(labels.c.id == labels_id).order_by(labels.c.version.desc())
        return self.store.read_now(lambda tx: [LabelSet.model_validate(one) for one in tx.execute(query).scalars()])

    def one(self, draft: Working, version: int | None) -> LabelSet:
        """A version by its number; left out, the newest."""
        query = select(labels.c.record).where(labels.c.id == draft.labels)
        query = query.where(labels.c.version == (draft.base if version is None else version))
        record = self.store.read_now(lambda tx: tx.execute(query).scalar())
        if record is None:
            raise NotFound(f"{draft.name} has no version {version}.", hint=f"The newest is {draft.base}.")
        return LabelSet.model_validate(record)

    def balance(self, labelled: LabelSet) -> Balance:
        """What is labelled in each slice of a version."""
        query = select(labels.c.balance).where(labels.c.id == labelled.id, labels.c.version == labelled.version)
        if known := self.store.read_now(lambda tx: tx.execute(query).scalar()):
            return {int(z): {int(value): n for value, n in counts.items()} for z, counts in known.items()}
        return {z: tally(plane(Path(labelled.uri), z)) for z in labelled.slices}

    # ------------------------------------------------------------ making one

    def save(self, labels_id: str, author: str, note: str = "") -> LabelSet:
        """Keep the draft as a version; where nothing was changed since the newest, that is it."""
        return self._until(lambda: self._save(labels_id, author, note))

    def _save(self, labels_id: str, author: str, note: str) -> LabelSet | None:
        def look(tx: Connection) -> tuple[Working, dict[int, dict[tuple[int, int], bytes]], Balance]:
            draft = drafts.find(tx, labels_id, lock=True)
            assert draft is not None
            query = select(label_tiles).where(
                label_tiles.c.labels == labels_id,
                label_tiles.c.version > draft.saved,
                label_tiles.c.packed.is_not(None),
            )
            tiles: dict[int, dict[tuple[int, int], bytes]] = {}
            for row in tx.execute(query):
                tiles.setdefault(row.z, {})[row.row, row.col] = row.packed
            return draft, tiles, drafts.counts_of(tx, labels_id)

        draft, tiles, balance = self.store.write_now(look)
        if not draft.unsaved:
            return self.one(draft, None)

        def painted(z: int, base: Bytes) -> Bytes:
            for (row, column), packed in tiles[z].items():
                top, left = row * SIDE, column * SIDE
                height, width = extent(draft.shape, (z, row, column))
                base[top : top + height, left : left + width] = unpack(packed, (height, width))
            return base

        with self.incoming() as beside:
            self._write(beside, draft, draft.base, set(tiles), painted)
            written = Written(beside, draft, draft.classes, balance, author, note)
            return self.store.write_now(lambda tx: self._commit_saved(tx, written))

    def _commit_saved(self, tx: Connection, written: Written) -> LabelSet | None:
        if (current := _same(tx, written.draft)) is None:
            return None
        labelled = self.add(tx, written)
        values = {"base": labelled.version, "saved": written.draft.changed}
        tx.execute(update(label_drafts).where(label_drafts.c.labels == current.labels).values(**values))
        _trim(tx, current.labels, written.draft.changed)
        return labelled

    def restore(self, labels_id: str, version: int, author: str, note: str) -> LabelSet:
        """Put an old version on top, as a new one. What was not saved is saved first: nothing is lost."""

        def again() -> LabelSet | None:
            newest = self.save(labels_id, author, f"before version {version} was restored")
            if newest.version == version:
                return newest
            draft = self._draft(labels_id)
            old = self.one(draft, version)
            if not Path(old.uri).is_dir():
                raise NotFound(f"The files of version {version} are gone from {old.uri}.")
            with self.incoming() as beside:
                self._write(beside, draft, version, set(), None)
                said = note or f"version {version} again"
                written = Written(beside, draft, old.classes, self.balance(old), author, said)
                return self.store.write_now(lambda tx: self.put_on_top(tx, written, "restore"))

        return self._until(again)

    def recode(
        self, labels_id: str, table: Mapping[int, int], classes: Sequence[ClassInfo], author: str, note: str
    ) -> LabelSet:
        """Give all pixels of some classes another one, as a new version."""
        codes = np.arange(256, dtype=np.uint8)
        for value, other in table.items():
            codes[value] = other

        def again() -> LabelSet | None:
            newest = self.save(labels_id, author, "before classes were put together")
            draft, balance = self._draft(labels_id), self.balance(newest)
            changed = {z for z, counts in balance.items() if counts.keys() & table.keys()}
            with self.incoming() as beside:
                self._write(beside, draft, draft.base, changed, lambda z, base: codes[base])
                recoded = {z: mapped(counts, table) for z, counts in balance.items()}
                written = Written(beside, draft, tuple(classes), recoded, author, note)
                return self.store.write_now(lambda tx: self.put_on_top(tx, written, "classes"))

        return self._until(again)

    def put_on_top(self, tx: Connection, written: Written, kind: str) -> LabelSet | None:
        """Commit a version that was not made of the draft, and put the draft on it; None where that has moved on."""
        current = _same(tx, written.draft)
        if current is None or current.unsaved:
            return None
        labelled = self.add(tx, written)
        drafts.put_on(tx, labelled, written.draft.shape, written.balance, kind)
        return labelled

    def add(self, tx: Connection, written: Written) -> LabelSet:
        """Move a volume to its place and add its row: the draft is locked, so the number is free."""
        draft = written.draft
        query = select(func.max(labels.c.version)).where(labels.c.id == draft.labels)
        version = int(tx.execute(query).scalar() or 0) + 1
        place = self.bases.place(draft.labels, version)
        labelled = LabelSet(
            id=draft.labels,
            name=draft.name,
            dataset=draft.dataset,
            classes=written.classes,
            version=version,
            uri=str(place),
            counts=total(written.balance, written.classes),
            slices=tuple(sorted(z for z, counts in written.balance.items() if counts)),
            author=written.author,
            note=written.note,
            created=now(),
        )
        _move(written.beside, place)
        failpoint("labels.moved")
        columns = labelled.model_dump(include={"id", "dataset", "name", "version"})
        balance = {str(z): {str(value): n for value, n in counts.items()} for z, counts in written.balance.items()}
        record, created = labelled.model_dump(mode="json"), labelled.created.timestamp()
        tx.execute(insert(labels).values(**columns, record=record, balance=balance, created=created))
        link(tx, labelled.id, of_labels(labelled))
        append(tx, labelled.id, "labels", {"name": draft.name, "dataset": draft.dataset, "version": version})
        return labelled

    def _until(self, make: Callable[[], LabelSet | None]) -> LabelSet:
        """Whoever saves at the same time may be faster; then it is made of what is there now."""
        for _ in range(TRIES):
            if (made := make()) is not None:
                return made
        raise Conflict("Others are saving these labels all the time.", hint="Do it again in a moment.")

    def _draft(self, labels_id: str) -> Working:
        draft = self.store.read_now(lambda tx: drafts.find(tx, labels_id))
        assert draft is not None
        return draft

    # ------------------------------------------------------------ files

    def _write(
        self,
        beside: Path,
        draft: Working,
        version: int,
        changed: set[int],
        change: Callable[[int, Bytes], Bytes] | None,
    ) -> None:
        """Write a version beside its place, durably: the slices of another, some of them changed."""
        base = self.bases.place(draft.labels, version)
        out = create(beside, draft.shape)
        for z in range(draft.shape[0]):
            if z in changed:
                assert change is not None
                before = plane(base, z).copy() if holds(base, z) else np.zeros(draft.shape[1:], np.uint8)
                if (after := change(z, before)).any():
                    out[z] = after
            elif holds(base, z):
                chunk(beside, z).parent.mkdir(parents=True)
                _same_file(chunk(base, z), chunk(beside, z))
        sync_tree(beside)

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """A place to write to, gone at the end; so is what a killed process left there long ago."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.folder.glob(".incoming-*"):
            with contextlib.suppress(FileNotFoundError):  # its owner has just finished
                if time.time() - left.stat().st_mtime > FORGOTTEN_S:
                    shutil.rmtree(left, ignore_errors=True)
        beside = self.folder / new_id(".incoming")
        try:
            yield beside
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _same_file(there: Path, here: Path) -> None:
    """The same file by another name; a copy where the file system knows no such thing."""
    try:
        os.link(there, here)
    except OSError:
        shutil.copyfile(there, here)


def _same(tx: Connection, before: Working) -> Working | None:
    """The draft, locked, if it still stands on what it stood on."""
    current = drafts.find(tx, before.labels, lock=True)
    fitting = current is not None and (current.base, current.floor) == (before.base, before.floor)
    return current if fitting else None


def _trim(tx: Connection, labels_id: str, saved: int) -> None:
    """Leave tiles that were saved long ago to the base; their versions stay."""
    mine = (label_tiles.c.labels == labels_id, label_tiles.c.version <= saved)
    query = select(label_tiles.c.version).where(*mine).order_by(label_tiles.c.version.desc())
    if (oldest := tx.execute(query.offset(TILES_KEPT).limit(1)).scalar()) is not None:
        tx.execute(update(label_tiles).where(*mine, label_tiles.c.version <= oldest).values(packed=None))


def _move(beside: Path, place: Path) -> None:
    """Give the volume its name. What stands there has no row: a process died between moving and committing."""
    place.parent.mkdir(mode=0o700, exist_ok=True)
    if place.exists():
        shutil.rmtree(place)
    os.rename(beside, place)
    sync_folder(place.parent)
    sync_folder(place.parent.parent)
