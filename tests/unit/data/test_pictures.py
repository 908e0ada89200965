"""Pictures: a slice as a small PNG that shows what is there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from PIL import Image

from mlex_jupyter.data.pictures import UNLABELLED, slice_png
from mlex_jupyter.data.readers import inspect_volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import ClassInfo, Dataset, LabelSet, now

PORE, GRAIN = ClassInfo(value=1, name="pore", color="#ff0000"), ClassInfo(value=2, name="grain", color="#0000ff")


def dataset(tmp_path: Path, array: NDArray[Any], axes: str | None = None, **changes: Any) -> Dataset:
    np.save(tmp_path / "volume.npy", array)
    info = inspect_volume(str(tmp_path / "volume.npy"), axes).model_dump()
    return Dataset(id="data-1", name="volume", created=now(), **(info | changes))


def pixels(png: bytes) -> NDArray[Any]:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def ramps() -> NDArray[Any]:
    """Each slice, row and column is told apart by its place."""
    z, y, x = np.indices((5, 30, 40))
    return (z * 10_000 + y * 100 + x).astype(np.uint16)


def test_the_middle_slice_is_shown_from_black_to_white(tmp_path: Path) -> None:
    shown = pixels(slice_png(dataset(tmp_path, ramps())))
    assert shown.shape == (30, 40)
    assert (shown.min(), shown.max()) == (0, 255)
    order = np.argsort(ramps()[2].ravel(), kind="stable")
    assert (np.diff(shown.ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize(("axis", "shape"), [(0, (30, 40)), (1, (5, 40)), (2, (5, 30))])
def test_a_volume_is_cut_across_any_axis(tmp_path: Path, axis: int, shape: tuple[int, int]) -> None:
    array = np.zeros((5, 30, 40), np.uint8)
    marked: list[Any] = [slice(None)] * 3
    marked[axis] = 3
    array[tuple(marked)] = np.arange(np.prod(shape)).reshape(shape) % 200 + 20
    data = dataset(tmp_path, array)
    assert pixels(slice_png(data, axis=axis, index=3)).shape == shape
    assert pixels(slice_png(data, axis=axis, index=3)).max() == 255
    assert pixels(slice_png(data, axis=axis, index=2)).max() == 0


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((2, 300, 400), 100, (75, 100)), ((2, 900, 30), 90, (90, 3)), ((1, 4, 999), 9, (1, 9))],
)
def test_a_picture_is_no_larger_than_asked(
    tmp_path: Path, shape: tuple[int, ...], size: int, expected: tuple[int, int]
) -> None:
    array = np.random.default_rng(1).integers(0, 99, shape).astype(np.uint8)
    assert pixels(slice_png(dataset(tmp_path, array), size=size)).shape == expected


def test_a_few_hot_pixels_do_not_darken_the_rest(tmp_path: Path) -> None:
    array = np.random.default_rng(1).normal(100, 10, (1, 100, 100)).astype(np.float32)
    array[0, 0, :5] = 1e9
    assert 90 < pixels(slice_png(dataset(tmp_path, array))).mean() < 165


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_a_slice_without_contrast_is_still_a_picture(tmp_path: Path, value: float) -> None:
    shown = pixels(slice_png(dataset(tmp_path, np.full((1, 8, 8), value, np.float32))))
    assert len(np.unique(shown)) == 1


def test_what_is_not_a_number_is_no_reason_to_fail(tmp_path: Path) -> None:
    array = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    array[0, 0, 0], array[0, 0, 1], array[0, 0, 2] = np.nan, np.inf, -np.inf
    shown = pixels(slice_png(dataset(tmp_path, array)))
    assert (shown[0, 0], shown[0, 1], shown[0, 2]) == (0, 255, 0)
    assert len(np.unique(shown)) > 50


def test_a_segmentation_is_painted_in_its_classes_colours(tmp_path: Path) -> None:
    array = np.zeros((1, 90, 90), np.uint8)
    array[0, 30:60], array[0, 60:] = 1, 2
    shown = pixels(slice_png(dataset(tmp_path, array, classes=(PORE, GRAIN)), size=30))
    assert {tuple(color) for color in shown.reshape(-1, 3)} == {UNLABELLED, (255, 0, 0), (0, 0, 255)}
    assert tuple(shown[15, 15]) == (255, 0, 0)


def test_labels_lie_over_the_grey(tmp_path: Path) -> None:
    array = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (3, 64, 1))
    labels = np.zeros(array.shape, np.uint8)
    labels[1, :32] = 1
    zarr.create_array(tmp_path / "v1.zarr", data=labels)
    overlay = LabelSet(
        id="labels-1", name="l", dataset="data-1", classes=(PORE,), version=1,
        uri=str(tmp_path / "v1.zarr"), counts={}, slices=(1,), created=now(),
    )  # fmt: skip
    shown = pixels(slice_png(dataset(tmp_path, array), overlay=overlay)).astype(int)
    red = shown[..., 0] - shown[..., 1]
    assert (red[:32] > 100).all()
    assert (red[32:] == 0).all()
    assert len(np.unique(shown[:32, :, 1])) > 20  # the grey shows through


def test_pictures_and_channels_are_shown_too(tmp_path: Path) -> None:
    array = ramps()[:3]
    expected = pixels(slice_png(dataset(tmp_path, array), index=0))
    np.testing.assert_array_equal(pixels(slice_png(dataset(tmp_path, array, "cyx"))), expected)
    np.testing.assert_array_equal(pixels(slice_png(dataset(tmp_path, array[0]))), expected)
    last = np.ascontiguousarray(array.transpose(1, 2, 0))
    np.testing.assert_array_equal(pixels(slice_png(dataset(tmp_path, last, "yxc"))), expected)


@pytest.mark.parametrize(
    "wrong", [{"axis": 3}, {"axis": -1}, {"index": 5}, {"index": -1}, {"size": 0}, {"size": 100_000}]
)
def test_a_slice_that_is_not_there_is_invalid(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        slice_png(dataset(tmp_path, ramps()), **wrong)
