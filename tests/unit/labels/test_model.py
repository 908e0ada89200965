"""Whatever two people paint, take back, save and restore, a draft is what a plain array would be."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Stale
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Patch
from tests.painting import Bytes, plane, runs, stroke, whole

SHAPE = (3, 270, 520)
PEOPLE = ("ann", "bob")
STEPS = 40


@dataclass
class Steps:
    """One person's strokes: the pixels that each changed, with what was there before and after."""

    done: list[tuple[Any, Bytes, Bytes]] = field(default_factory=list)
    undone: list[tuple[Any, Bytes, Bytes]] = field(default_factory=list)


def some_patch(chance: random.Random) -> Patch:
    """A rectangle or some of its pixels, often where others were: strokes are to meet."""
    axis = chance.randrange(3)
    down, along = (length for place, length in enumerate(SHAPE) if place != axis)
    row, column = (chance.choice([0, max(0, length // 2 - 2)]) for length in (down, along))
    height, width = chance.randint(1, min(40, down - row)), chance.randint(1, min(300, along - column))
    mask = np.random.default_rng(chance.randrange(99)).random((height, width)) < chance.choice([0.1, 1.0])
    index = chance.choice([0, SHAPE[axis] // 2])
    place = {"axis": axis, "index": index, "row": row, "column": column, "height": height, "width": width}
    return Patch(**place, value=chance.randrange(3), runs=runs(mask))


def mask_of(patch: Patch) -> Any:
    turns = np.arange(len(patch.runs or ())) % 2 == 1
    return np.repeat(turns, patch.runs or ()).reshape(patch.height, patch.width)


class Painting:
    """Two people and a plain array."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        np.save(self.folder / "sand.npy", np.zeros(SHAPE, np.uint8))
        self.loop = asyncio.new_event_loop()
        self.engines = {user: Mlex(Settings.load(home=self.folder / "home", user=user)) for user in ("ann", "bob")}
        self.ann = self.engines["ann"]
        self.run(self.ann.register(str(self.folder / "sand.npy")))
        self.run(self.ann.create_labels("sand", class_names=("pore", "grain")))
        self.model = np.zeros(SHAPE, np.uint8)
        self.steps = {"ann": Steps(), "bob": Steps()}
        self.saved: dict[int, Bytes] = {1: self.model.copy()}
        self.unsaved = False

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def paint(self, user: str, several: list[Patch]) -> None:
        after = self.model.copy()
        for patch in several:
            place: list[Any] = [
                slice(patch.row, patch.row + patch.height),
                slice(patch.column, patch.column + patch.width),
            ]
            place.insert(patch.axis, patch.index)
            after[tuple(place)][mask_of(patch)] = patch.value
        where = np.nonzero(after != self.model)
        painted = self.run(self.engines[user].paint("sand", "labels", stroke(*several)))
        assert painted.pixels == where[0].size
        if where[0].size:
            self.steps[user].done.append((where, self.model[where], after[where]))
            self.steps[user].undone.clear()
            self.unsaved = True
        self.model = after

    def turn(self, user: str, redo: bool, partly: bool) -> None:
        steps = self.steps[user]
        source, target = (steps.undone, steps.done) if redo else (steps.done, steps.undone)
        verb = self.engines[user].redo if redo else self.engines[user].undo
        if not source:
            try:
                self.run(verb("sand", "labels", partly=partly))
            except Conflict:
                return
            raise AssertionError("there was nothing to turn")
        where, before, after = source[-1]
        now, then = (before, after) if redo else (after, before)
        stands = self.model[where] == now
        if not stands.all() and not partly:
            try:
                self.run(verb("sand", "labels"))
            except Stale:
                return
            raise AssertionError("somebody's work was taken away")
        painted = self.run(verb("sand", "labels", partly=partly))
        assert painted.pixels == np.count_nonzero(stands)
        source.pop()
        left = tuple(axis[stands] for axis in where)
        if stands.any():
            self.model = self.model.copy()
            self.model[left] = then[stands]
            target.append((left, before[stands], after[stands]))
            self.unsaved = True

    def save(self) -> None:
        version = self.run(self.ann.save_labels("sand", "labels")).version
        if self.unsaved:
            assert version not in self.saved
            self.saved[version], self.unsaved = self.model.copy(), False
        assert version == max(self.saved)

    def restore(self, which: random.Random) -> None:
        self.save()
        wanted = which.choice(sorted(self.saved))
        restored = self.run(self.ann.restore_labels("sand", "labels", wanted))
        if wanted != max(self.saved):
            self.model = self.saved[wanted].copy()
            self.steps = {"ann": Steps(), "bob": Steps()}
            self.saved[restored.version] = self.model.copy()
        assert restored.version == max(self.saved)

    def the_draft_is_the_array(self) -> None:
        np.testing.assert_array_equal(self.run(whole(self.ann, "sand", "labels")), self.model)
        for axis in (1, 2):
            found = self.run(self.ann.label_slice("sand", "labels", axis=axis, index=SHAPE[axis] // 2))
            np.testing.assert_array_equal(plane(found), self.model.take(SHAPE[axis] // 2, axis))
        balance = self.run(self.ann.label_balance("sand", "labels"))
        assert [found.z for found in balance] == [z for z in range(SHAPE[0]) if self.model[z].any()]
        for found in balance:
            counts = np.bincount(self.model[found.z].reshape(-1), minlength=3)
            assert found.counts == {"pore": counts[1], "grain": counts[2]}
        for user, steps in self.steps.items():
            draft = self.run(self.engines[user].draft("sand", "labels"))
            assert (draft.undo, draft.redo, draft.unsaved) == (len(steps.done), len(steps.undone), self.unsaved)

    def close(self) -> None:
        """Look at what was saved once more."""
        for version, kept in self.saved.items():
            np.testing.assert_array_equal(self.run(whole(self.ann, "sand", "labels", version)), kept)
        for engine in self.engines.values():
            engine.close()
        self.loop.close()
        shutil.rmtree(self.folder)


@given(st.integers(0, 1 << 30))
@tried(max_examples=10, deadline=None, derandomize=True, database=None)
def test_whatever_is_done_a_draft_is_what_an_array_would_be(seed: int) -> None:
    chance, painting = random.Random(seed), Painting()
    for _ in range(STEPS):
        user, what = chance.choice(PEOPLE), chance.random()
        if what < 0.45:
            painting.paint(user, [some_patch(chance) for _ in range(chance.randint(1, 3))])
        elif what < 0.9:
            painting.turn(user, redo=chance.random() < 0.4, partly=chance.random() < 0.4)
        elif what < 0.97:
            painting.save()
        else:
            painting.restore(chance)
        painting.the_draft_is_the_array()
    painting.close()
