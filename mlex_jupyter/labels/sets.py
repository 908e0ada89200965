"""Label sets: classes painted over a dataset, kept in versions that never change.

    <home>/labels/<id>/v<N>.zarr      uint8 of the dataset's z, y and x, a chunk a slice; 0 is unlabelled

A version is written beside its place and takes its name in the transaction that commits its row.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.data.painted import check_labels, copy_labels
from mlex_jupyter.data.readers import local_path, open_path
from mlex_jupyter.errors import Invalid, NotFound, nearest
from mlex_jupyter.events import append
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.files import sync_folder, sync_tree
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.tables import labels
from mlex_jupyter.types import NAME, ClassInfo, Dataset, LabelSet, new_id, now

PALETTE = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#f0e442")
"""Okabe and Ito's colours, which people who see few colours tell apart; the panel has the same."""

FORGOTTEN_S = 24 * 3600


class Labels:
    """The label sets of one home."""

    def __init__(self, store: Store, settings: Settings, catalog: Catalog) -> None:
        self.store = store
        self.catalog = catalog
        self.folder = settings.home / "labels"

    async def list(self, data: str) -> list[LabelSet]:
        """The newest version of each label set of a dataset; the one changed last comes first."""

        def find(tx: Connection) -> list[LabelSet]:
            return _newest(tx, self.catalog.find(tx, data).id)

        return await self.store.read(find)

    async def get(self, data: str, name: str) -> LabelSet:
        """The newest version of one label set."""

        def find(tx: Connection) -> LabelSet:
            dataset = self.catalog.find(tx, data)
            found = {labelled.name: labelled for labelled in _newest(tx, dataset.id)}
            if name in found:
                return found[name]
            there_are = f"There are {', '.join(found)}." if found else "It has none yet: import some first."
            near = nearest(name, found)
            raise NotFound(
                f"The dataset {dataset.name!r} has no labels {name!r}.",
                hint=f"{near} {there_are}" if near else there_are,
            )

        return await self.store.read(find)

    async def import_file(self, data: str, path: str, name: str, classes: Sequence[ClassInfo] = ()) -> LabelSet:
        """Take the labels in a file as a new version.

        Without classes those of the version before hold; without one, every value is a class of its own.
        """
        if not NAME.fullmatch(name):
            raise Invalid(
                f"Labels cannot be called {name[:100]!r}.",
                hint="Use letters, digits, '.', '_' and '-', at most 100, beginning with a letter or digit.",
            )
        _check_classes(classes)
        dataset = await self.catalog.get(data)
        # Shielded: a caller that goes away in the middle must not have half a folder swept from under the commit.
        return await asyncio.shield(asyncio.to_thread(self._import_now, dataset, path, name, classes))

    def _import_now(self, dataset: Dataset, path: str, name: str, classes: Sequence[ClassInfo]) -> LabelSet:
        with self._incoming() as beside:
            painted = _take(dataset, path, beside)
            return self.store.write_now(lambda tx: self._commit(tx, dataset, name, classes, painted, beside))

    def _commit(
        self,
        tx: Connection,
        dataset: Dataset,
        name: str,
        classes: Sequence[ClassInfo],
        painted: Counter[tuple[int, int]],
        beside: Path,
    ) -> LabelSet:
        """Move the volume to its place and add the row: writers come one at a time, so the number is free."""
        before = next((found for found in _newest(tx, dataset.id) if found.name == name), None)
        named = tuple(classes) or _classes(painted, before)
        labelled = LabelSet(
            id=before.id if before else new_id("labels"),
            name=name,
            dataset=dataset.id,
            classes=named,
            version=before.version + 1 if before else 1,
            uri="",
            counts=_counts(painted, named),
            slices=tuple(sorted({z for z, _ in painted})),
            created=now(),
        )
        place = self.folder / labelled.id / f"v{labelled.version}.zarr"
        labelled = labelled.model_copy(update={"uri": str(place)})
        _move(beside, place)
        failpoint("labels.moved")
        columns = labelled.model_dump(include={"id", "dataset", "name", "version"})
        record = labelled.model_dump(mode="json")
        tx.execute(insert(labels).values(**columns, record=record, created=labelled.created.timestamp()))
        append(tx, labelled.id, "labels", {"name": name, "dataset": dataset.id, "version": labelled.version})
        return labelled

    @contextlib.contextmanager
    def _incoming(self) -> Iterator[Path]:
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


def _take(dataset: Dataset, path: str, beside: Path) -> Counter[tuple[int, int]]:
    """Copy the labels of a file, durably, and count them."""
    with open_path(local_path(path)) as volume:
        check_labels(volume, dataset)
        painted = copy_labels(volume, beside)
    if not painted:
        raise Invalid(f"{path} holds nothing but zeros, and 0 is unlabelled.", hint="Paint some classes, from 1 on.")
    sync_tree(beside)
    return painted


def _move(beside: Path, place: Path) -> None:
    """Give the volume its name. What stands there has no row: a process died between moving and committing."""
    place.parent.mkdir(mode=0o700, exist_ok=True)
    if place.exists():
        shutil.rmtree(place)
    os.rename(beside, place)
    sync_folder(place.parent)
    sync_folder(place.parent.parent)


def _newest(tx: Connection, dataset_id: str) -> list[LabelSet]:
    last = (
        select(labels.c.name, func.max(labels.c.version).label("version"))
        .where(labels.c.dataset == dataset_id)
        .group_by(labels.c.name)
        .subquery()
    )
    query = (
        select(labels.c.record)
        .join(last, (labels.c.name == last.c.name) & (labels.c.version == last.c.version))
        .where(labels.c.dataset == dataset_id)
        .order_by(labels.c.created.desc(), labels.c.name)
    )
    return [LabelSet.model_validate(record) for record in tx.execute(query).scalars()]


def _check_classes(classes: Sequence[ClassInfo]) -> None:
    for what, found in (("value", [c.value for c in classes]), ("name", [c.name for c in classes])):
        if len(set(found)) < len(found):
            raise Invalid(f"Two classes have the same {what}.", hint=f"Give each class a {what} of its own.")


def _classes(painted: Counter[tuple[int, int]], before: LabelSet | None) -> tuple[ClassInfo, ...]:
    """The classes of the version before, or one for each value."""
    if before:
        return before.classes
    values = sorted({value for _, value in painted})
    return tuple(ClassInfo(value=v, name=f"class {v}", color=PALETTE[(v - 1) % len(PALETTE)]) for v in values)


def _counts(painted: Counter[tuple[int, int]], classes: Sequence[ClassInfo]) -> dict[str, int]:
    """Labelled pixels by class name; Invalid for values that no class has."""
    by_value: Counter[int] = Counter()
    for (_, value), count in painted.items():
        by_value[value] += count
    if unknown := sorted(set(by_value) - {found.value for found in classes}):
        raise Invalid(
            f"The labels have values without a class: {', '.join(map(str, unknown))}.",
            hint=f"There are {', '.join(f'{c.value} ({c.name})' for c in classes)}. Say all classes with --classes.",
        )
    return {found.name: by_value[found.value] for found in classes}
