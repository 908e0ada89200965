"""Datasets: register, look up, and the sample."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from mlex_jupyter.catalog.index import Wanted
from mlex_jupyter.errors import NotFound
from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import (
    DataOrder,
    Dataset,
    Display,
    Facets,
    Job,
    JobSpec,
    Lineage,
    Quality,
    RunTask,
    Verification,
    now,
)
from mlex_jupyter.verbs import verb

LARGE_BYTES = 2_000_000_000
"""What takes longer to read than people wait for an answer."""


class DataVerbs(Parts):
    """What can be done with datasets."""

    @verb("POST", "/sample", status=201)
    async def sample(
        self, *, name: str = "sand-tomo", size: int = 256, slices: int = 64, seed: int = 7, texture: str = "sand"
    ) -> Dataset:
        """Make a synthetic tomogram with ground truth, and scribbles on 3 slices."""
        from mlex_jupyter.samples import add_sample

        made = await add_sample(
            self.catalog, self.label_sets, name=name, size=size, slices=slices, seed=seed, texture=texture
        )
        await self.tell_rules()
        return made

    @verb("POST", "/datasets", status=201)
    async def register(
        self,
        path: str,
        *,
        name: str | None = None,
        axes: str | None = None,
        pixel_size: float | None = None,
        pixel_unit: str | None = None,
        tags: tuple[str, ...] = (),
        description: str = "",
        meta: dict[str, str] = {},
    ) -> Dataset:
        """Register a volume (zarr, HDF5, TIFF, NumPy; a path or a URL) under a name, where it lies."""
        about: dict[str, Any] = {"tags": tags, "description": description, "meta": meta}
        data = await self.catalog.register(
            path, name=name, axes=axes, pixel_size=pixel_size, pixel_unit=pixel_unit, **about
        )
        await self.tell_rules()
        return data

    @verb("GET", "/datasets")
    async def data(
        self,
        query: str = "*",
        *,
        tags: tuple[str, ...] = (),
        where: tuple[str, ...] = (),
        reader: str | None = None,
        dtype: str | None = None,
        axes: str | None = None,
        owner: str | None = None,
        made_from: str | None = None,
        order: DataOrder = DataOrder.NEWEST,
        limit: int = 1000,
        past: str | None = None,
    ) -> list[Dataset]:
        """List the datasets that match: words of name, tags, file, description and notes, and filters."""
        wanted = Wanted(query, tags, where, reader, dtype, axes, owner, made_from)
        return await self.catalog.search(wanted, order, past, limit)

    @verb("GET", "/facets")
    async def facets(
        self,
        query: str = "*",
        *,
        tags: tuple[str, ...] = (),
        where: tuple[str, ...] = (),
        reader: str | None = None,
        dtype: str | None = None,
        axes: str | None = None,
        owner: str | None = None,
        made_from: str | None = None,
    ) -> Facets:
        """Count the datasets that match, by tag, reader, type, axes, owner and notes."""
        return await self.catalog.facets(Wanted(query, tags, where, reader, dtype, axes, owner, made_from))

    @verb("GET", "/datasets/{name}")
    async def dataset(self, name: str) -> Dataset:
        """Show one dataset."""
        return await self.catalog.get(name)

    @verb("POST", "/datasets/{data}/edit")
    async def edit_data(
        self,
        data: str,
        *,
        rename: str | None = None,
        description: str | None = None,
        add_tags: tuple[str, ...] = (),
        remove_tags: tuple[str, ...] = (),
        meta: dict[str, str] = {},
        remove_meta: tuple[str, ...] = (),
        pixel_size: float | None = None,
        pixel_unit: str | None = None,
    ) -> Dataset:
        """Correct what is said of a dataset: its name, tags, notes, description or pixel size."""
        return await self.catalog.edit(
            data,
            name=rename,
            description=description,
            add_tags=add_tags,
            remove_tags=remove_tags,
            meta=meta,
            remove_meta=remove_meta,
            pixel_size=pixel_size,
            pixel_unit=pixel_unit,
        )

    @verb("POST", "/datasets/{data}/forget")
    async def forget(self, data: str) -> Dataset:
        """List a dataset no more; its file stays where it lies, and registering it again brings everything back."""
        forgotten = await self.catalog.forget(data)
        await asyncio.to_thread(self.displays.drop, forgotten)
        return forgotten

    @verb("GET", "/datasets/{data}/quality")
    async def quality(self, data: str, *, labels: str | None = None, whole: bool = False) -> Quality:
        """Say what a dataset's values, or the labels painted over it, are like, and what to mind in training."""
        dataset = await self.catalog.get(data)
        if labels is not None:
            return await self.inspections.of_labels(dataset, await self.label_sets.get(data, labels))
        return await self.inspections.of_dataset(dataset, whole=whole)

    @verb("GET", "/datasets/{data}/display", shell=False)
    async def display(self, data: str) -> Display:
        """Say how quick a volume is to look at along all axes."""
        return await self.displays.state(await self.catalog.get(data))

    @verb("POST", "/datasets/{data}/prepare")
    async def prepare(self, data: str) -> Display:
        """Make a volume quick to look at along all axes; done by itself once somebody looks."""
        return await self.displays.finished(await self.catalog.get(data))

    @verb("POST", "/datasets/{data}/verify")
    async def verify(self, data: str, *, accept: bool = False, here: bool = False) -> Verification:
        """Compare a dataset's files with their checksum, noted the first time; a large one is read by a job."""
        dataset = await self.catalog.get(data)
        nbytes = await self.checksums.size(dataset)
        if here or nbytes <= LARGE_BYTES:
            return await self.checksums.verify(dataset, accept=accept)
        job = await self._verifying(dataset, accept)
        then = f"`mlex verification {dataset.name}` says what came of it."
        says = f"{nbytes / 1e9:.1f} GB are being read by the job {job.name}; when it is done, {then}"
        about = {"dataset": dataset.id, "name": dataset.name, "nbytes": nbytes, "says": says, "time": now()}
        return Verification(state="running", job=job.id, **about)

    async def _verifying(self, dataset: Dataset, accept: bool) -> Job:
        """The job that reads this dataset: the one that does so already, or a new one."""
        name = f"verify-{dataset.name}"[:100]
        try:
            before = await self.job_list.get(name)
        except NotFound:
            before = None
        if before is not None and not before.state.final:
            return before
        argv = (sys.executable, "-P", "-m", "mlex_jupyter.cli", "verify", dataset.id, "--here")
        task = RunTask(argv=(*argv, "--accept") if accept else argv, folder=str(self.settings.home))
        job = await self.job_list.submit(JobSpec(name=name, task=task), self.settings.user)
        self.keep_moving()
        return job

    @verb("GET", "/datasets/{data}/verification")
    async def verification(self, data: str) -> Verification:
        """Show what the last comparison of a dataset with its checksum found."""
        return await self.checksums.last(await self.catalog.get(data))

    @verb("GET", "/lineage/{thing}")
    async def lineage(self, thing: str, *, limit: int = 200) -> Lineage:
        """Show what a dataset, label set, model or run was made from, and what was made from it."""
        return await self.ancestry.of(thing, limit)
