"""Painting: small strokes into drafts, durable, in tiles with versions."""

from __future__ import annotations

import asyncio
import base64
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Invalid, MlexError, NotFound, Stale
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import ClassInfo, Patch, Problem, Stroke, TileVersion
from tests.painting import packed, patch, plane, stroke, whole

SHAPE = (5, 300, 600)
"""Two rows and three columns of tiles, the last ones smaller."""


@pytest.fixture
async def sand(mlex: Mlex, tmp_path: Path) -> Mlex:
    np.save(tmp_path / "sand.npy", np.zeros(SHAPE, np.uint16))
    await mlex.register(str(tmp_path / "sand.npy"))
    await mlex.create_labels("sand", "scribbles", class_names=("pore", "grain"))
    return mlex


def somebody(sand: Mlex, name: str) -> Mlex:
    """Another person, with a process of their own as far as the engine knows."""
    return Mlex(sand.settings.model_copy(update={"user": name}))


# ---------------------------------------------------------------- label sets and classes


async def test_new_labels_are_empty_and_can_be_painted(sand: Mlex) -> None:
    (found,) = await sand.labels("sand")
    assert (found.version, found.slices, found.counts) == (1, (), {"pore": 0, "grain": 0})
    assert [(one.value, one.name) for one in found.classes] == [(1, "pore"), (2, "grain")]
    draft = await sand.draft("sand", "scribbles")
    assert (draft.shape, draft.version, draft.unsaved, draft.undo) == (SHAPE, 1, False, 0)
    assert not (await whole(sand, "sand", "scribbles")).any()
    with pytest.raises(Conflict, match="already"):
        await sand.create_labels("sand", "scribbles")


async def test_classes_are_renamed_recoloured_and_added_without_touching_a_pixel(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(1, 0, 0, 4, 4, 2)))
    new = (
        ClassInfo(value=2, name="quartz", color="#abcdef"),
        ClassInfo(value=7, name="clay", color="#123456"),
        ClassInfo(value=1, name="pore", color="#56b4e9"),
    )
    assert (await sand.set_classes("sand", "scribbles", classes=new)).classes == new
    (balance,) = await sand.label_balance("sand", "scribbles")
    assert balance.counts == {"quartz": 16, "clay": 0, "pore": 0}
    saved = await sand.save_labels("sand", "scribbles")
    assert saved.classes == new
    assert (await sand.label_versions("sand", "scribbles"))[1].classes[1].name == "grain"


async def test_a_class_in_use_goes_only_where_its_pixels_go_on(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(1, 0, 0, 4, 4, 1), patch(3, 0, 0, 2, 2, 2)))
    pore = (await sand.draft("sand", "scribbles")).classes[:1]
    with pytest.raises(Conflict, match="4 pixels .* grain") as refused:
        await sand.set_classes("sand", "scribbles", classes=pore)
    assert "--mapping" in str(refused.value.hint)
    draft = await sand.set_classes("sand", "scribbles", classes=pore, mapping={"grain": "pore"})
    assert draft.classes == pore
    painted = await whole(sand, "sand", "scribbles")
    assert np.count_nonzero(painted == 1) == 20 and painted.max() == 1
    notes = [found.note for found in await sand.label_versions("sand", "scribbles")]
    assert notes == ["grain became pore", "before classes were put together", ""]
    for mapping, says in (({"clay": "pore"}, "no class 'clay'"), ({"pore": "0"}, "stays")):
        with pytest.raises(Invalid, match=says):
            await sand.set_classes("sand", "scribbles", classes=pore, mapping=mapping)


async def test_a_class_that_nothing_has_goes_and_undo_does_not_bring_its_pixels_back(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 2)))
    await sand.undo("sand", "scribbles")
    await sand.set_classes("sand", "scribbles", class_names=("pore",))
    with pytest.raises(Invalid, match="no class of the value 2"):
        await sand.redo("sand", "scribbles")
    with pytest.raises(Invalid, match="no class of the value 2"):
        await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 2)))


# ---------------------------------------------------------------- strokes


async def test_a_stroke_paints_its_pixels_on_any_axis_over_the_edges_of_tiles(sand: Mlex) -> None:
    model = np.zeros(SHAPE, np.uint8)
    yy, xx = np.ogrid[:120, :120]
    disc = (yy - 60) ** 2 + (xx - 60) ** 2 < 55**2
    await sand.paint("sand", "scribbles", stroke(patch(2, 180, 200, 120, 120, 1, disc)))
    model[2, 180:300, 200:320][disc] = 1
    line = np.tile(np.arange(300) % 3 == 0, (5, 1))
    await sand.paint("sand", "scribbles", stroke(patch(270, 0, 250, 5, 300, 2, line, axis=1)))
    model[:, 270, 250:550][line] = 2
    await sand.paint("sand", "scribbles", stroke(patch(599, 1, 0, 3, 300, 1, axis=2)))
    model[1:4, :, 599] = 1
    values = np.arange(6, dtype=np.uint8).reshape(2, 3) % 3
    many = Patch(index=4, row=10, column=255, height=2, width=3, values=packed(values))
    await sand.paint("sand", "scribbles", stroke(many, patch(4, 10, 255, 1, 1, 0)))
    model[4, 10:12, 255:258] = values
    model[4, 10, 255] = 0
    np.testing.assert_array_equal(await whole(sand, "sand", "scribbles"), model)
    for axis, index in ((0, 2), (1, 270), (1, 0), (2, 599), (2, 256), (0, 0)):
        found = await sand.label_slice("sand", "scribbles", axis=axis, index=index)
        np.testing.assert_array_equal(plane(found), model.take(index, axis))
    counts = {found.z: sum(found.counts.values()) for found in await sand.label_balance("sand", "scribbles")}
    assert counts == {z: int(np.count_nonzero(model[z])) for z in range(5)}


