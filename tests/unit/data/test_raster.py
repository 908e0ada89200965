"""Rasters: a slice as numbers for a screen, with what they mean."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlex_jupyter.data.raster import raster
from mlex_jupyter.data.readers import inspect_volume
from mlex_jupyter.data.shelf import Shelf
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import Dataset, new_id

Kept = Callable[[NDArray[Any]], Dataset]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    def keep(values: NDArray[Any]) -> Dataset:
        path = tmp_path / "volume.npy"
        np.save(path, values)
        about = inspect_volume(str(path)).model_dump()
        now = datetime.now(timezone.utc)
        return Dataset.model_validate({**about, "id": new_id("data"), "name": "volume", "created": now})

    return keep


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with contextlib.closing(Shelf()) as found:
        yield found


def meant(said: dict[str, Any], pixels: bytes) -> NDArray[np.float64]:
    """The values that the pixels stand for."""
    kind = {8: "u1", 16: "<u2"}[said["bits"]]
    codes = np.frombuffer(pixels, kind).reshape(said["height"], said["width"]).astype(float)
    return np.asarray(said["low"] + codes / (2 ** said["bits"] - 1) * (said["high"] - said["low"]))


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i2", "<i4", "<f4", ">f8", "?"])
def test_pixels_stand_for_the_values(dtype: str, kept: Kept, shelf: Shelf) -> None:
    values = (np.arange(3 * 5 * 7).reshape(3, 5, 7) - (40 if dtype[-2:-1] in ("i", "f") else 0)).astype(dtype)
    said, pixels = raster(kept(values), 0, 1, 64, None, shelf)
    assert meant(said, pixels) == pytest.approx(values[1].astype(float), abs=0.01)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_across_each_axis(axis: int, kept: Kept, shelf: Shelf) -> None:
    values = np.random.default_rng(0).integers(0, 255, (4, 6, 8), np.uint8)
    said, pixels = raster(kept(values), axis, 2, 64, None, shelf)
    assert (meant(said, pixels) == values.take(2, axis)).all()


def test_what_is_no_number_is_the_least(kept: Kept, shelf: Shelf) -> None:
    values = np.full((1, 2, 2), 5, np.float32)
    values[0, 0] = np.nan, 9
    said, pixels = raster(kept(values), 0, 0, 64, None, shelf)
    assert meant(said, pixels).tolist() == [[5, 9], [5, 5]]
    said, pixels = raster(kept(np.full((1, 2, 2), np.inf)), 0, 0, 64, None, shelf)
    assert not any(pixels)


def test_the_contrast_leaves_out_the_few_brightest(kept: Kept, shelf: Shelf) -> None:
    values = np.tile(np.arange(100, dtype=np.uint16), (1, 100, 1))
    values[0, 0, 0] = 65535
    said, _ = raster(kept(values), 0, 0, 128, None, shelf)
    assert said["high"] == 65535
    assert said["bright"] < 100


def test_a_large_slice_comes_coarser(kept: Kept, shelf: Shelf) -> None:
    said, pixels = raster(kept(np.zeros((1, 300, 900), np.uint8)), 0, 0, 100, None, shelf)
    assert said["width"] <= 300
    assert len(pixels) == said["width"] * said["height"]


@pytest.mark.parametrize(("axis", "index", "size"), [(3, 0, 64), (0, 9, 64), (0, -1, 64), (0, 0, 0), (0, 0, 1 << 20)])
def test_what_is_not_there_is_refused(axis: int, index: int, size: int, kept: Kept, shelf: Shelf) -> None:
    with pytest.raises(Invalid):
        raster(kept(np.zeros((2, 4, 4), np.uint8)), axis, index, size, None, shelf)
