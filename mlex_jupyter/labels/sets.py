"""The label sets of one home: names and classes over a dataset, and where their drafts and versions are.

What was painted is in the draft; what a training uses, or a file brought, is a version. Whatever puts another version
on top saves the draft first, so that no stroke is lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select, update

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.errors import Conflict, Invalid, NotFound, nearest
from mlex_jupyter.files import sync_tree
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.tables import label_drafts, labels
from mlex_jupyter.types import NAME, ClassInfo, Dataset, Draft, LabelSet, new_id

if TYPE_CHECKING:
    from mlex_jupyter.labels.drafts import Balance, Working
    from mlex_jupyter.labels.strokes import Strokes
    from mlex_jupyter.labels.versions import Versions

PALETTE = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#f0e442")
"""Okabe and Ito's colours, which people who see few colours tell apart; the panel has the same."""
MOST_CLASSES = 255
LONGEST_NAME = 100


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

        Without classes those of the version before hold; without one, every value is a class of its own.
        """
        _check_name(name)
        check_classes(classes)
        dataset = await self.catalog.get(data)
        return await asyncio.shield(asyncio.to_thread(self._import_now, dataset, path, name, classes))

    def _import_now(self, dataset: Dataset, path: str, name: str, classes: Sequence[ClassInfo]) -> LabelSet:
        with self.versions.incoming() as beside:
            painted = self._take(dataset, path, beside)
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

    def _take(self, dataset: Dataset, path: str, beside: Path) -> Counter[tuple[int, int]]:
        """Copy the labels of a file, durably, and count them."""
        painted = self.reading.take_labels(dataset, path, beside)
        if not painted:
            message = f"{path} holds nothing but zeros, and 0 is unlabelled."
            raise Invalid(message, hint="Paint some classes, from 1 on.")
        sync_tree(beside)
        return painted

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
        table = _table(draft.classes, classes, mapping)
        if not table:
            await self.store.write(lambda tx: self._set_classes(tx, draft.labels, classes))
            return
        said = ", ".join(f"{name} became {other}" for name, other in mapping.items())
        work = self.versions.recode
        await asyncio.shield(asyncio.to_thread(work, draft.labels, table, classes, self.user, said))

    def _set_classes(self, tx: Connection, labels_id: str, classes: Sequence[ClassInfo]) -> None:
        from mlex_jupyter.events import append
        from mlex_jupyter.labels import drafts, ledger

        draft = drafts.find(tx, labels_id, lock=True)
        assert draft is not None
        if tuple(classes) == draft.classes:
            return
        kept = {found.value for found in classes}
        used: Counter[int] = Counter()
        for counts in drafts.counts_of(tx, labels_id).values():
            used.update(counts)
        for found in draft.classes:
            if found.value not in kept and used[found.value]:
                raise Conflict(
                    f"{used[found.value]} pixels of {draft.name} are {found.name}, so that class cannot go.",
                    hint=f"Say what becomes of them: --mapping '{found.name}=another class', or =0 to unlabel them.",
                )
        number = draft.number + 1
        values = {"classes": [found.model_dump() for found in classes], "number": number, "changed": number}
        tx.execute(update(label_drafts).where(label_drafts.c.labels == labels_id).values(**values))
        ledger.add_history(tx, labels_id, number, kind="classes", state="settled", author=self.user, tiles=[])
        append(tx, labels_id, "painted", {"number": number, "change": "classes", "author": self.user, "slices": []})


def shape_of(dataset: Dataset) -> tuple[int, int, int]:
    """A dataset's z, y and x."""
    lengths = dict(zip(dataset.axes, dataset.shape, strict=True))
    return lengths.get("z", 1), lengths["y"], lengths["x"]


def named_classes(names: Sequence[str], classes: Sequence[ClassInfo]) -> tuple[ClassInfo, ...]:
    """Classes as they are given, and one more for each name, with the next free value and colour."""
    found = [*classes]
    for name in names:
        taken = {one.value for one in found}
        value = next((value for value in range(1, MOST_CLASSES + 1) if value not in taken), None)
        if value is None:
            raise Invalid(f"There are at most {MOST_CLASSES} classes.")
        found.append(ClassInfo(value=value, name=name, color=PALETTE[(value - 1) % len(PALETTE)]))
    return tuple(found)


def check_classes(classes: Sequence[ClassInfo]) -> None:
    """Invalid where two could not be told apart, or a name is none."""
    for what, found in (("value", [c.value for c in classes]), ("name", [c.name for c in classes])):
        if len(set(found)) < len(found):
            raise Invalid(f"Two classes have the same {what}.", hint=f"Give each class a {what} of its own.")
    for one in classes:
        if not one.name.strip() or len(one.name) > LONGEST_NAME or not one.name.isprintable():
            raise Invalid(
                f"A class cannot be called {one.name[:LONGEST_NAME]!r}.",
                hint=f"Use up to {LONGEST_NAME} printable characters.",
            )


def _table(before: Sequence[ClassInfo], after: Sequence[ClassInfo], mapping: Mapping[str, str]) -> dict[int, int]:
    """Which value becomes which other, of the classes that go."""
    values, others = {found.name: found.value for found in before}, {found.name: found.value for found in after}
    kept = {found.value for found in after}
    table = {}
    for name, other in mapping.items():
        if name not in values:
            raise Invalid(f"There is no class {name[:LONGEST_NAME]!r}.", hint=nearest(name, values))
        if values[name] in kept:
            raise Invalid(f"{name} stays, so nothing can become of it.", hint="Leave it out of the mapping.")
        if other != "0" and other not in others:
            there_are = f"There will be {', '.join(others)}; 0 unlabels."
            raise Invalid(f"There will be no class {other[:LONGEST_NAME]!r}.", hint=there_are)
        table[values[name]] = others.get(other, 0)
    return table


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
