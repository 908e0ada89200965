"""Objects of a volume, counted slice by slice, are those that one finds in the whole volume at once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from mlex_jupyter.learn.prediction import objects
from mlex_jupyter.learn.prediction.objects import Objects, Sizes


def counted(volume: np.ndarray) -> dict[int, dict[int, int]]:
    objects = Objects()
    for plane in volume:
        objects.add(plane)
    return {value: sizes.counts for value, sizes in objects.finish().items()}


def at_once(volume: np.ndarray) -> dict[int, dict[int, int]]:
    found = {}
    for value in np.unique(volume[volume > 0]).tolist():
        sizes = np.bincount(ndimage.label(volume == value)[0].reshape(-1))[1:]
        found[value] = dict(zip(*(each.tolist() for each in np.unique(sizes, return_counts=True)), strict=True))
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("coarse", [1, 4])
def test_slice_by_slice_is_as_at_once(seed: int, coarse: int) -> None:
    noise = np.random.default_rng(seed).random((12, 20, 24)).repeat(coarse, 1).repeat(coarse, 2)
    volume = np.digitize(noise, [0.3, 0.6, 0.8]).astype(np.uint8)
    assert counted(volume) == at_once(volume)


def test_what_meets_only_in_a_later_slice_is_one_object() -> None:
    volume = np.zeros((3, 5, 5), np.uint8)
    volume[:2, 0], volume[:2, 4], volume[2, :, 2] = 1, 1, 1
    volume[0, 2, 2] = 7
    assert counted(volume) == {1: {25: 1}, 7: {1: 1}} == at_once(volume)


def test_a_spiral_of_one_value_is_one_object_and_one_slice_is_enough() -> None:
    spiral = np.zeros((1, 9, 9), np.uint8)
    spiral[0, ::2] = 2
    spiral[0, 1::4, -1] = spiral[0, 3::4, 0] = 2
    assert counted(spiral) == {2: {int((spiral == 2).sum()): 1}}
    assert counted(np.zeros((2, 3, 3), np.uint8)) == {}


def test_of_the_sizes_these_are_said() -> None:
    sizes = Sizes()
    sizes.add(np.array([1, 1, 4]))
    sizes.add(np.array([10, 4]))
    assert (sizes.objects, sizes.voxels, sizes.median, sizes.largest) == (5, 20, 4, 10)
    assert (Sizes().objects, Sizes().median, Sizes().largest) == (0, 0, 0)


@pytest.mark.parametrize("block", [1, 60, 1 << 19])
def test_it_does_not_matter_how_many_rows_are_joined_at_once(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "BLOCK", block)
    monkeypatch.setattr(objects, "SPARE", 8)
    noise = np.random.default_rng(3).random((9, 21, 24))
    volume = np.digitize(ndimage.gaussian_filter(noise, 0.7), [0.45, 0.5, 0.55]).astype(np.uint8)
    assert counted(volume) == at_once(volume)


def test_noise_takes_memory_for_one_slice_however_many_there_are() -> None:
    def most(slices: int) -> int:
        rng = np.random.default_rng(0)
        tracemalloc.start()
        objects = Objects()
        for _ in range(slices):
            objects.add(rng.integers(0, 5, (1000, 1000), np.uint8))
        objects.finish()
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = most(3), most(9)
    assert many < 1.1 * few and many < 75e6, "some 28 bytes a pixel, and of a few rows more"
