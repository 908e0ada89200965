"""Several people paint at once over one home and are killed: counted from outside, no acknowledged stroke is lost."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import zarr

from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from tests.conftest import ROOT
from tests.painting import whole

SHAPE = (4, 300, 520)
PAINTERS, LIVES, SECONDS = 3, 4, 25

# Each painter owns columns of its own, inside of tiles that all share, so that they meet in tiles and never in pixels.
# A stroke paints one pixel in each of two tiles; its acknowledgement is a line that is durable before the next begins.
PAINTER = """
import asyncio, os, random, signal, sys
from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Stale
from tests.painting import patch, stroke

me, ledger = int(sys.argv[1]), open(sys.argv[2], "a+")
mlex = Mlex()
write = mlex.store.write

async def die_after(work):
    done = await write(work)
    if random.random() < 0.01:
        os.kill(os.getpid(), signal.SIGKILL)  # committed, and nobody has heard of it
    return done

mlex.store.write = die_after

def told(line):
    ledger.write(line + "\\n")
    ledger.flush()
    os.fsync(ledger.fileno())

async def paint():
    ledger.seek(0)
    asked = [line.split()[1] for line in ledger if line.startswith("asked")]
    number = int(asked[-1]) if asked else 0
    for number in range(number, 290 * 4):
        z, y = number % 4, number // 4
        pixels = patch(z, y, me, 1, 1, 1 + me % 2), patch(z, y, 300 + me, 1, 1, 1 + me % 2)
        told(f"asked {number}")
        while True:
            seen = (await mlex.draft("sand", "labels")).number
            try:
                painted = await mlex.paint("sand", "labels", stroke(*pixels, as_of=seen, key=str(number)))
                break
            except Stale as stale:
                try:
                    painted = await mlex.paint_again("sand", "labels", stale.details["stroke"])
                    break
                except Stale:
                    raise AssertionError("painting again is never stale")
        told(f"done {number} {painted.pixels}")
        if number % 17 == 16:
            await mlex.save_labels("sand", "labels")

asyncio.run(paint())
"""


async def test_acknowledged_strokes_survive_kills_of_painters(settings: Settings, tmp_path: Path) -> None:
    mlex = Mlex(settings)
    np.save(tmp_path / "sand.npy", np.zeros(SHAPE, np.uint8))
    await mlex.register(str(tmp_path / "sand.npy"))
    await mlex.create_labels("sand", class_names=("pore", "grain"))
    ledgers = [tmp_path / f"ledger-{me}" for me in range(PAINTERS)]

    def start(me: int) -> subprocess.Popen[bytes]:
        armed = {"MLEX_FAILPOINTS": "labels.moved=0.1", "MLEX_USER": f"painter-{me}"}
        with (tmp_path / f"errors-{me}").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-c", PAINTER, str(me), str(ledgers[me])],
                cwd=ROOT,
                env=os.environ | armed | {"MLEX_HOME": str(settings.home)},
                stderr=errors,
            )

    painters = [start(me) for me in range(PAINTERS)]
    lives, until, chance = [0] * PAINTERS, time.monotonic() + SECONDS, random.Random(7)
    while time.monotonic() < until:
        await asyncio.sleep(0.2)
        for me, painter in enumerate(painters):
            if painter.poll() is None and lives[me] < LIVES and chance.random() < 0.05:
                painter.kill()
                painter.wait()
            if painter.poll() is not None:
                lives[me] += 1
                painters[me] = start(me)
    for painter in painters:
        painter.kill()
        painter.wait()
    assert sum(lives) >= PAINTERS, "nobody was killed"
    for me in range(PAINTERS):
        assert b"AssertionError" not in (tmp_path / f"errors-{me}").read_bytes()

    painted = await whole(mlex, "sand", "labels")
    acknowledged = 0
    for me, ledger in enumerate(ledgers):
        lines = [line.split() for line in ledger.read_text().splitlines()]
        asked = {int(number) for what, number, *_ in lines if what == "asked"}
        done = {int(number) for what, number, *_ in lines if what == "done"}
        acknowledged += len(done)
        there = set()
        for number in range(290 * 4):
            z, y = number % 4, number // 4
            pair = painted[z, y, me], painted[z, y, 300 + me]
            assert pair in ((0, 0), (1 + me % 2,) * 2), f"half of stroke {number} is there"
            if pair[0]:
                there.add(number)
        assert done <= there <= asked
    assert acknowledged > 10 * PAINTERS
    strange = painted.copy()
    for me in range(PAINTERS):
        strange[:, :, [me, 300 + me]] = 0
    assert not strange.any()

    last = await mlex.save_labels("sand", "labels")
    np.testing.assert_array_equal(zarr.open_array(last.uri, mode="r")[:], painted)
    assert sum(last.counts.values()) == np.count_nonzero(painted)
    entries = await mlex.strokes("sand", "labels", limit=1000)
    numbers = [entry.number for entry in entries]
    assert len(set(numbers)) == len(numbers)
    if len(entries) < 1000:  # all of it is listed: each stroke that is there was done once
        assert [entry.pixels for entry in entries if entry.pixels] == [2] * (np.count_nonzero(painted) // 2)

    # The undo of each painter takes their own strokes back, the last first, and nobody else's.
    for me in range(PAINTERS):
        person = Mlex(settings.model_copy(update={"user": f"painter-{me}"}))
        before = await whole(mlex, "sand", "labels")
        steps = (await person.draft("sand", "labels")).undo
        for _ in range(min(steps, 20)):
            assert (await person.undo("sand", "labels")).pixels == 2
        after = await whole(mlex, "sand", "labels")
        others = [column for column in range(SHAPE[2]) if column not in (me, 300 + me)]
        np.testing.assert_array_equal(after[:, :, others], before[:, :, others])
        assert np.count_nonzero(before) - np.count_nonzero(after) == 2 * min(steps, 20)
        person.close()
    mlex.close()
