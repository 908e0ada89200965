"""What was painted since the last backup is in the journal: a database made anew has it, and it can be taken back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import journal
from mlex_jupyter.store.journal import STROKES, Journal
from mlex_jupyter.upkeep.repair import repair
from tests.painting import patch, plane, stroke


def garbage(database: Path) -> None:
    database.write_bytes(np.random.default_rng(1).bytes(100_000))


def gone(database: Path) -> None:
    database.unlink()


async def painted(settings: Settings, tmp_path: Path) -> Mlex:
    mlex = Mlex(settings)
    np.save(tmp_path / "sand.npy", np.zeros((40, 300, 600), np.uint16))
    await mlex.register(str(tmp_path / "sand.npy"))
    await mlex.create_labels("sand", "scribbles", class_names=("pore", "grain"))
    return mlex


def numbers(settings: Settings) -> set[int]:
    return {json.loads(line)["n"] for line in (settings.home / STROKES).read_text().splitlines()}


async def seen(mlex: Mlex) -> np.ndarray:
    return np.stack([plane(await mlex.label_slice("sand", "scribbles", index=z)) for z in range(40)])


@pytest.mark.parametrize("damage", [garbage, gone])
async def test_strokes_since_the_backup_are_there_again_and_can_be_taken_back(
    settings: Settings, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    mlex = await painted(settings, tmp_path)
    await mlex.paint("sand", "scribbles", stroke(patch(3, 0, 0, 20, 20, 1)))
    Journal(settings.home).back_up()
    assert len(numbers(settings)) == 1, "a backup holds what was painted up to then; its last commit stays in both"
    before = await seen(mlex)
    await mlex.paint("sand", "scribbles", stroke(patch(7, 0, 250, 30, 20, 2, axis=1)))
    await mlex.paint("sand", "scribbles", stroke(patch(3, 10, 10, 300 - 10, 5, 2), key="press-2"))
    await mlex.undo("sand", "scribbles")
    await mlex.redo("sand", "scribbles")
    after, draft = await seen(mlex), await mlex.draft("sand", "scribbles")
    mlex.close()
    for name in ("mlex.db-wal", "mlex.db-shm"):
        (settings.home / name).unlink(missing_ok=True)
    damage(settings.home / "mlex.db")
    repair(settings)
    again = Mlex(settings)
    np.testing.assert_array_equal(await seen(again), after)
    about = await again.draft("sand", "scribbles")
    assert about.model_copy(update={"changed": draft.changed}) == draft
    sent_twice = await again.paint("sand", "scribbles", stroke(patch(3, 10, 10, 300 - 10, 5, 2), key="press-2"))
    assert sent_twice.number == draft.number - 2
    for _ in range(2):
        await again.undo("sand", "scribbles")
    np.testing.assert_array_equal(await seen(again), before)
    again.close()


async def test_a_saved_version_and_what_is_painted_over_it_come_back(settings: Settings, tmp_path: Path) -> None:
    mlex = await painted(settings, tmp_path)
    await mlex.paint("sand", "scribbles", stroke(patch(1, 0, 0, 20, 20, 1)))
    await mlex.save_labels("sand", "scribbles")
    await mlex.paint("sand", "scribbles", stroke(patch(1, 5, 5, 20, 20, 2)))
    after = await seen(mlex)
    mlex.close()
    (settings.home / "mlex.db.backup").unlink(missing_ok=True)
    garbage(settings.home / "mlex.db")
    repair(settings)
    again = Mlex(settings)
    np.testing.assert_array_equal(await seen(again), after)
    assert (await again.draft("sand", "scribbles")).unsaved
    again.close()


async def test_much_that_is_painted_makes_a_backup_and_the_file_stays_small(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "STROKES_BYTES", 20_000)
    mlex = await painted(settings, tmp_path)
    for number in range(60):
        await mlex.paint("sand", "scribbles", stroke(patch(number % 40, number, number, 100, 200, 1 + number % 2)))
        assert (settings.home / STROKES).stat().st_size < 200_000
    mlex.close()
    with sqlite3.connect(settings.home / "mlex.db.backup") as backup:
        painted_in_it = backup.execute("SELECT max(number) FROM label_strokes").fetchone()[0]
    assert painted_in_it > 1
