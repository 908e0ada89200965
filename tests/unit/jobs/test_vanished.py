"""Whatever vanishes in between, a run, an answer or a supervisor, nothing starts twice and nothing is told twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.jobs.reign import Superseded
from mlex_jupyter.learn.run import FULL
from mlex_jupyter.store.tables import jobs
from mlex_jupyter.targets import Seen
from mlex_jupyter.types import Dataset, Job, JobState, Output, Result, now
from tests.engine import Hand, settings_of, spec
from tests.servers import end_processes_of

SLEEP = ("/bin/sleep", "600")


pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
async def hand(home: Path) -> AsyncIterator[Hand]:
    mlex = Mlex(settings_of(home, stop_grace_s=0.5))
    yield Hand(mlex)
    end_processes_of(home)
    mlex.close()


def note(number: str) -> str:
    """A shell's way to tell of a number."""
    return rf"""echo "{{\"kind\": \"note\", \"values\": {{\"n\": {number}}}}}" >> events.jsonl"""


def pid(job: Job) -> int:
    assert job.native_id is not None
    return int(job.native_id.partition("@")[0])


# ---------------------------------------------------------------- vanished


async def test_a_run_that_vanished_is_started_again_but_not_for_ever(hand: Hand) -> None:
    job = await hand.submit(spec("/bin/sh", "-c", "echo $MLEX_ATTEMPT >> ledger; kill -9 $PPID; sleep 9", retries=2))
    ended = await hand.until_ended(job)
    assert (ended.state, ended.attempt) == (JobState.FAILED, 3)
    assert "SIGKILL" in (ended.message or "")
    assert ended.hint
    assert (hand.jobs.folder(job.id).path / "ledger").read_text().split() == ["1", "2", "3"]
    reasons = [said["reason"] for said in await hand.said(job) if said["state"] == "waiting"]
    assert len(reasons) == 2
    assert all("going on from its checkpoint" in str(reason) for reason in reasons)


async def test_cancelled_while_it_vanished_it_is_not_started_again(hand: Hand) -> None:
    job = await hand.submit(spec(*SLEEP, retries=5))
    running = await hand.until_state(job, JobState.RUNNING)
    await hand.jobs.cancel(job.id)
    os.kill(pid(running), signal.SIGKILL)
    ended = await hand.until_ended(job)
    assert (ended.state, ended.attempt) == (JobState.CANCELLED, 1)


async def test_a_run_that_had_no_room_to_say_how_it_ended_is_told_in_words(hand: Hand) -> None:
    job = await hand.submit(spec(*SLEEP))
    await hand.until_state(job, JobState.RUNNING)
    row = hand.store.read_now(lambda tx: tx.execute(jobs.select()).one())
    seen = Seen(state=JobState.FAILED, exit_code=FULL, reason="exit code 74")
    await hand.life.endings.vanished(row, job.spec.task, seen)
    ended = await hand.jobs.get(job.id)
    assert (ended.state, ended.message) == (JobState.FAILED, "The run ended without a result: the disk is full.")
    assert ended.hint


async def test_a_run_whose_machine_knows_nothing_more_of_it_is_lost(hand: Hand) -> None:
    job = await hand.submit(spec(*SLEEP))
    running = await hand.until_state(job, JobState.RUNNING)
    hand.targets.get("local").forget(running.native_id or "")
    os.kill(pid(running), signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, pid(running), 0)
    ended = await hand.until_ended(job)
    assert (ended.state, ended.exit_code) == (JobState.LOST, None)
    await hand.jobs.resume(job.id)
    await hand.until_state(job, JobState.RUNNING)
    await hand.jobs.cancel(job.id)
    assert (await hand.until_ended(job)).state == JobState.CANCELLED


async def test_an_answer_that_was_lost_is_looked_up_and_nothing_starts_twice(hand: Hand) -> None:
    job = await hand.submit(spec("/bin/sh", "-c", "echo begun >> ledger; sleep 0.5"))
    running = await hand.until_state(job, JobState.RUNNING)
    hand.store.write_now(lambda tx: tx.execute(jobs.update().values(native_id=None, state="queued")))
    hand.reign()
    found = await hand.until_state(job, JobState.RUNNING)
    assert found.native_id == running.native_id
    assert (await hand.until_ended(job)).state == JobState.DONE
    assert (hand.jobs.folder(job.id).path / "ledger").read_text() == "begun\n"


