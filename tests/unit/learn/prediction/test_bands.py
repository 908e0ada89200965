"""Which slices go together and in which order; chunks that hold many slices are read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from mlex_jupyter.data.readers import open_path
from mlex_jupyter.errors import MlexError
from mlex_jupyter.learn.prediction.bands import Reader, coarse_first, missing, slices_of_band


def test_what_is_left_is_cut_at_the_same_places_whatever_was_done() -> None:
    assert missing(range(40), 16, ()) == [range(16), range(16, 32), range(32, 40)]
    assert missing(range(5, 20), 16, ()) == [range(5, 16), range(16, 20)]
    assert missing(range(20), 16, {3, 4}) == [range(3), range(5, 16), range(16, 20)]
    assert missing(range(20), 16, range(20)) == []


@pytest.mark.parametrize("count", [1, 2, 5, 16, 100])
def test_the_first_bands_lie_all_over_the_volume_and_none_is_left_out(count: int) -> None:
    bands = [range(z, z + 1) for z in range(count)]
    order = coarse_first(bands)
    assert sorted(order, key=lambda band: band.start) == bands
    assert order[0].start == round((count - 1) / 2)
    if count == 100:
        assert np.diff(sorted(band.start for band in order[:15])).max() < 10
        assert [band.start for band in order[16:]] == sorted(band.start for band in order[16:])


def test_large_slices_go_alone() -> None:
    assert (slices_of_band((64, 64)), slices_of_band((1024, 1024)), slices_of_band((9000, 9000))) == (16, 2, 1)


def test_a_row_of_chunks_is_read_once(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).integers(0, 9, (20, 30, 40)).astype(np.uint16)
    zarr.create_array(tmp_path / "a.zarr", data=truth, chunks=(8, 16, 16))
    with open_path(tmp_path / "a.zarr") as volume:
        asked: list[Any] = []
        source = volume._source

        class Counting:
            shape, dtype = source.shape, source.dtype

            def __getitem__(self, index: Any) -> Any:
                asked.append(index)
                return source[index]

        volume._source = Counting()  # type: ignore[assignment]
        read = Reader(volume)
        for start in range(0, 20, 4):
            found = read(range(start, start + 4))
            assert np.array_equal(found[:, 0], truth[start : start + 4])
        assert len(asked) == 3


def test_a_slice_with_values_that_are_no_numbers_is_named(tmp_path: Path) -> None:
    values = np.zeros((6, 8, 8), np.float32)
    values[4, 2, 2] = np.nan
    zarr.create_array(tmp_path / "a.zarr", data=values, chunks=(1, 8, 8))
    with open_path(tmp_path / "a.zarr") as volume:
        assert Reader(volume)(range(3)).shape == (3, 1, 8, 8)
        with pytest.raises(MlexError, match="Slice 4 of the volume has values that are not numbers"):
            Reader(volume)(range(3, 6))
