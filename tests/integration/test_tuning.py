"""A tuning with real trainings: from the shell to the leaderboard, also where whatever drives it is killed."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.types import JobState
from tests.engine import PATIENCE_S, settings_of
from tests.kills.processes import kill_one

pytestmark = pytest.mark.needs("optuna", "torch")

QUICK = {"epochs": 2, "steps_per_epoch": 3, "batch": 2, "patch": 32, "base_channels": 4}
SHORT = [word for name, value in QUICK.items() for word in ("-p", f"{name}={value}")]


def test_the_shell_tunes_shows_the_best_first_and_publishes_it(
    mlex_run: Callable[..., subprocess.CompletedProcess[str]], knowing: Path
) -> None:
    mlex_run("sample", "--size", "64", "--slices", "8")
    words = ["tune", "unet", "--data", "sand-tomo", "--labels", "scribbles", *SHORT, "-o", "which"]
    vary = ["--vary", "depth=2:3", "--vary", "learning_rate=1e-3:1e-2:log"]
    done = mlex_run(*words, *vary, "--trials", "3", "--at-once", "2", "--wait", "--json")
    board = json.loads(done.stdout)
    assert (board["tuning"]["state"], board["tuning"]["done"]) == ("done", 3)
    values = [one["value"] for one in board["contenders"]]
    assert values == sorted(values, reverse=True)
    assert "which · 3 of 3 trials · 0 at work" in done.stderr, "and says how it goes meanwhile"
    shown = mlex_run("leaderboard", "which").stdout
    assert "learning_rate" in shown and "mlex publish which-00" in shown
    model = json.loads(mlex_run(*board["publish"].split()[1:], "--json").stdout)
    assert model["metrics"]["dice"] == board["tuning"]["value"]
    assert "which" in mlex_run("experiments").stdout


async def test_whatever_is_killed_every_trial_is_asked_for_once_and_ends_well(
    each_database: str, knowing: Path
) -> None:
    mlex = Mlex(settings_of(knowing, local_cpus=2, idle_s=3))
    await mlex.sample(size=64, slices=8)
    how = {"params": QUICK, "vary": {"learning_rate": "1e-3:1e-2:log"}, "trials": 4, "at_once": 2, "pruner": "none"}
    await mlex.tune("unet", data="sand-tomo", labels="scribbles", name="it", **how)  # type: ignore[arg-type]
    chance, killed, deadline = random.Random(each_database), Counter[str](), time.monotonic() + 2 * PATIENCE_S
    while (board := await mlex.tuning("it")).tuning.state == "running":
        assert time.monotonic() < deadline, board
        kind = "worker" if killed["worker"] < 2 and killed["supervisor"] % 3 == 2 else "supervisor"
        if killed["supervisor"] < 8 and kill_one(mlex.settings.home, kind, chance):
            killed[kind] += 1
        mlex.keep_moving()
        await asyncio.sleep(chance.uniform(0.2, 2.0))
    assert killed["supervisor"] >= 2
    jobs = await mlex.jobs(experiment="it", limit=100)
    assert sorted(job.spec.key or "" for job in jobs) == [f"{board.tuning.id} trial {n}" for n in range(1, 5)]
    assert [job.state for job in jobs] == [JobState.DONE] * 4
    rates = {job.spec.task.params["learning_rate"] for job in jobs}  # type: ignore[union-attr]
    assert len(rates) == 4, "no two are the same"
    submitted = await mlex.events(kind="submitted")
    assert len(submitted) == 4, "and nothing else was ever asked for"
    await asyncio.to_thread(mlex.close)