async def test_a_submission_that_never_arrived_is_made_again(hand: Hand) -> None:
    job = await hand.submit(spec("/bin/true"))
    committed = {"state": "queued", "attempt": 1, "native_id": None}
    hand.store.write_now(lambda tx: tx.execute(jobs.update().values(**committed)))
    done = await hand.until_ended(job)
    assert (done.state, done.attempt) == (JobState.DONE, 1)


async def test_an_end_that_nobody_took_in_is_taken_in_by_the_next(hand: Hand) -> None:
    job = await hand.submit(spec("/bin/sh", "-c", "echo x"))
    await hand.until_state(job, JobState.QUEUED, JobState.RUNNING)
    folder = hand.jobs.folder(job.id)
    while folder.result() is None:
        await asyncio.sleep(0.02)
    hand.targets = type(hand.targets)(hand.settings)  # a new supervisor has no children
    hand.reign()
    assert (await hand.until_ended(job)).state == JobState.DONE


# ---------------------------------------------------------------- one reigns


async def test_an_earlier_supervisors_write_is_refused(hand: Hand) -> None:
    job = await hand.submit(spec("/bin/true"))
    earlier = hand.life
    hand.reign()
    with pytest.raises(Superseded):
        await earlier.look()
    assert (await hand.jobs.get(job.id)).state == JobState.WAITING
    assert not hand.jobs.folder(job.id).path.exists(), "nothing was started"
    assert (await hand.until_ended(job)).state == JobState.DONE


async def test_two_who_move_the_same_jobs_move_each_once(hand: Hand) -> None:
    submitted = [await hand.submit(spec("/bin/sh", "-c", "echo $MLEX_ATTEMPT >> ledger")) for _ in range(3)]
    rivals = [hand.life, hand.reign()]

    async def move(life) -> None:
        while await life.look():
            await asyncio.sleep(0.01)

    answers = await asyncio.gather(*(asyncio.wait_for(move(life), 60) for life in rivals), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Superseded, type(None)]
    for job in submitted:
        assert (await hand.jobs.get(job.id)).state == JobState.DONE
        assert (hand.jobs.folder(job.id).path / "ledger").read_text() == "1\n"
        assert [said["state"] for said in await hand.said(job)].count("done") == 1


async def test_a_result_that_is_published_twice_is_one_dataset(hand: Hand) -> None:
    job = await hand.submit(spec(*SLEEP))
    running = await hand.until_state(job, JobState.RUNNING)
    made = Dataset(
        id=f"ds-{job.id}", name="seg", uri="/x", reader="zarr", shape=(1, 2, 2), dtype="uint8", axes="zyx", nbytes=4,
        derived_from=("ds-0", "run-0"), created=now(),
    )  # fmt: skip
    picture = Output(kind="picture", name="Beside it", ref="picture.png", derived_from=("ds-0", job.id))
    row = hand.store.read_now(lambda tx: tx.execute(jobs.select()).one())
    for _ in range(2):
        await hand.life.endings.finish(row, Result(attempt=1, dataset=made, outputs=(picture,)))
    os.kill(pid(running), signal.SIGKILL)
    assert [data.name for data in await hand.mlex.catalog.search("seg*")] == ["seg"]
    dataset = Output(kind="dataset", name="seg", ref=made.id, derived_from=("ds-0", "run-0"))
    assert (await hand.jobs.get(job.id)).outputs == (picture, dataset)


# ---------------------------------------------------------------- events


async def test_what_a_run_says_is_in_the_stream_once_and_in_order_across_attempts(hand: Hand) -> None:
    line = f"""for n in 1 2 3; do {note("$MLEX_ATTEMPT$n")}; done
printf '{{"kind": "note", "values": {{"torn' >> events.jsonl
test "$MLEX_ATTEMPT" = 2 || kill -9 $PPID; sleep 0.1"""
    job = await hand.until_ended(await hand.submit(spec("/bin/sh", "-c", line, retries=1)))
    assert (job.state, job.attempt) == (JobState.DONE, 2)
    assert [said["n"] for said in await hand.said(job, "note")] == [11, 12, 13, 21, 22, 23]


async def test_a_supervisor_that_is_replaced_in_between_takes_in_nothing_twice(hand: Hand) -> None:
    line = f"for n in 1 2 3 4 5 6; do {note('$n')}; sleep 0.1; done"
    job = await hand.submit(spec("/bin/sh", "-c", line))
    for number in (1, 3, 5):

        async def said_so_far(number: int = number) -> bool:
            return len(await hand.said(job, "note")) >= number

        await hand.until(said_so_far)
        hand.reign()
    assert (await hand.until_ended(job)).state == JobState.DONE
    assert [said["n"] for said in await hand.said(job, "note")] == [1, 2, 3, 4, 5, 6]
