"""Tunings: what is asked for is checked; trials are jobs, once each, whatever is killed; the poor are ended."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Invalid, JobEnded, NotFound
from mlex_jupyter.events import append
from mlex_jupyter.jobs.reign import Reign
from mlex_jupyter.jobs.tuner import Tuner
from mlex_jupyter.jobs.tunings import CALLED_OFF, under_way
from mlex_jupyter.store import current_epoch
from mlex_jupyter.store.tables import jobs
from mlex_jupyter.types import Job, JobState, Leaderboard, Resources, TuningSpec, checked
from tests.engine import PATIENCE_S, Hand, python, settings_of

pytestmark = pytest.mark.needs("optuna", "torch")
both = pytest.mark.usefixtures("each_database")

QUICK = {"epochs": 5, "steps_per_epoch": 2, "batch": 2, "patch": 32, "base_channels": 4}
VARY = {"depth": "2:4", "learning_rate": "1e-4:1e-1:log"}


@pytest.fixture
async def hand(knowing: Path) -> AsyncIterator[Hand]:
    """Nothing runs here: a test says what becomes of the trials."""
    mlex = Mlex(settings_of(knowing))
    mlex.keep_moving = lambda: None  # type: ignore[method-assign]
    await mlex.sample(size=64, slices=8)
    yield Hand(mlex)
    await asyncio.to_thread(mlex.close)


async def tune(hand: Hand, **more: Any) -> Leaderboard:
    how = {"data": "sand-tomo", "labels": "scribbles", "params": QUICK, "vary": VARY, "trials": 6, "at_once": 2}
    return await hand.mlex.tune("unet", **{**how, "name": "it", **more})


def tuner(hand: Hand) -> Tuner:
    """What the supervisor that reigns does about tunings."""
    return Tuner(Reign(hand.store, hand.store.read_now(current_epoch)))


async def until(moved: Tuner, done: Any) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not await done():
        assert time.monotonic() < deadline
        await moved.look()
        await asyncio.sleep(0.02)


async def trials(hand: Hand) -> list[Job]:
    """The first first."""
    return list(reversed(await hand.mlex.jobs(experiment="it", limit=1000)))


async def becomes(hand: Hand, job: Job, state: JobState, *curve: float, **values: Any) -> None:
    """Have a trial say this of its epochs, and stand so."""

    def work(tx: Any) -> None:
        for epoch, dice in enumerate(curve, start=1):
            append(tx, job.id, "epoch", {"epoch": epoch, "epochs": 5, "dice": dice})
        stands = {"state": state.value, "attempt": 1, "started": time.time() - 9, **values}
        if state.final:
            stands |= {"ended": time.time(), "metrics": {"dice": max(curve)} if curve else {}}
        tx.execute(update(jobs).where(jobs.c.id == job.id).values(**stands))

    await hand.store.write(work)


@both
async def test_trials_are_asked_for_as_room_comes_and_when_the_last_has_ended_it_is_done(hand: Hand) -> None:
    board = await tune(hand)
    assert board.tuning.state == "running" and not board.contenders and hand.store.read_now(under_way)
    moved, seen = tuner(hand), 0
    while seen < 6:
        await until(moved, lambda: _has(hand, min(seen + 2, 6)))
        for job in (await trials(hand))[seen:]:
            assert job.spec.resources.cpus == 2, "those at the same time share the four cores of this machine"
            await becomes(hand, job, JobState.DONE, (30 + seen) / 100)
            seen += 1
    await until(moved, lambda: _stands(hand, "done"))
    board = await hand.mlex.leaderboard("it", wait=True)
    assert [one.value for one in board.contenders] == [0.35, 0.34, 0.33, 0.32, 0.31, 0.3]
    assert (board.tuning.best, board.publish) == ("it-006", "mlex publish it-006 it")
    params = [(one.params["depth"], one.params["learning_rate"]) for one in board.contenders]
    assert len(set(params)) == 6 and all(2 <= depth <= 4 and 1e-4 <= rate <= 0.1 for depth, rate in params)  # type: ignore[operator]
    first = next(one for one in board.contenders if one.number == 1)
    assert first.params == {"depth": 4, "learning_rate": 0.05}, "what would be trained without a search"
    assert not hand.store.read_now(under_way)
    assert (await hand.mlex.tunings())[0] == board.tuning
    await moved.rest()


async def _has(hand: Hand, count: int) -> bool:
    found = len(await trials(hand))
    assert found <= count, "no more at once than was wanted"
    return found == count


async def _stands(hand: Hand, state: str) -> bool:
    return (await hand.mlex.tuning("it")).tuning.state == state


@both
async def test_a_trial_that_falls_behind_is_cancelled_with_the_reason_and_is_not_ended_again(hand: Hand) -> None:
    await tune(hand, trials=8, at_once=5)
    moved = tuner(hand)
    await until(moved, lambda: _has(hand, 5))
    *good, poor = await trials(hand)
    for job in good:
        await becomes(hand, job, JobState.DONE, 0.5, 0.6, 0.7)
    await becomes(hand, poor, JobState.RUNNING, 0.1, 0.2)

    async def wished_off() -> bool:
        return (await _row(hand, poor)).cancel == 1

    await until(moved, wished_off)
    assert (await _row(hand, poor)).cancel_reason == "pruned: at epoch 2 its dice 0.2 is below the median 0.6"
    await becomes(hand, poor, JobState.CANCELLED, reason="pruned: at epoch 2 …")
    board = await hand.mlex.tuning("it")
    contender = next(one for one in board.contenders if one.id == poor.id)
    assert contender.pruned and board.tuning.pruned == 1 and board.tuning.failed == 0
    await hand.mlex.resume(poor.id)  # somebody wants it all the same
    await becomes(hand, poor, JobState.RUNNING, 0.1, 0.2, 0.2)
    before = len(await trials(hand))
    for _ in range(20):
        await moved.look()
        await asyncio.sleep(0.05)
    assert (await _row(hand, poor)).cancel == 0 and before <= 8
    await moved.rest()


async def _row(hand: Hand, job: Job) -> Any:
    return await hand.store.read(lambda tx: tx.execute(jobs.select().where(jobs.c.id == job.id)).one())


@both
async def test_cancelled_it_begins_no_more_and_ends_what_runs_and_resumed_it_goes_on_with_that(hand: Hand) -> None:
    await tune(hand)
    moved = tuner(hand)
    await until(moved, lambda: _has(hand, 2))
    one, other = await trials(hand)
    await becomes(hand, one, JobState.DONE, 0.5)
    await becomes(hand, other, JobState.RUNNING)
    before = len(await trials(hand))
    stopped = await hand.mlex.tune_cancel("it")
    assert stopped.state == "cancelled" and (await _row(hand, other)).cancel_reason == CALLED_OFF
    for _ in range(20):
        await moved.look()
        await asyncio.sleep(0.03)
    assert len(await trials(hand)) == before and not await moved.look()
    with pytest.raises(Conflict, match="nothing to cancel"):
        await hand.mlex.tune_cancel("it")
    await becomes(hand, other, JobState.CANCELLED, reason=CALLED_OFF)
    again = await hand.mlex.tune_resume("it", trials=7)
    assert (again.state, again.trials, again.running) == ("running", 7, 1)
    assert (await hand.mlex.job(other.id)).state == JobState.WAITING
    await until(moved, lambda: _has(hand, 3))
    with pytest.raises(Invalid, match="has 7"):
        await hand.mlex.tune_resume("it", trials=2)
    await moved.rest()


async def test_where_the_first_trials_fail_it_asks_for_no_more_and_says_why(hand: Hand) -> None:
    await tune(hand, at_once=3)
    moved = tuner(hand)
    await until(moved, lambda: _has(hand, 3))
    for job in await trials(hand):
        await becomes(hand, job, JobState.FAILED, message="It ran out of memory.")
    await until(moved, lambda: _stands(hand, "failed"))
    with pytest.raises(JobEnded, match="first 3 trials failed; it-001: It ran out of memory"):
        await hand.mlex.leaderboard("it", wait=True)
    assert len(await trials(hand)) == 3
    await moved.rest()


async def test_there_are_no_more_trials_than_combinations(hand: Hand) -> None:
    board = await tune(hand, vary={"depth": "2:3", "schedule": "cosine,level"}, trials=50)
    assert board.tuning.trials == 4


async def test_asked_again_with_the_same_key_it_is_the_same_tuning(hand: Hand) -> None:
    first = await tune(hand, key="mine")
    assert (await tune(hand, key="mine")).tuning.id == first.tuning.id
    with pytest.raises(Conflict, match="used for another request"):
        await tune(hand, key="mine", trials=9)
    with pytest.raises(Conflict, match="a tuning it already"):
        await tune(hand)
    named = await tune(hand, name=None)
    assert named.tuning.name == "unet-tuning-01"


async def test_what_cannot_be_tuned_is_refused_before_anything_is_kept(hand: Hand) -> None:
    for more, says in (
        ({"vary": {"depht": "2:3"}}, "no parameter 'depht'"),
        ({"vary": {"base_channels": "4:8"}}, "both fixed and varied"),
        ({"metric": "beauty"}, "more or less beauty"),
        ({"trials": 0}, "trials = 0"),
    ):
        with pytest.raises(Invalid, match=says):
            await tune(hand, **more)
    with pytest.raises(NotFound, match="no tuning 'it'"):
        await hand.mlex.leaderboard("it")
    assert await hand.mlex.tunings() == []


async def test_every_trial_learns_from_the_labels_as_they_were(hand: Hand) -> None:
    await tune(hand, at_once=1)
    moved = tuner(hand)
    await until(moved, lambda: _has(hand, 1))
    before = (await hand.jobs.file((await trials(hand))[0].id)).labels
    assert before is not None and before.version == 1
    await hand.mlex.import_labels("sand-tomo", before.uri, name="scribbles")
    assert (await hand.mlex.labels("sand-tomo"))[0].version == 2
    await becomes(hand, (await trials(hand))[0], JobState.DONE, 0.5)
    await until(moved, lambda: _has(hand, 2))
    assert [(await hand.jobs.file(job.id)).labels for job in await trials(hand)] == [before, before]
    await moved.rest()


DIE = """
import asyncio
from mlex_jupyter.jobs.reign import Reign
from mlex_jupyter.jobs.tuner import Tuner
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store, next_epoch
store = Store.open(Settings.load())
tuner = Tuner(Reign(store, store.write_now(next_epoch)))
async def main():
    while True:
        await tuner.look()
        await asyncio.sleep(0.02)