async def test_painting_needs_no_zarr_and_no_space_for_what_is_empty(sand: Mlex, tmp_path: Path) -> None:
    program = """
import asyncio, sys
from mlex_jupyter.app import Mlex
from tests.painting import patch, stroke
mlex = Mlex()
async def paint():
    for number in range(3):
        await mlex.paint("sand", "scribbles", stroke(patch(number, 7, 7, 9, 9, 1)))
    await mlex.undo("sand", "scribbles")
    await mlex.label_slice("sand", "scribbles", index=1)
asyncio.run(paint())
print(sorted({name.partition(".")[0] for name in sys.modules} & {"zarr", "torch", "scipy", "pandas"}))
"""
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=-1, cwd=Path(__file__).parents[3])
    assert (await done.communicate())[0].strip() == b"[]"
    huge = tmp_path / "huge.npy"
    np.lib.format.open_memmap(huge, mode="w+", dtype="u1", shape=(2048, 2048, 2048)).flush()
    await sand.register(str(huge))
    await sand.create_labels("huge", class_names=("pore",))
    await sand.paint("huge", "labels", stroke(patch(2047, 2000, 2000, 48, 48, 1)))
    await sand.save_labels("huge", "labels")
    size = sum(file.stat().st_size for file in sand.settings.home.rglob("*") if file.is_file())
    assert size < 5_000_000


@pytest.mark.usefixtures("each_database")
async def test_one_request_sent_twice_is_one_stroke(sand: Mlex) -> None:
    asked = stroke(patch(0, 0, 0, 8, 8, 1), key="press-1")
    answers = await asyncio.gather(*(sand.paint("sand", "scribbles", asked) for _ in range(5)))
    assert len({answer.number for answer in answers}) == 1
    assert {answer.pixels for answer in answers} == {64}
    assert (await sand.draft("sand", "scribbles")).undo == 1
    with pytest.raises(Conflict, match="press-1"):
        await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 8, 8, 2), key="press-1"))
    back = await asyncio.gather(*(sand.undo("sand", "scribbles", key="back-1") for _ in range(3)))
    assert len({answer.number for answer in back}) == 1
    assert (await sand.draft("sand", "scribbles")).redo == 1


# ---------------------------------------------------------------- two people


async def test_strokes_on_different_tiles_are_no_conflict(sand: Mlex) -> None:
    seen = (await sand.draft("sand", "scribbles")).number
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 10, 10, 1), as_of=seen))
    await somebody(sand, "bob").paint("sand", "scribbles", stroke(patch(0, 260, 0, 10, 10, 2), as_of=seen))
    assert (await sand.label_balance("sand", "scribbles"))[0].counts == {"pore": 100, "grain": 100}


@pytest.mark.usefixtures("each_database")
async def test_a_stroke_over_a_newer_tile_is_refused_in_words_and_kept(sand: Mlex) -> None:
    bob = somebody(sand, "bob")
    seen = await sand.label_slice("sand", "scribbles", index=0)
    first = await bob.paint("sand", "scribbles", stroke(patch(0, 0, 0, 10, 300, 2), as_of=seen.number))
    late = stroke(patch(0, 5, 5, 10, 10, 1), patch(0, 290, 0, 2, 2, 1), as_of=seen.number, key="late")
    for _ in range(2):  # asked again it is the same conflict
        with pytest.raises(Stale, match="bob changed what was painted over.* slice 0") as refused:
            await sand.paint("sand", "scribbles", late)
    problem = Problem.of(refused.value)
    assert problem.code == "conflict" and problem.details is not None
    (tile,) = problem.details["tiles"]  # type: ignore[misc]
    assert isinstance(tile, dict)
    assert (tile["z"], tile["row"], tile["column"], tile["version"]) == (0, 0, 0, first.number)
    now = np.frombuffer(zlib.decompress(base64.b64decode(str(tile["values"]))), np.uint8).reshape(256, 256)
    assert (now[:10] == 2).all() and not now[10:].any()
    before = await whole(sand, "sand", "scribbles")
    assert np.count_nonzero(before == 1) == 0  # all of it or nothing
    (kept,) = await sand.strokes("sand", "scribbles", refused=True)
    assert kept.number == problem.details["stroke"]
    assert (await sand.draft("sand", "scribbles")).refused == 1
    again = await sand.paint_again("sand", "scribbles", kept.number)
    assert again.pixels == 104
    after = await whole(sand, "sand", "scribbles")
    assert (after[0, 5:15, 5:15] == 1).all() and (after[0, :5, :300] == 2).all()
    with pytest.raises(Conflict):
        await sand.paint_again("sand", "scribbles", kept.number)
    assert await sand.strokes("sand", "scribbles", refused=True) == []


