"""Datasets: register, look up, and the sample."""

from __future__ import annotations

from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import Dataset
from mlex_jupyter.verbs import verb


class DataVerbs(Parts):
    """What can be done with datasets."""

    @verb("POST", "/sample", status=201)
    async def sample(
        self, *, name: str = "sand-tomo", size: int = 256, slices: int = 64, seed: int = 7, texture: str = "sand"
    ) -> Dataset:
        """Make a synthetic tomogram with ground truth, and scribbles on 3 slices."""
        from mlex_jupyter.samples import add_sample

        return await add_sample(
            self.catalog, self.label_sets, name=name, size=size, slices=slices, seed=seed, texture=texture
        )

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
    ) -> Dataset:
        """Register a volume (zarr, NumPy or TIFF) under a name, where it lies."""
        return await self.catalog.register(
            path, name=name, axes=axes, pixel_size=pixel_size, pixel_unit=pixel_unit, tags=tags
        )

    @verb("GET", "/datasets")
    async def data(self, query: str = "*") -> list[Dataset]:
        """List the datasets whose name or tag matches."""
        return await self.catalog.search(query)

    @verb("GET", "/datasets/{name}")
    async def dataset(self, name: str) -> Dataset:
        """Show one dataset."""
        return await self.catalog.get(name)