asyncio.run(main())
"""


@both
@pytest.mark.parametrize("place", ["tuner.before_ask", "tuner.after_ask"])
async def test_a_supervisor_that_is_killed_while_it_asks_neither_asks_twice_nor_never(hand: Hand, place: str) -> None:
    await tune(hand, at_once=3)
    environment = {**os.environ, **hand.settings.environment(), "MLEX_FAILPOINTS": f"{place}=1"}
    for times in (1, 2):
        killed = python(DIE, env=environment, stdout=None, stderr=None)
        assert await asyncio.to_thread(killed.wait, PATIENCE_S) == -9
        assert len(await trials(hand)) == (times if place == "tuner.after_ask" else 0)
    hand.reign()
    moved = tuner(hand)
    await until(moved, lambda: _has(hand, 3))
    for _ in range(10):
        await moved.look()
        await asyncio.sleep(0.03)
    keys = [job.spec.key for job in await trials(hand)]
    assert len(keys) == len(set(keys)) == 3
    await moved.rest()


def test_a_spec_says_what_is_wrong_with_it() -> None:
    task = {"model": "unet", "data": "a", "labels": "b"}
    with pytest.raises(Invalid, match="at_once = 0"):
        checked(TuningSpec, task=task, at_once=0)
    assert checked(TuningSpec, task=task, resources=Resources(cpus=1)).resources.cpus == 1
