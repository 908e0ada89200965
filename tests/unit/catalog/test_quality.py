"""The quality report: what is counted is right, what is said follows from it, and memory stays bounded."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from mlex_jupyter.app import Mlex
from mlex_jupyter.data import measure, quality
from mlex_jupyter.data.readers import open_path
from mlex_jupyter.errors import Invalid
from mlex_jupyter.faces.present import record_html, text
from mlex_jupyter.types import ClassInfo, Dataset, Quality, now

Array = NDArray[Any]
RNG = np.random.default_rng(5)


def sand(*shape: int, dtype: str = "uint8") -> Array:
    return RNG.normal(120, 30, shape or (8, 24, 20)).clip(1, 250).astype(dtype)


def report(path: Path, *, budget: int = 1 << 40, classes: tuple[ClassInfo, ...] = (), painted: bool = False) -> Quality:
    with open_path(path) as volume:
        about = {"uri": volume.uri, "reader": volume.reader, "shape": volume.shape, "dtype": volume.dtype.name}
        dataset = Dataset(
            id="data-1", name="d", axes=volume.axes, nbytes=volume.nbytes, created=now(), classes=classes, **about
        )
        look = quality.examine(volume, dataset, budget, painted=painted)
        while True:
            try:
                next(look)
            except StopIteration as end:
                found = end.value
                assert isinstance(found, Quality)
                return found


def saved(path: Path, values: Array) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, values, photometric="minisblack")
    else:
        zarr.create_array(path, data=values, chunks=tuple(max(1, side // 3) for side in values.shape))
    return path


@pytest.mark.parametrize("name", ["v.npy", "v.tif", "v.zarr"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_the_numbers_are_those_of_numpy(tmp_path: Path, name: str, dtype: str) -> None:
    values = sand(dtype=dtype)
    values[0, 0, :5] = 251
    values[3, :2, 0] = 0
    if dtype == "int16":
        values -= 100
    found = report(saved(tmp_path / name, values))
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(dtype=float))
    assert found.std == pytest.approx(values.std(dtype=float))
    assert (found.at_lowest, found.at_highest) == ((values == values.min()).sum(), (values == values.max()).sum())
    assert found.percentiles["50"] == pytest.approx(np.percentile(values, 50), abs=1)
    assert found.percentiles["99.5"] == pytest.approx(np.percentile(values, 99.5), abs=2)
    assert [one.mean for one in found.per_slice] == pytest.approx([plane.mean(dtype=float) for plane in values])
    assert found.histogram is not None
    assert sum(found.histogram.counts) == values.size
    assert found.pixels == values.size
    assert found.empty == ()


def test_reading_in_small_pieces_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "v.zarr", sand())
    whole = report(path)
    monkeypatch.setattr(measure, "BAND_BYTES", 200)
    pieces = report(path)
    assert pieces.model_copy(update={"computed": whole.computed}) == whole


def test_values_that_are_no_numbers_are_counted_and_named(tmp_path: Path) -> None:
    values = sand(dtype="float32")
    values[2, 3] = np.nan
    values[5, 0, 0] = np.inf
    found = report(saved(tmp_path / "v.npy", values))
    assert (found.nan, found.infinite, found.maximum) == (20, 1, values[np.isfinite(values)].max())
    assert [one.z for one in found.per_slice if one.bad] == [2, 5]
    assert "2 slices (2, 5)" in found.warnings[0]
    everywhere = report(saved(tmp_path / "w.npy", np.full((2, 4, 4), np.nan, np.float32)))
    assert (everywhere.nan, everywhere.minimum, everywhere.histogram) == (32, None, None)
    assert everywhere.empty == (0, 1)
    assert text(everywhere)


def test_empty_slices_are_told_by_where_they_are(tmp_path: Path) -> None:
    values = sand(12, 24, 20)
    values[0], values[5], values[9:] = 0, 7, 0
    found = report(saved(tmp_path / "v.npy", values))
    assert found.empty == (0, 5, 9, 10, 11)
    assert [warning.split(" empty")[0] for warning in found.warnings] == [
        "slice 0 at the beginning is",
        "3 slices (9 to 11) at the end are",
        "slice 5 in between is",
    ]
    assert "Empty" in text(found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: np.where(v > 140, 255, v), "highest value, 255"),
        (lambda v: np.where(v < 100, 90, v), "lowest value, 90"),
        (lambda v: np.where(v < 100, 0, v), None),
        (lambda v: v // 32, "grey levels"),
        (lambda v: np.full_like(v, 3), "one value everywhere, 3"),
        (lambda v: v, None),
    ],
)
def test_what_limits_a_training_is_said(tmp_path: Path, change: Any, says: str | None) -> None:
    values = change(sand(8, 48, 40))
    found = report(saved(tmp_path / "v.tif", values.astype("uint16")))
    assert (len(found.warnings) == 1 and says in found.warnings[0]) if says else found.warnings == ()


def test_a_few_values_far_away_are_said_and_do_not_hide_the_histogram(tmp_path: Path) -> None:
    values = sand(8, 48, 40, dtype="float32")
    values[1, 1, 1] = 1e9
    found = report(saved(tmp_path / "v.npy", values))
    assert "hot pixels" in found.warnings[0]
    assert found.histogram is not None
    assert found.histogram.high < 300


CLASSES = (
    ClassInfo(value=1, name="pore", color="#56b4e9"),
    ClassInfo(value=2, name="grain", color="#e69f00"),
    ClassInfo(value=3, name="gold", color="#009e73"),
)


def test_a_segmentation_is_balanced_by_class(tmp_path: Path) -> None:
    values = np.ones((4, 50, 50), np.uint8)
    values[:, 10:] = 2
    values[0, 0, 0] = 9
    found = report(saved(tmp_path / "v.npy", values), classes=CLASSES)
    assert found.classes == {"pore": 1999, "grain": 8000, "value 9": 1, "gold": 0}
    assert "There is no pixel of gold." in found.warnings
    assert any("value 9" in warning for warning in found.warnings)


def test_labels_are_judged_by_what_is_painted(tmp_path: Path) -> None:
    values = np.zeros((4, 50, 50), np.uint8)
    values[1, :20], values[1, 40, :5] = 1, 2
    found = report(saved(tmp_path / "v.npy", values), classes=CLASSES, painted=True)
    assert found.classes == {"unlabelled": 10000 - 1005, "pore": 1000, "grain": 5, "gold": 0}
    assert found.empty == ()
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "grain has 200 times fewer labelled pixels than pore",
        "Nothing is labelled as gold",
        "Labels are on 1 of 4 slices",
    ]


def test_a_large_volume_is_sampled_and_says_so(tmp_path: Path) -> None:
    values = sand(40, 24, 20)
    found = report(saved(tmp_path / "v.npy", values), budget=24 * 20 * 10)
    assert (found.slices, found.looked_at) == (40, 10)
    assert [one.z for one in found.per_slice][:: len(found.per_slice) - 1] == [0, 39]
    assert "Only 10 of 40" in found.warnings[0]
    assert "10 of 40" in text(found)


def test_channels_and_single_pictures_are_looked_at(tmp_path: Path) -> None:
    assert report(saved(tmp_path / "c.npy", sand(3, 2, 8, 8))).pixels == 384
    flat = report(saved(tmp_path / "p.npy", sand(16, 12)))
    assert (flat.slices, flat.pixels) == (1, 192)


# ---------------------------------------------------------------- as people ask for it


async def test_a_report_is_kept_until_the_file_changes(mlex: Mlex, tmp_path: Path) -> None:
    path = saved(tmp_path / "v.npy", sand())
    await mlex.register(str(path))
    first, twin = await asyncio.gather(mlex.quality("v"), mlex.quality("v"))
    assert first == twin == await mlex.quality("v")
    again = sand()
    again[:] = 9
    np.save(path, again)
    os.utime(path, ns=(1, 1))
    assert (await mlex.quality("v")).maximum == 9


async def test_a_zarr_s_report_changes_with_a_chunk(mlex: Mlex, tmp_path: Path) -> None:
    path = saved(tmp_path / "v.zarr", sand())
    await mlex.register(str(path))
    first = await mlex.quality("v")
    zarr.open_array(path)[0] = 0
    second = await mlex.quality("v")
    assert (first.empty, second.empty) == ((), (0,))


async def test_the_report_of_labels_is_of_their_version(mlex: Mlex, tmp_path: Path) -> None:
    await mlex.register(str(saved(tmp_path / "v.npy", sand())))
    for value in (1, 2):
        painted = np.zeros((8, 24, 20), np.uint8)
        painted[value] = value
        await mlex.import_labels("v", str(saved(tmp_path / "l.npy", painted)), classes=CLASSES)
        found = await mlex.quality("v", labels="labels")
        assert found.classes[CLASSES[value - 1].name] == 480


async def test_a_file_that_is_gone_is_said_in_words(mlex: Mlex, tmp_path: Path) -> None:
    path = saved(tmp_path / "v.zarr", sand())
    await mlex.register(str(path))
    for chunk in (path / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    with pytest.raises(Invalid):
        await mlex.quality("v")


def test_it_is_shown_with_its_histogram(tmp_path: Path) -> None:
    found = report(saved(tmp_path / "v.npy", sand()), classes=(ClassInfo(value=1, name="<b>", color="#000000"),))
    assert "█" in text(found)
    html = record_html(found)
    assert html.count("<svg") == 1
    assert "█" not in html
    assert "<b>" not in html
