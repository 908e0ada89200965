"""Label sets: what is painted over a dataset."""

from __future__ import annotations

import asyncio

from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import (
    ClassInfo,
    Draft,
    Exported,
    LabelComparison,
    LabelSet,
    LabelSlice,
    Painted,
    SliceBalance,
    Stroke,
    StrokeInfo,
)
from mlex_jupyter.verbs import verb


class LabelVerbs(Parts):
    """What can be done with label sets."""

    @verb("GET", "/datasets/{data}/labels")
    async def labels(self, data: str) -> list[LabelSet]:
        """List the label sets of a dataset, newest version of each."""
        return await self.label_sets.list(data)

    @verb("POST", "/datasets/{data}/labels", status=201)
    async def import_labels(
        self, data: str, path: str, *, name: str = "labels", classes: tuple[ClassInfo, ...] = ()
    ) -> LabelSet:
        """Take labels from a file (0 is unlabelled) as a new version of a label set."""
        labelled = await self.label_sets.import_file(data, path, name, classes)
        await self.tell_rules()
        return labelled

    @verb("POST", "/datasets/{data}/labels/new", status=201)
    async def create_labels(
        self,
        data: str,
        name: str = "labels",
        *,
        class_names: tuple[str, ...] = (),
        classes: tuple[ClassInfo, ...] = (),
    ) -> LabelSet:
        """Make an empty label set with its classes, ready to be painted."""
        from mlex_jupyter.labels.classes import named_classes

        return await self.label_sets.create(data, name, named_classes(class_names, classes))

    @verb("POST", "/datasets/{data}/labels/{labels}/classes")
    async def set_classes(
        self,
        data: str,
        labels: str,
        *,
        class_names: tuple[str, ...] = (),
        classes: tuple[ClassInfo, ...] = (),
        mapping: dict[str, str] = {},
    ) -> Draft:
        """Rename, recolour, add or remove classes: say all that there are to be."""
        from mlex_jupyter.labels.classes import named_classes

        draft = await self.label_sets.working(data, labels)
        await self.label_sets.set_classes(draft, named_classes(class_names, classes), mapping)
        return await self.draft(data, labels)

    # ------------------------------------------------------------ painting

    @verb("GET", "/datasets/{data}/labels/{labels}/draft")
    async def draft(self, data: str, labels: str, *, window: str | None = None) -> Draft:
        """Show how the draft of a label set stands: classes, what is unsaved, what can be undone."""
        return await self.label_sets.draft(data, labels, window)

    @verb("POST", "/datasets/{data}/labels/{labels}/strokes", status=201, body="stroke", shell=False)
    async def paint(self, data: str, labels: str, stroke: Stroke) -> Painted:
        """Paint a stroke; when this returns, it is not lost any more. Over a newer tile it is a conflict, and kept."""
        draft = await self.label_sets.working(data, labels)
        return await self.label_sets.strokes.paint(draft, stroke, self.settings.user)

    @verb("POST", "/datasets/{data}/labels/{labels}/strokes/{stroke}/again", status=201)
    async def paint_again(self, data: str, labels: str, stroke: int) -> Painted:
        """Paint a stroke that was refused over what is there now."""
        draft = await self.label_sets.working(data, labels)
        return await self.label_sets.strokes.again(draft, stroke, self.settings.user)

    @verb("POST", "/datasets/{data}/labels/{labels}/strokes/{stroke}/drop")
    async def drop_stroke(self, data: str, labels: str, stroke: int) -> Draft:
        """Forget a stroke that was refused."""
        draft = await self.label_sets.working(data, labels)
        await self.label_sets.strokes.drop(draft, stroke)
        return await self.draft(data, labels)

    @verb("POST", "/datasets/{data}/labels/{labels}/undo")
    async def undo(
        self, data: str, labels: str, *, partly: bool = False, window: str | None = None, key: str | None = None
    ) -> Painted:
        """Take your last stroke back; what somebody painted over since is left alone."""
        sets, draft = self.label_sets, await self.label_sets.working(data, labels)
        return await sets.strokes.undo(draft, sets.hand(window), key, partly=partly)

    @verb("POST", "/datasets/{data}/labels/{labels}/redo")
    async def redo(
        self, data: str, labels: str, *, partly: bool = False, window: str | None = None, key: str | None = None
    ) -> Painted:
        """Do the stroke again that you took back."""
        sets, draft = self.label_sets, await self.label_sets.working(data, labels)
        return await sets.strokes.redo(draft, sets.hand(window), key, partly=partly)

    # ------------------------------------------------------------ looking

    @verb("GET", "/datasets/{data}/labels/{labels}/slice", shell=False)
    async def label_slice(
        self, data: str, labels: str, *, axis: int = 0, index: int = 0, version: int | None = None
    ) -> LabelSlice:
        """Read the labels of a slice: those of the draft, or of a version."""
        from mlex_jupyter.labels import views

        sets, draft = self.label_sets, await self.label_sets.working(data, labels)
        bases = sets.versions.bases
        if version is None:
            return await asyncio.to_thread(views.draft_slice, self.store, bases, draft.labels, axis, index)
        await asyncio.to_thread(sets.versions.one, draft, version)
        return await asyncio.to_thread(views.version_slice, bases, draft, version, axis, index)

    @verb("GET", "/datasets/{data}/labels/{labels}/strokes")
    async def strokes(self, data: str, labels: str, *, refused: bool = False, limit: int = 50) -> list[StrokeInfo]:
        """List what happened to a draft, the newest first; with --refused, the strokes that wait for you."""
        from mlex_jupyter.labels import views

        draft = await self.label_sets.working(data, labels)
        return await self.store.read(lambda tx: views.history(tx, draft, limit, refused))

    @verb("GET", "/datasets/{data}/labels/{labels}/balance")
    async def label_balance(self, data: str, labels: str, *, version: int | None = None) -> list[SliceBalance]:
        """Count the labelled pixels of each slice, by class; in the draft, or in a version."""
        from mlex_jupyter.labels import drafts, views

        sets, draft = self.label_sets, await self.label_sets.working(data, labels)
        if version is None:
            now = await self.store.read(lambda tx: drafts.counts_of(tx, draft.labels))
            return views.balance_of(now, draft.classes, draft.shape)
        labelled = await asyncio.to_thread(sets.versions.one, draft, version)
        then = await asyncio.to_thread(sets.versions.balance, labelled)
        return views.balance_of(then, labelled.classes, draft.shape)

    # ------------------------------------------------------------ versions

    @verb("POST", "/datasets/{data}/labels/{labels}/versions", status=201)
    async def save_labels(self, data: str, labels: str, *, note: str = "") -> LabelSet:
        """Keep the draft as a version that never changes; a training does so by itself."""
        labelled = await self.label_sets.save(await self.label_sets.working(data, labels), note)
        await self.tell_rules()
        return labelled

    @verb("GET", "/datasets/{data}/labels/{labels}/versions")
    async def label_versions(self, data: str, labels: str) -> list[LabelSet]:
        """List the versions of a label set, the newest first."""
        draft = await self.label_sets.working(data, labels)
        return await asyncio.to_thread(self.label_sets.versions.all, draft.labels)

    @verb("POST", "/datasets/{data}/labels/{labels}/versions/{version}/restore", status=201)
    async def restore_labels(self, data: str, labels: str, version: int, *, note: str = "") -> LabelSet:
        """Put an old version on top, as the newest; what was painted since is kept as a version too."""
        sets, draft = self.label_sets, await self.label_sets.working(data, labels)
        work = asyncio.to_thread(sets.versions.restore, draft.labels, version, self.settings.user, note)
        return await asyncio.shield(work)

    @verb("GET", "/datasets/{data}/labels/{labels}/compare")
    async def compare_labels(self, data: str, labels: str, version: int, other: int | None = None) -> LabelComparison:
        """Say what differs between a version of a label set and another, by class and slice."""
        return await self.label_sets.compare(data, labels, version, other)

    # ------------------------------------------------------------ other programs

    @verb("POST", "/datasets/{data}/labels/{labels}/export", status=201)
    async def export_labels(
        self,
        data: str,
        labels: str,
        path: str,
        *,
        format: str | None = None,
        version: int | None = None,
        overwrite: bool = False,
    ) -> Exported:
        """Write labels to a file on the server's machine: zarr, TIFF for ImageJ, or COCO."""
        self.check_place(path)
        return await self.label_sets.export(data, labels, path, format, version, overwrite=overwrite)
