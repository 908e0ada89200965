"""The sample: a synthetic tomogram in this home, registered with its ground truth and scribbles on three slices."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlex_jupyter.catalog import Catalog
from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.labels import Labels
from mlex_jupyter.types import NAME, ClassInfo, Dataset


async def add_sample(
    catalog: Catalog, labels: Labels, *, name: str, size: int, slices: int, seed: int, texture: str
) -> Dataset:
    """Make and register the sample of that name; what is there already is kept."""
    if not NAME.fullmatch(name):
        raise Invalid(f"{name[:80]!r} is no name for a dataset.", hint="Use letters, digits, '.', '_' and '-'.")
    folder = catalog.settings.home / "data" / f"{name}.{texture}-{seed}-{slices}x{size}"
    try:
        known = await catalog.get(name)
    except NotFound:
        known = None
    if known is not None and known.uri != str(folder / "volume.zarr"):
        hint = "Choose another name: mlex sample --name …"
        raise Conflict(f"{name} is there already, with another size, seed or texture.", hint=hint)
    classes = await asyncio.to_thread(make, folder, size, slices, seed, texture)
    volume = str(folder / "volume.zarr")
    data = await catalog.register(volume, name=name, axes="zyx", tags=("sample",))
    truth = str(folder / "truth.zarr")
    await catalog.register(
        truth, name=f"{name}-truth", axes="zyx", tags=("sample", "truth"), classes=classes, derived_from=(data.id,)
    )
    if not await labels.list(data.id):
        await labels.import_file(data.id, str(folder / "scribbles.zarr"), "scribbles", classes)
    return data


def make(folder: Path, size: int, slices: int, seed: int, texture: str) -> tuple[ClassInfo, ...]:
    """Write the arrays, unless they are there; and say what the values mean."""
    from mlex_jupyter.data.sample import classes_of, make_sample, write_sample

    if not folder.exists():
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        write_sample(folder, make_sample(size=size, slices=slices, seed=seed, texture=texture))
    return classes_of(texture)
