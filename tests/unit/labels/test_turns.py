"""Strokes are taken back and done again, each person their own; a saved version never changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import zarr

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, NotFound, Stale
from mlex_jupyter.labels import ledger, versions
from tests.painting import patch, plane, stroke, whole

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


# ---------------------------------------------------------------- undo and redo


async def test_two_hundred_strokes_are_taken_back_and_done_again_after_a_restart(sand: Mlex) -> None:
    states = [await whole(sand, "sand", "scribbles")]
    for number in range(ledger.STEPS):
        await sand.paint("sand", "scribbles", stroke(patch(number % 5, number, number, 30, 40, 1 + number % 2)))
        if number % 40 == 39:
            states.append(await whole(sand, "sand", "scribbles"))
    for number in range(ledger.STEPS):
        if number == 50:
            sand = Mlex(sand.settings)
        if number % 40 == 0:
            np.testing.assert_array_equal(await whole(sand, "sand", "scribbles"), states[-1 - number // 40])
        await sand.undo("sand", "scribbles")
    assert not (await whole(sand, "sand", "scribbles")).any()
    with pytest.raises(Conflict, match="nothing to undo"):
        await sand.undo("sand", "scribbles")
    for _ in range(ledger.STEPS):
        await sand.redo("sand", "scribbles")
    np.testing.assert_array_equal(await whole(sand, "sand", "scribbles"), states[-1])
    with pytest.raises(Conflict, match="nothing to redo"):
        await sand.redo("sand", "scribbles")


@pytest.mark.usefixtures("each_database")
async def test_no_more_steps_are_kept_than_said(sand: Mlex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "STEPS", 3)
    for number in range(6):
        painted = await sand.paint("sand", "scribbles", stroke(patch(0, 0, number, 1, 1, 1)))
    assert painted.undo == 3
    for _ in range(3):
        await sand.undo("sand", "scribbles")
    with pytest.raises(Conflict, match="nothing to undo"):
        await sand.undo("sand", "scribbles")
    assert np.count_nonzero(await whole(sand, "sand", "scribbles")) == 3


async def test_a_new_stroke_ends_what_could_be_done_again(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 2, 2, 1)))
    await sand.undo("sand", "scribbles")
    assert (await sand.paint("sand", "scribbles", stroke(patch(0, 9, 9, 2, 2, 1)))).redo == 0
    with pytest.raises(Conflict, match="nothing to redo"):
        await sand.redo("sand", "scribbles")


async def test_each_person_takes_back_their_own_strokes(sand: Mlex) -> None:
    bob = somebody(sand, "bob")
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 1)))
    await bob.paint("sand", "scribbles", stroke(patch(0, 10, 10, 4, 4, 2)))  # the same tile, other pixels
    undone = await sand.undo("sand", "scribbles")
    assert (undone.kind, undone.pixels, undone.undo, undone.redo) == ("undo", 16, 0, 1)
    (tile,) = undone.tiles
    assert tile.version == undone.number and tile.values is not None
    assert (await sand.label_balance("sand", "scribbles"))[0].counts == {"pore": 0, "grain": 16}
    with pytest.raises(Conflict, match="nothing to undo"):
        await sand.undo("sand", "scribbles")


@pytest.mark.usefixtures("each_database")
async def test_undo_does_not_take_away_what_somebody_painted_over_it(sand: Mlex) -> None:
    bob = somebody(sand, "bob")
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 1), patch(1, 0, 0, 4, 4, 1)))
    await bob.paint("sand", "scribbles", stroke(patch(0, 0, 0, 2, 4, 2)))
    before = await whole(sand, "sand", "scribbles")
    with pytest.raises(Stale, match="bob painted over that stroke") as refused:
        await sand.undo("sand", "scribbles")
    assert "--partly" in str(refused.value.hint)
    np.testing.assert_array_equal(await whole(sand, "sand", "scribbles"), before)
    partly = await sand.undo("sand", "scribbles", partly=True)
    assert partly.pixels == 8 + 16
    after = await whole(sand, "sand", "scribbles")
    assert (after[0, :2, :4] == 2).all() and np.count_nonzero(after) == 8
    await sand.redo("sand", "scribbles")
    np.testing.assert_array_equal(await whole(sand, "sand", "scribbles"), before)


async def test_a_stroke_that_is_all_painted_over_does_not_stop_undo_for_ever(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(1, 0, 0, 4, 4, 1)))
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 1)))
    await somebody(sand, "bob").paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 2)))
    assert (await sand.undo("sand", "scribbles", partly=True)).pixels == 0
    assert (await sand.undo("sand", "scribbles")).pixels == 16


async def test_the_history_tells_who_did_what_and_everybody_hears_of_it(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(3, 0, 0, 4, 4, 1)))
    await sand.undo("sand", "scribbles")
    undo, painted, new = await sand.strokes("sand", "scribbles")
    assert (undo.kind, undo.of, undo.slices) == ("undo", painted.number, (3,))
    assert (painted.state, painted.author, painted.pixels) == ("undone", "tester", 16)
    assert new.kind == "new"
    told = [event.values for event in await sand.events(kind="painted")]
    assert [(values["number"], values["change"], values["slices"]) for values in told] == [
        (painted.number, "stroke", [3]),
        (undo.number, "undo", [3]),
    ]


# ---------------------------------------------------------------- versions


async def test_a_saved_version_never_changes_and_shares_what_did_not(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 1), patch(3, 100, 0, 4, 600, 2)))
    first = await sand.save_labels("sand", "scribbles", note="a start")
    assert (first.version, first.counts, first.slices) == (2, {"pore": 16, "grain": 2400}, (0, 3))
    assert (first.author, first.note) == ("tester", "a start")
    assert await sand.save_labels("sand", "scribbles", note="again") == first
    before = zarr.open_array(first.uri, mode="r")[:]
    await sand.paint("sand", "scribbles", stroke(patch(3, 0, 0, 4, 4, 1)))
    second = await sand.save_labels("sand", "scribbles")
    np.testing.assert_array_equal(zarr.open_array(first.uri, mode="r")[:], before)
    np.testing.assert_array_equal(zarr.open_array(second.uri, mode="r")[:], await whole(sand, "sand", "scribbles"))
    unchanged, changed = (Path("c", str(z), "0", "0") for z in (0, 3))
    assert (Path(first.uri) / unchanged).samefile(Path(second.uri) / unchanged)
    assert not (Path(first.uri) / changed).samefile(Path(second.uri) / changed)
    assert [found.version for found in await sand.label_versions("sand", "scribbles")] == [3, 2, 1]


@pytest.mark.usefixtures("each_database")
async def test_painting_goes_on_over_a_version_and_undo_reaches_behind_it(
    sand: Mlex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "TILES_KEPT", 1)  # all but the last tile are left to the files
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 300, 600, 1), patch(2, 0, 0, 300, 600, 2)))
    await sand.paint("sand", "scribbles", stroke(patch(1, 0, 0, 2, 2, 2)))
    seen = (await sand.draft("sand", "scribbles")).number
    await sand.save_labels("sand", "scribbles")
    for axis, index in ((0, 0), (1, 5), (2, 599)):
        drawn = plane(await sand.label_slice("sand", "scribbles", axis=axis, index=index))
        np.testing.assert_array_equal(drawn, (await whole(sand, "sand", "scribbles")).take(index, axis))
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 1, 600, 0), as_of=seen))
    assert np.count_nonzero(await whole(sand, "sand", "scribbles")) == 2 * 300 * 600 + 4 - 600
    for _ in range(3):
        await sand.undo("sand", "scribbles")
    assert not (await whole(sand, "sand", "scribbles")).any()
    assert (await sand.save_labels("sand", "scribbles")).counts == {"pore": 0, "grain": 0}


@pytest.mark.usefixtures("each_database")
async def test_an_old_version_is_put_on_top_and_nothing_is_lost(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 1)))
    first = await sand.save_labels("sand", "scribbles")
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 2)))
    seen = await sand.label_slice("sand", "scribbles", index=0)
    restored = await sand.restore_labels("sand", "scribbles", first.version)
    assert (restored.version, restored.counts) == (4, first.counts)
    painted = await whole(sand, "sand", "scribbles", version=3)
    assert np.count_nonzero(painted == 2) == 16
    assert np.count_nonzero(await whole(sand, "sand", "scribbles") == 1) == 16
    with pytest.raises(Stale):  # who still looks at what was there before
        await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 1, 1, 1), as_of=seen.number))
    with pytest.raises(Conflict, match="nothing to undo"):
        await sand.undo("sand", "scribbles")
    with pytest.raises(NotFound, match="no version 9"):
        await sand.restore_labels("sand", "scribbles", 9)


async def test_an_import_keeps_what_was_painted_as_a_version(sand: Mlex, tmp_path: Path) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 4, 4, 1)))
    array = np.zeros(SHAPE, np.uint8)
    array[4] = 2
    np.save(tmp_path / "painted.npy", array)
    taken = await sand.import_labels("sand", str(tmp_path / "painted.npy"), name="scribbles")
    assert taken.version == 3
    assert np.count_nonzero(await whole(sand, "sand", "scribbles", version=2)) == 16
    np.testing.assert_array_equal(await whole(sand, "sand", "scribbles"), array)
    await sand.paint("sand", "scribbles", stroke(patch(4, 0, 0, 300, 600, 1)))
    assert (await sand.undo("sand", "scribbles")).pixels == 300 * 600


@pytest.mark.usefixtures("each_database")
async def test_many_saves_at_once_while_somebody_paints_lose_nothing(sand: Mlex) -> None:
    async def paint(number: int) -> None:
        await sand.paint("sand", "scribbles", stroke(patch(number % 5, number, 0, 1, 50, 1)))

    work = [paint(number) if number % 3 else sand.save_labels("sand", "scribbles") for number in range(30)]
    await asyncio.gather(*work)
    last = await sand.save_labels("sand", "scribbles")
    assert last.counts == {"pore": 20 * 50, "grain": 0}
    np.testing.assert_array_equal(zarr.open_array(last.uri, mode="r")[:], await whole(sand, "sand", "scribbles"))
