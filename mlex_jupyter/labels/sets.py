"""The label sets of one home: names and classes over a dataset, and where their drafts and versions are.

What was painted is in the draft; what a training uses, or a file brought, is a version. Whatever puts another version
on top saves the draft first, so that no stroke is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue
from sqlalchemy import Connection, func, select

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.errors import Conflict, Invalid, NotFound, nearest
from mlex_jupyter.files import sync_tree
from mlex_jupyter.labels.classes import PALETTE, check_classes, recoding, replace
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.tables import label_drafts, labels
from mlex_jupyter.types import NAME, ClassInfo, Dataset, Draft, Exported, LabelComparison, LabelSet, new_id

if TYPE_CHECKING:
    from mlex_jupyter.labels.drafts import Balance, Working
    from mlex_jupyter.labels.strokes import Strokes
    from mlex_jupyter.labels.versions import Versions

TELL_EVERY_S = 1.0


class Labels:
    """The label sets of one home."""

    def __init__(self, store: Store, settings: Settings, catalog: Catalog) -> None:
        self.store = store
        self.catalog = catalog
        self.user = settings.user
        self.reading = Reading(settings)
        self.folder = settings.home / "labels"
        self._parts: tuple[Strokes, Versions] | None = None

    def _made(self) -> tuple[Strokes, Versions]:
        """What paints and writes; made when it is first needed, since it needs NumPy."""
        if self._parts is None:
            from mlex_jupyter.labels.bases import Bases
            from mlex_jupyter.labels.strokes import Strokes
            from mlex_jupyter.labels.versions import Versions

            bases = Bases(self.folder)
            self._parts = Strokes(self.store, bases), Versions(self.store, bases)
        return self._parts

    @property
    def strokes(self) -> Strokes:
        """Where strokes go."""
        return self._made()[0]

    @property
    def versions(self) -> Versions:
        """What never changes."""
        return self._made()[1]

    # ------------------------------------------------------------ looking

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

    async def working(self, data: str, name: str) -> Working:
        """The draft of a label set; begun where nobody has painted yet."""
        from mlex_jupyter.labels import drafts

        def known(tx: Connection) -> Working | None:
            return drafts.named(tx, self.catalog.find(tx, data).id, name)

        if (draft := await self.store.read(known)) is not None:
            return draft
        labelled = await self.get(data, name)
        shape = shape_of(await self.catalog.get(data))
        balance = await asyncio.to_thread(self.versions.balance, labelled)

        def begin(tx: Connection) -> Working:
            found = drafts.find(tx, labelled.id, lock=True)
            return found or drafts.put_on(tx, labelled, shape, balance, "import")

        return await self.store.write(begin)

    async def draft(self, data: str, name: str) -> Draft:
        """How a draft stands."""
        from mlex_jupyter.labels import views

        draft = await self.working(data, name)
        return await self.store.read(lambda tx: views.overview(tx, draft, self.user))

    async def settled(self, data: str, name: str) -> LabelSet:
        """The newest version, with all that was painted: what is not saved yet is saved first."""
        labelled = await self.get(data, name)
        draft = await self.working(data, name)
        return await self.save(draft, "saved for a training") if draft.unsaved else labelled

    async def save(self, draft: Working, note: str) -> LabelSet:
        """Keep the draft as a version."""
        # Shielded: a caller that goes away in the middle must not have half a folder swept from under the commit.
        return await asyncio.shield(asyncio.to_thread(self.versions.save, draft.labels, self.user, note))

    async def compare(self, data: str, name: str, version: int, other: int | None) -> LabelComparison:
        """What differs between two versions."""
        from mlex_jupyter.labels.comparing import compare

        before, after, shape = await self._two(data, name, version, other)
        return await asyncio.to_thread(compare, before, after, shape)

    async def difference(self, data: str, name: str, version: int, other: int | None, z: int, size: int) -> bytes:
        """What differs in a slice, as a picture."""
        from mlex_jupyter.labels.comparing import difference_png

        before, after, shape = await self._two(data, name, version, other)
        return await asyncio.to_thread(difference_png, before, after, shape, z, size)

    async def _two(
        self, data: str, name: str, version: int, other: int | None
    ) -> tuple[LabelSet, LabelSet, tuple[int, int, int]]:
        draft = await self.working(data, name)
        before = await asyncio.to_thread(self.versions.one, draft, version)
        return before, await asyncio.to_thread(self.versions.one, draft, other), draft.shape

    async def export(
        self, data: str, name: str, path: str, how: str | None, version: int | None, *, overwrite: bool
    ) -> Exported:
        """Write a version to a file of its own; left out, the newest, with all that was painted."""
        from mlex_jupyter.labels.exports import export

        dataset = await self.catalog.get(data)
        draft = await self.working(data, name)
        if version is None and draft.unsaved:
            labelled = await self.save(draft, "saved for an export")
        else:
            labelled = await asyncio.to_thread(self.versions.one, draft, version)
        tell = self._teller(labelled, path)
        return await asyncio.to_thread(
            export, labelled, dataset, draft.shape, path, how, overwrite=overwrite, tell=tell
        )

    def _teller(self, labelled: LabelSet, path: str) -> Callable[[int, int], None]:
        """Lets everybody who watches know how far an export is, now and then."""
        from mlex_jupyter.events import append

        said = time.monotonic()

        def tell(done: int, of: int) -> None:
            nonlocal said
            if time.monotonic() - said > TELL_EVERY_S:
                said = time.monotonic()
                told: dict[str, JsonValue] = {"path": path, "version": labelled.version, "done": done, "of": of}
                self.store.write_now(lambda tx: append(tx, labelled.id, "exporting", told))

        return tell

    # ------------------------------------------------------------ making

    async def create(self, data: str, name: str, classes: Sequence[ClassInfo]) -> LabelSet:
        """An empty label set with its classes, ready to be painted."""
        _check_name(name)
        check_classes(classes)
        dataset = await self.catalog.get(data)
        return await asyncio.shield(asyncio.to_thread(self._create_now, dataset, name, tuple(classes)))

    def _create_now(self, dataset: Dataset, name: str, classes: tuple[ClassInfo, ...]) -> LabelSet:
        from mlex_jupyter.data.painted import create

        with self.versions.incoming() as beside:
            create(beside, shape_of(dataset))
            sync_tree(beside)

            def commit(tx: Connection) -> LabelSet:
                if any(found.name == name for found in _newest(tx, dataset.id)):
                    raise Conflict(
                        f"{dataset.name} has labels {name!r} already.",
                        hint="Paint those, or choose another name for new ones.",
                    )
                return self._add(tx, dataset, name, classes, {}, beside, "new")

            return self.store.write_now(commit)

    async def import_file(self, data: str, path: str, name: str, classes: Sequence[ClassInfo] = ()) -> LabelSet:
        """Take the labels in a file as a new version.

        Without classes those that the file names hold, else those of the version before; without one, every value is
        a class of its own.
        """
        _check_name(name)
        check_classes(classes)
        dataset = await self.catalog.get(data)
        return await asyncio.shield(asyncio.to_thread(self._import_now, dataset, path, name, classes))

    def _import_now(self, dataset: Dataset, path: str, name: str, classes: Sequence[ClassInfo]) -> LabelSet:
        with self.versions.incoming() as beside:
            painted, said = self._take(dataset, path, beside)
            classes = tuple(classes) or said
            check_classes(classes)
            balance: dict[int, dict[int, int]] = {}
            for (z, value), count in painted.items():
                balance.setdefault(z, {})[value] = count
            while True:
                before = self.store.read_now(lambda tx: _named(tx, dataset.id, name))
                if before and self.store.read_now(lambda tx: _unsaved(tx, before.id, lock=False)):
                    self.versions.save(before.id, self.user, "before other labels were imported")
                made = self.store.write_now(lambda tx: self._commit_import(tx, dataset, name, classes, balance, beside))
                if made is not None:
                    return made

    def _take(
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
        before = _named(tx, dataset.id, name)
        if before is not None and _unsaved(tx, before.id, lock=True):
            return None
        named = tuple(classes) or _classes(balance, before)
        return self._add(tx, dataset, name, named, balance, beside, "import")

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
        from mlex_jupyter.labels import drafts
        from mlex_jupyter.labels.versions import Written

        before = _named(tx, dataset.id, name)
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

    # ------------------------------------------------------------ classes

    async def set_classes(self, draft: Working, classes: Sequence[ClassInfo], mapping: Mapping[str, str]) -> None:
        """Replace the classes: others, renamed, recoloured. One that is in use goes only where its pixels go on."""
        check_classes(classes)
        table = recoding(draft.classes, classes, mapping)
        if not table:
            await self.store.write(lambda tx: replace(tx, draft.labels, classes, self.user))
            return
        said = ", ".join(f"{name} became {other}" for name, other in mapping.items())
        work = self.versions.recode
        await asyncio.shield(asyncio.to_thread(work, draft.labels, table, classes, self.user, said))


def shape_of(dataset: Dataset) -> tuple[int, int, int]:
    """A dataset's z, y and x."""
    lengths = dict(zip(dataset.axes, dataset.shape, strict=True))
    return lengths.get("z", 1), lengths["y"], lengths["x"]


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Invalid(
            f"Labels cannot be called {name[:100]!r}.",
            hint="Use letters, digits, '.', '_' and '-', at most 100, beginning with a letter or digit.",
        )


def _unsaved(tx: Connection, labels_id: str, *, lock: bool) -> bool:
    query = select(label_drafts.c.changed > label_drafts.c.saved).where(label_drafts.c.labels == labels_id)
    return bool(tx.execute(query.with_for_update() if lock else query).scalar())


def _named(tx: Connection, dataset_id: str, name: str) -> LabelSet | None:
    return next((found for found in _newest(tx, dataset_id) if found.name == name), None)


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


def _classes(balance: Balance, before: LabelSet | None) -> tuple[ClassInfo, ...]:
    """The classes of the version before, or one for each value."""
    if before:
        return before.classes
    values = sorted({value for counts in balance.values() for value in counts})
    return tuple(ClassInfo(value=v, name=f"class {v}", color=PALETTE[(v - 1) % len(PALETTE)]) for v in values)
