"""The label sets of one home: names and classes over a dataset, and where their drafts and versions are.

What was painted is in the draft; what a training uses, or a file brought, is a version. Whatever puts another version
on top saves the draft first, so that no stroke is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue
from sqlalchemy import Connection

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.data.reading import Reading
from mlex_jupyter.errors import Invalid, NotFound, nearest
from mlex_jupyter.labels.classes import check_classes, recoding, replace
from mlex_jupyter.labels.hands import Hand
from mlex_jupyter.labels.known import newest, shape_of
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.types import NAME, ClassInfo, Draft, Exported, LabelComparison, LabelSet

if TYPE_CHECKING:
    from mlex_jupyter.labels.drafts import Working
    from mlex_jupyter.labels.making import Making
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
        self._parts: tuple[Strokes, Versions, Making] | None = None

    def _made(self) -> tuple[Strokes, Versions, Making]:
        """What paints and writes; made when it is first needed, since it needs NumPy."""
        if self._parts is None:
            from mlex_jupyter.labels.bases import Bases
            from mlex_jupyter.labels.making import Making
            from mlex_jupyter.labels.strokes import Strokes
            from mlex_jupyter.labels.versions import Versions

            bases = Bases(self.folder)
            versions = Versions(self.store, bases)
            self._parts = Strokes(self.store, bases), versions, Making(self.store, self.user, self.reading, versions)
        return self._parts

    @property
    def strokes(self) -> Strokes:
        """Where strokes go."""
        return self._made()[0]

    @property
    def versions(self) -> Versions:
        """What never changes."""
        return self._made()[1]

    @property
    def making(self) -> Making:
        """Where new label sets come from."""
        return self._made()[2]

    # ------------------------------------------------------------ looking

    async def list(self, data: str) -> list[LabelSet]:
        """The newest version of each label set of a dataset; the one changed last comes first."""

        def find(tx: Connection) -> list[LabelSet]:
            return newest(tx, self.catalog.find(tx, data).id)

        return await self.store.read(find)

    async def get(self, data: str, name: str) -> LabelSet:
        """The newest version of one label set."""

        def find(tx: Connection) -> LabelSet:
            dataset = self.catalog.find(tx, data)
            found = {labelled.name: labelled for labelled in newest(tx, dataset.id)}
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

    async def draft(self, data: str, name: str, window: str | None = None) -> Draft:
        """How a draft stands."""
        from mlex_jupyter.labels import views

        draft = await self.working(data, name)
        return await self.store.read(lambda tx: views.overview(tx, draft, self.hand(window)))

    def hand(self, window: str | None) -> Hand:
        """Who asks, in one of their windows."""
        return Hand(self.user, window)

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
        return await asyncio.shield(asyncio.to_thread(self.making.create, dataset, name, tuple(classes)))

    async def import_file(self, data: str, path: str, name: str, classes: Sequence[ClassInfo] = ()) -> LabelSet:
        """Take the labels in a file as a new version.

        Without classes those that the file names hold, else those of the version before; without one, every value is
        a class of its own.
        """
        _check_name(name)
        check_classes(classes)
        dataset = await self.catalog.get(data)
        return await asyncio.shield(asyncio.to_thread(self.making.take, dataset, path, name, classes))

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


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Invalid(
            f"Labels cannot be called {name[:100]!r}.",
            hint="Use letters, digits, '.', '_' and '-', at most 100, beginning with a letter or digit.",
        )
