"""Making: empty label sets, and labels that a file brings.

A version that comes from elsewhere is written beside its place; what was painted up to then is saved before it is put
on top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, select

from mlex_jupyter.data.painted import create
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.errors import Conflict, Invalid
from mlex_jupyter.files import sync_tree
from mlex_jupyter.labels import drafts
from mlex_jupyter.labels.classes import PALETTE, check_classes
from mlex_jupyter.labels.drafts import Balance
from mlex_jupyter.labels.known import named, newest, shape_of
from mlex_jupyter.labels.versions import Versions, Written
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import label_drafts
from mlex_jupyter.types import ClassInfo, Dataset, LabelSet, new_id


class Making:
    """What puts new label sets, or new versions from elsewhere, into one home."""

    def __init__(self, store: Store, user: str, reading: Reading, versions: Versions) -> None:
        self.store = store
        self.user = user
        self.reading = reading
        self.versions = versions

    def create(self, dataset: Dataset, name: str, classes: tuple[ClassInfo, ...]) -> LabelSet:
        """An empty label set with its classes."""
        with self.versions.incoming() as beside:
            create(beside, shape_of(dataset))
            sync_tree(beside)

            def commit(tx: Connection) -> LabelSet:
                if any(found.name == name for found in newest(tx, dataset.id)):
                    raise Conflict(
                        f"{dataset.name} has labels {name!r} already.",
                        hint="Paint those, or choose another name for new ones.",
                    )
                return self._add(tx, dataset, name, classes, {}, beside, "new")

            return self.store.write_now(commit)

    def take(self, dataset: Dataset, path: str, name: str, classes: Sequence[ClassInfo]) -> LabelSet:
        """The labels in a file as a new version."""
        with self.versions.incoming() as beside:
            painted, said = self._copy(dataset, path, beside)
            classes = tuple(classes) or said
            check_classes(classes)
            balance: dict[int, dict[int, int]] = {}
            for (z, value), count in painted.items():
                balance.setdefault(z, {})[value] = count
            while True:
                before = self.store.read_now(lambda tx: named(tx, dataset.id, name))
                if before and self.store.read_now(lambda tx: _unsaved(tx, before.id, lock=False)):
                    self.versions.save(before.id, self.user, "before other labels were imported")
                made = self.store.write_now(lambda tx: self._commit_import(tx, dataset, name, classes, balance, beside))
                if made is not None:
                    return made

    def _copy(
        self, dataset: Dataset, path: str, beside: Path
    ) -> tuple[Counter[tuple[int, int]], tuple[ClassInfo, ...]]:
        """Copy the labels of a file, durably, and count them."""
        painted, classes = self.reading.take_labels(dataset, path, beside)
        if not painted:
            message = f"{path} holds nothing but zeros, and 0 is unlabelled."
            raise Invalid(message, hint="Paint some classes, from 1 on.")
        sync_tree(beside)
        return painted, classes

    def _commit_import(
        self,
        tx: Connection,
        dataset: Dataset,
        name: str,
        classes: Sequence[ClassInfo],
        balance: Balance,
        beside: Path,
    ) -> LabelSet | None:
        """None where somebody has painted since the draft was saved."""
        before = named(tx, dataset.id, name)
        if before is not None and _unsaved(tx, before.id, lock=True):
            return None
        all_classes = tuple(classes) or _classes(balance, before)
        return self._add(tx, dataset, name, all_classes, balance, beside, "import")

    def _add(
        self,
        tx: Connection,
        dataset: Dataset,
        name: str,
        classes: tuple[ClassInfo, ...],
        balance: Balance,
        beside: Path,
        kind: str,
    ) -> LabelSet:
        """A version that comes from elsewhere, and the draft put on it."""
        before = named(tx, dataset.id, name)
        draft = drafts.Working(
            labels=before.id if before else new_id("labels"),
            dataset=dataset.id,
            name=name,
            shape=shape_of(dataset),
            classes=classes,
            base=before.version if before else 0,
            number=0,
            changed=0,
            saved=0,
            floor=0,
            time=None,
        )
        labelled = self.versions.add(tx, Written(beside, draft, classes, balance, self.user, ""))
        drafts.put_on(tx, labelled, draft.shape, balance, kind)
        return labelled


def _unsaved(tx: Connection, labels_id: str, *, lock: bool) -> bool:
    query = select(label_drafts.c.changed > label_drafts.c.saved).where(label_drafts.c.labels == labels_id)
    return bool(tx.execute(query.with_for_update() if lock else query).scalar())


def _classes(balance: Balance, before: LabelSet | None) -> tuple[ClassInfo, ...]:
    """The classes of the version before, or one for each value."""
    if before:
        return before.classes
    values = sorted({value for counts in balance.values() for value in counts})
    return tuple(ClassInfo(value=v, name=f"class {v}", color=PALETTE[(v - 1) % len(PALETTE)]) for v in values)
