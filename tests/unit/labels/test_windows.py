"""Windows: each of a person's takes back its own strokes, and none of those that another has painted over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Stale
from mlex_jupyter.labels import ledger
from tests.painting import patch, plane, stroke


@pytest.fixture
async def sand(mlex: Mlex, tmp_path: Path) -> Mlex:
    np.save(tmp_path / "sand.npy", np.zeros((5, 300, 600), np.uint16))
    await mlex.register(str(tmp_path / "sand.npy"))
    await mlex.create_labels("sand", "scribbles", class_names=("pore", "grain"))
    return mlex


async def count(sand: Mlex, z: int) -> int:
    return int(np.count_nonzero(plane(await sand.label_slice("sand", "scribbles", index=z))))


async def test_a_window_takes_back_its_own_strokes_and_leaves_those_of_another(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 2, 2, 1), window="left"))
    done = await sand.paint("sand", "scribbles", stroke(patch(1, 0, 0, 3, 3, 1), window="right"))
    assert (done.undo, done.redo) == (1, 0)
    await sand.undo("sand", "scribbles", window="left")
    assert (await count(sand, 0), await count(sand, 1)) == (0, 9)
    with pytest.raises(Conflict, match="nothing to undo in scribbles by this window"):
        await sand.undo("sand", "scribbles", window="left")
    await sand.paint("sand", "scribbles", stroke(patch(1, 9, 9, 1, 1, 1), window="right"))
    assert (await sand.draft("sand", "scribbles", window="left")).redo == 1
    await sand.redo("sand", "scribbles", window="left")
    assert (await count(sand, 0), await count(sand, 1)) == (4, 10)


async def test_without_a_window_all_strokes_of_a_person_are_taken_back_the_last_first(sand: Mlex) -> None:
    for z, window in enumerate(("left", None, "right")):
        await sand.paint("sand", "scribbles", stroke(patch(z, 0, 0, 2, 2, 1), window=window))
    assert (await sand.draft("sand", "scribbles")).undo == 3
    assert (await sand.undo("sand", "scribbles")).undo == 2
    assert (await sand.undo("sand", "scribbles")).undo == 1
    assert [await count(sand, z) for z in range(3)] == [4, 0, 0]
    assert [entry.window for entry in await sand.strokes("sand", "scribbles")][-2] == "left"


async def test_what_another_window_painted_over_is_a_conflict_in_words_and_the_rest_can_be_taken(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 2, 4, 1), window="left"))
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 2, 2, 2), window="right"))
    with pytest.raises(Stale, match="You yourself, in another window, painted over that stroke"):
        await sand.undo("sand", "scribbles", window="left")
    assert await count(sand, 0) == 8
    await sand.undo("sand", "scribbles", window="left", partly=True)
    assert await count(sand, 0) == 4


async def test_a_refused_stroke_that_is_painted_again_belongs_to_its_window(sand: Mlex) -> None:
    await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 2, 2, 1), window="right"))
    with pytest.raises(Stale) as refused:
        await sand.paint("sand", "scribbles", stroke(patch(0, 0, 0, 1, 1, 2), as_of=1, window="left"))
    assert (await sand.draft("sand", "scribbles", window="right")).refused == 1
    assert refused.value.details is not None
    await sand.paint_again("sand", "scribbles", refused.value.details["stroke"])
    assert (await sand.draft("sand", "scribbles", window="left")).undo == 1


async def test_ever_more_windows_keep_no_more_steps_than_said(sand: Mlex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "STEPS", 2)
    monkeypatch.setattr(ledger, "WINDOWS", 2)
    for number in range(9):
        await sand.paint("sand", "scribbles", stroke(patch(0, number, 0, 1, 1, 1), window=f"window {number // 3}"))
    kept = [(await sand.draft("sand", "scribbles", window=f"window {number}")).undo for number in range(3)]
    assert (kept, (await sand.draft("sand", "scribbles")).undo) == ([0, 2, 2], 4)