async def test_a_refused_stroke_can_be_dropped(sand: Mlex) -> None:
    await somebody(sand, "bob").paint("sand", "scribbles", stroke(patch(0, 0, 0, 2, 2, 2)))
    with pytest.raises(Stale):
        await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 1, 1, 1), as_of=1))
    (kept,) = await sand.strokes("sand", "scribbles", refused=True)
    assert (await sand.drop_stroke("sand", "scribbles", kept.number)).refused == 0
    with pytest.raises(Conflict):
        await sand.drop_stroke("sand", "scribbles", kept.number)
    with pytest.raises(NotFound, match="no stroke 99"):
        await sand.drop_stroke("sand", "scribbles", 99)


async def test_tiles_are_checked_one_by_one_with_the_versions_that_were_seen(sand: Mlex) -> None:
    one = await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 2, 2, 2)))
    (tile,) = one.tiles
    seen = TileVersion(z=0, row=0, column=0, version=tile.version)
    both = (patch(0, 0, 254, 2, 4, 1),)
    with pytest.raises(Invalid, match="does not say"):
        await sand.paint("sand", "scribbles", Stroke(patches=both, tiles=(seen,)))
    other = TileVersion(z=0, row=0, column=1, version=1)
    painted = await sand.paint("sand", "scribbles", Stroke(patches=both, tiles=(seen, other)))
    assert {(tile.row, tile.column) for tile in painted.tiles} == {(0, 0), (0, 1)}
    with pytest.raises(Stale):
        await sand.paint("sand", "scribbles", Stroke(patches=both, tiles=(seen, other)))


# ---------------------------------------------------------------- what is refused


def bomb(size: int) -> str:
    return base64.b64encode(zlib.compress(bytes(size))).decode()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"index": 5}, "not inside"),
        ({"row": 299, "height": 2}, "not inside"),
        ({"column": 2**31 - 1, "width": 2**31 - 1, "height": 1}, "cannot paint more than"),
        ({"height": 2**31 - 1, "width": 2**31 - 1}, "cannot paint more than"),
        ({"value": None}, "either one value or values"),
        ({"values": packed(np.zeros((4, 4), np.uint8))}, "either one value or values"),
        ({"value": None, "values": "no base64!"}, "not base64 of zlib"),
        ({"value": None, "values": base64.b64encode(b"no zlib").decode()}, "not base64 of zlib"),
        ({"value": None, "values": packed(np.zeros(15, np.uint8))}, "not 16 bytes"),
        ({"value": None, "values": bomb(1 << 28)}, "not 16 bytes"),
        ({"runs": (16, 1)}, "make 17 pixels"),
        ({"runs": (2**31 - 1,) * 4}, "pixels, and it has 16"),
        ({"runs": ()}, "make 0 pixels"),
        ({"value": 3}, "no class of the value 3"),
        ({"axis": 1, "index": 300}, "not inside"),
    ],
)
async def test_a_patch_that_cannot_be_is_refused_and_changes_nothing(
    sand: Mlex, given: dict[str, Any], says: str
) -> None:
    fine = {"index": 0, "row": 0, "column": 0, "height": 4, "width": 4, "value": 1}
    with pytest.raises(Invalid, match=says):
        await sand.paint("sand", "scribbles", stroke(Patch(**{**fine, **given})))
    assert (await sand.draft("sand", "scribbles")).undo == 0
    assert not (await whole(sand, "sand", "scribbles")).any()


async def test_a_slice_that_is_none_is_refused(sand: Mlex) -> None:
    for axis, index in ((0, 5), (1, 300), (2, -1), (3, 0)):
        with pytest.raises(Invalid):
            await sand.label_slice("sand", "scribbles", axis=axis, index=index)
    with pytest.raises(MlexError):
        await sand.label_slice("sand", "scribbles", index=0, version=7)


async def test_labels_of_an_older_home_can_be_painted(sand: Mlex, settings: Settings, tmp_path: Path) -> None:
    """There a version has no balance, and no draft."""
    from sqlalchemy import delete, update

    from mlex_jupyter.store.tables import label_drafts, label_slices, label_strokes, labels

    array = np.zeros(SHAPE, np.uint8)
    array[2, :10] = 1
    np.save(tmp_path / "painted.npy", array)
    await sand.import_labels("sand", str(tmp_path / "painted.npy"), name="old")

    def forget(tx: Any) -> None:
        for table in (label_drafts, label_slices, label_strokes):
            tx.execute(delete(table))
        tx.execute(update(labels).values(balance=None))

    await sand.store.write(forget)
    await sand.paint("sand", "old", stroke(patch(2, 5, 0, 10, 600, 1)))
    (found,) = await sand.label_balance("sand", "old")
    assert found.counts == {"class 1": 15 * 600}
    assert (await sand.draft("sand", "old")).unsaved
