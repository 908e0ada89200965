"""Labels come from other programs and go to them, without losing a pixel, a name or a colour."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mlex_jupyter.app import Mlex
from mlex_jupyter.data.outlines import filled, outlines
from mlex_jupyter.data.rle import counts_in, counts_of, mask_of, text_of
from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.server.pictures import picture_of
from mlex_jupyter.types import ClassInfo, Dataset
from tests.painting import Bytes, patch, stroke, whole

SHAPE = (5, 60, 80)
PORE = ClassInfo(value=3, name="pore", color="#112233")
GRAIN = ClassInfo(value=7, name="grain (Körner)", color="#aabbcc")


def painted() -> Bytes:
    """With holes, single pixels, corners that touch and strokes along the edges."""
    labels = np.zeros(SHAPE, np.uint8)
    yy, xx = np.ogrid[:60, :80]
    labels[1][(yy - 30) ** 2 + (xx - 40) ** 2 < 600] = 3
    labels[1][(yy - 30) ** 2 + (xx - 40) ** 2 < 150] = 0
    labels[1, 30, 40] = 7
    labels[3, ::2, ::2] = 7
    labels[3, 1::2, 1::2] = 3
    labels[3, -1] = labels[3, :, -1] = 7
    return labels


@pytest.fixture
async def sand(mlex: Mlex, tmp_path: Path) -> Mlex:
    np.save(tmp_path / "sand.npy", np.zeros(SHAPE, np.uint16))
    await mlex.register(str(tmp_path / "sand.npy"), pixel_size=2.5, pixel_unit="µm")
    np.save(tmp_path / "painted.npy", painted())
    await mlex.import_labels("sand", str(tmp_path / "painted.npy"), name="truth", classes=(PORE, GRAIN))
    return mlex


@pytest.mark.parametrize(
    ("name", "format"), [("a.zarr", None), ("a.tif", None), ("a.json", None), ("a.json", "coco-polygons")]
)
async def test_what_is_exported_comes_back_as_it_was(sand: Mlex, tmp_path: Path, name: str, format: str | None) -> None:
    done = await sand.export_labels("sand", "truth", str(tmp_path / name), format=format)
    assert (done.format, done.version) == (format or {"a.zarr": "zarr", "a.tif": "tiff", "a.json": "coco"}[name], 1)
    taken = await sand.import_labels("sand", str(tmp_path / name), name="again")
    assert set(taken.classes) == {PORE, GRAIN}
    np.testing.assert_array_equal(await whole(sand, "sand", "again"), painted())
    assert not [left for left in tmp_path.iterdir() if left.name.startswith(".")]


async def test_an_export_takes_what_was_painted_up_to_now_or_a_version(sand: Mlex, tmp_path: Path) -> None:
    await sand.paint("sand", "truth", stroke(patch(0, 0, 0, 2, 2, 3)))
    now, before = tmp_path / "now.zarr", tmp_path / "before.zarr"
    assert (await sand.export_labels("sand", "truth", str(now))).version == 2
    await sand.export_labels("sand", "truth", str(before), version=1)
    assert np.count_nonzero(zarr.open_array(now)[:]) == np.count_nonzero(painted()) + 4
    np.testing.assert_array_equal(zarr.open_array(before)[:], painted())
    zarr.open_array(now, mode="r+")[:] = 9  # theirs to change
    assert (await whole(sand, "sand", "truth")).max() == 7


async def test_imagej_finds_axes_colours_names_and_pixels(sand: Mlex, tmp_path: Path) -> None:
    await sand.export_labels("sand", "truth", str(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej and file.imagej_metadata is not None
        assert (file.series[0].axes, file.series[0].shape) == ("ZYX", SHAPE)
        colours = np.asarray(file.imagej_metadata["LUTs"]).reshape(3, 256)
        assert tuple(colours[:, 3]) == (0x11, 0x22, 0x33)
        assert file.imagej_metadata["unit"] == "um" and file.imagej_metadata["spacing"] == 2.5
        assert "7: grain (Körner)" in file.imagej_metadata["Info"]
    names = json.loads((tmp_path / "a.tif.classes.json").read_text())
    assert [one["name"] for one in names["classes"]] == ["pore", "grain (Körner)"]


async def test_coco_is_what_other_programs_expect(sand: Mlex, tmp_path: Path) -> None:
    await sand.export_labels("sand", "truth", str(tmp_path / "a.json"))
    document = json.loads((tmp_path / "a.json").read_text())
    assert [(image["file_name"], image["height"], image["width"]) for image in document["images"]] == [
        ("sand-00001.png", 60, 80),
        ("sand-00003.png", 60, 80),
    ]
    assert document["categories"][1] == {
        "id": 7,
        "name": "grain (Körner)",
        "supercategory": "",
        "color": [0xAA, 0xBB, 0xCC],
    }
    dot = document["annotations"][1]
    assert (dot["category_id"], dot["area"], dot["bbox"]) == (7, 1, [40, 30, 1, 1])
    # Down the columns: 40 × 60 + 30 pixels, then one. COCO's own tools write this very text for it.
    assert dot["segmentation"] == {"size": [60, 80], "counts": text_of([2430, 1, 2369])}
    assert text_of([2430, 1, 2369]) == "n[21QZ2" == text_of(counts_of(painted()[1] == 7))


async def test_nothing_is_overwritten_unless_it_is_said(sand: Mlex, tmp_path: Path) -> None:
    for name in ("a.zarr", "a.tif", "a.json"):
        place = tmp_path / name
        await sand.export_labels("sand", "truth", str(place))
        before = place.stat().st_mtime_ns
        with pytest.raises(Conflict, match="there already"):
            await sand.export_labels("sand", "truth", str(place))
        assert place.stat().st_mtime_ns == before
        await sand.export_labels("sand", "truth", str(place), overwrite=True)
        assert place.stat().st_mtime_ns != before
    folder = tmp_path / "precious.zarr"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    link = tmp_path / "link.json"
    link.symlink_to(folder / "thesis.txt")
    for place in (folder, link):
        with pytest.raises(Conflict, match="not overwritten"):
            await sand.export_labels("sand", "truth", str(place), overwrite=True)
    assert (folder / "thesis.txt").read_text() == "years"


async def test_a_place_that_cannot_be_is_refused(sand: Mlex, tmp_path: Path) -> None:
    for path, format, error in (
        ("nowhere/a.zarr", None, NotFound),
        ("a.png", None, Invalid),
        ("a", None, Invalid),
        ("a.zarr", "tiff", Invalid),
        ("a.tif", "hdf5", Invalid),
        ("a\0.tif", None, Invalid),
    ):
        with pytest.raises(error):
            await sand.export_labels("sand", "truth", f"{tmp_path}/{path}", format=format)


# ---------------------------------------------------------------- masks


MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(MASKS)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_run_lengths_and_outlines_keep_every_pixel(mask: Any) -> None:
    height, width = mask.shape
    counts = counts_of(mask)
    np.testing.assert_array_equal(mask_of(counts, height, width), mask)
    assert counts_in(text_of(counts), mask.size + 2) == counts
    rings = [np.array(ring, float) for ring in outlines(mask)]
    np.testing.assert_array_equal(filled(rings, height, width), mask)


def test_a_polygon_fills_the_pixels_whose_centres_it_holds() -> None:
    triangle = np.array([[1.0, 1.0], [9.0, 1.0], [1.0, 9.0]])
    yy, xx = np.mgrid[:10, :10] + 0.5
    inside = (xx > 1) & (yy > 1) & (xx + yy < 10)
    np.testing.assert_array_equal(filled([triangle], 10, 10), inside)
    np.testing.assert_array_equal(filled([triangle[::-1]], 10, 10), inside)
    two = filled([triangle, triangle + 0.25], 10, 10)  # parts that overlap are one area
    assert (two >= inside).all()
    hole = np.array([[2.0, 2.0], [2.0, 4.0], [4.0, 4.0], [4.0, 2.0]])  # the other way round
    assert not filled([triangle, hole], 10, 10)[2:4, 2:4].any()
    far = np.array([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]])
    assert filled([far], 10, 10).all()


# ---------------------------------------------------------------- foreign documents


def document(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "images": [{"id": 9, "file_name": "scan_0002.tif", "height": 60, "width": 80}],
        "categories": [{"id": 500, "name": "pore"}, {"id": 4, "name": "grain"}],
        "annotations": [
            {"image_id": 9, "category_id": 500, "segmentation": [[10, 10, 20, 10, 20, 20, 10, 20]], "iscrowd": 0},
            {"image_id": 9, "category_id": 4, "segmentation": {"size": [60, 80], "counts": [0, 2, 4798]}},
        ],
    }
    return found | changes


async def test_somebody_elses_coco_is_understood(sand: Mlex, tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_text(json.dumps(document()))
    taken = await sand.import_labels("sand", str(tmp_path / "theirs.json"), name="theirs")
    assert [(one.value, one.name) for one in taken.classes] == [(2, "pore"), (1, "grain")]
    labels = await whole(sand, "sand", "theirs")
    assert (labels[2, 10:20, 10:20] == 2).all() and (labels[2, :2, 0] == 1).all()
    assert np.count_nonzero(labels) == 102


def annotation(**segmentation: Any) -> dict[str, Any]:
    found = {"image_id": 9, "category_id": 4, "segmentation": {"size": [60, 80], "counts": [4800]}}
    return document(annotations=[found | segmentation])


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"images": [], "categories": [], "annotations": NaN}',
        json.dumps(document(images=None)),
        json.dumps(document(images=[{"id": 9, "file_name": "x", "height": 60, "width": 80}])),
        json.dumps(document(images=[{"id": 9, "slice": 5, "height": 60, "width": 80}])),
        json.dumps(document(images=[{"id": 9, "slice": -1, "height": 60, "width": 80}])),
        json.dumps(document(images=[{"id": 9, "slice": 1, "height": 1 << 40, "width": 1 << 40}])),
        json.dumps(document(images=[{"id": "9", "slice": 1, "height": 60, "width": 80}])),
        json.dumps(document(categories=[{"id": n, "name": str(n)} for n in range(300)])),
        json.dumps(document(categories=[{"id": 4, "name": "a"}, {"id": 4, "name": "b"}])),
        json.dumps(document(categories=[{"id": 4}, {"id": 500, "name": "x"}])),
        json.dumps(annotation(image_id=8)),
        json.dumps(annotation(category_id=5)),
        json.dumps(annotation(category_id=True)),
        json.dumps(annotation(segmentation=None)),
        json.dumps(annotation(segmentation=[[1, 2, 3, 4]])),
        json.dumps(annotation(segmentation=[[1, 2, 3, 4, 5, 1e308 * 10]])).replace("Infinity", "1e999"),
        json.dumps(annotation(segmentation=[[1, 2, 3, 4, 5, "6"]])),
        json.dumps(annotation(segmentation=[[1, 2, 3, 4, 5, True]])),
        json.dumps(annotation(segmentation={"size": [60, 80], "counts": [4799]})),
        json.dumps(annotation(segmentation={"size": [60, 80], "counts": [-1, 4801]})),
        json.dumps(annotation(segmentation={"size": [60, 80], "counts": [1 << 70]})),
        json.dumps(annotation(segmentation={"size": [60, 80], "counts": [0.5, 4799.5]})),
        json.dumps(annotation(segmentation={"size": [1 << 30, 1 << 30], "counts": [1 << 60]})),
        json.dumps(annotation(segmentation={"size": [60, 80], "counts": "oooooooooooooooooooo"})),
        json.dumps(annotation(segmentation={"size": [60, 80], "counts": "o"})),
        json.dumps(annotation(segmentation={"size": [60, 80], "counts": "é\n"})),
        json.dumps(annotation(segmentation={"size": [60, 80], "counts": "0" * 10_000})),
        json.dumps(annotation(segmentation={"size": [60, 80]})),
        json.dumps(annotation()),
    ],
)
def test_a_document_that_cannot_be_is_refused_in_words(hostile: str, tmp_path: Path) -> None:
    from mlex_jupyter.data.coco import copy_coco
    from mlex_jupyter.types import now

    dataset = Dataset(
        id="data-1",
        name="sand",
        uri="/x",
        reader="numpy",
        shape=SHAPE,
        dtype="uint8",
        axes="zyx",
        nbytes=1,
        created=now(),
    )
    (tmp_path / "a.json").write_text(hostile)
    copying = copy_coco(tmp_path / "a.json", dataset, tmp_path / "out.zarr")
    if hostile == json.dumps(annotation()):  # nothing wrong, and nothing painted
        assert list(copying) == [{"done": 1, "of": 1}]
        return
    with pytest.raises(Invalid):
        list(copying)


async def test_names_that_are_no_names_beside_a_file_are_refused(sand: Mlex, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", painted())
    for content in ("{", '{"classes": [{"value": 900, "name": "x", "color": "#000000"}]}', "[" * 50_000, "[]"):
        (tmp_path / "a.tif.classes.json").write_text(content)
        with pytest.raises(Invalid, match="does not name classes"):
            await sand.import_labels("sand", str(tmp_path / "a.tif"), name="named")


# ---------------------------------------------------------------- two versions beside each other


async def test_two_versions_are_compared_by_class_and_slice(sand: Mlex) -> None:
    await sand.paint(
        "sand", "truth", stroke(patch(0, 0, 0, 2, 5, 3), patch(1, 30, 40, 1, 1, 3), patch(3, 0, 0, 1, 1, 0))
    )
    await sand.save_labels("sand", "truth")
    found = await sand.compare_labels("sand", "truth", 1)
    assert (found.version, found.other, found.slices) == (1, 2, (0, 1, 3))
    assert (found.added, found.removed, found.changed) == (10, 1, 1)
    assert [(one.name, one.added, one.removed) for one in found.classes] == [
        ("pore", 11, 0),
        ("grain (Körner)", 0, 2),
    ]
    back = await sand.compare_labels("sand", "truth", 2, 1)
    assert (back.added, back.removed) == (1, 10)
    same = await sand.compare_labels("sand", "truth", 1, 1)
    assert same.slices == () and same.changed == 0
    with pytest.raises(NotFound, match="no version 5"):
        await sand.compare_labels("sand", "truth", 5)


async def test_a_difference_is_a_picture(sand: Mlex) -> None:
    await sand.paint("sand", "truth", stroke(patch(1, 0, 0, 2, 5, 3), patch(1, 30, 40, 1, 1, 0)))
    await sand.save_labels("sand", "truth")
    query = {"version": ["1"], "index": ["1"], "size": ["80"]}
    answer = await picture_of(sand, "/datasets/sand/labels/truth/difference", query)
    assert answer is not None and answer.content_type == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.body)))
    assert pixels.shape == (60, 80, 3)
    assert tuple(pixels[0, 0]) == (0x11, 0x22, 0x33)  # new, in its colour
    assert tuple(pixels[30, 40]) == (255, 255, 255)  # gone
    assert tuple(pixels[59, 0]) == (24, 24, 24)  # never labelled
    for wrong in ({"index": ["1"]}, {"version": ["1"], "index": ["5"]}, {"version": ["1"], "size": ["0"]}):
        with pytest.raises(Invalid):
            await picture_of(sand, "/datasets/sand/labels/truth/difference", wrong)
