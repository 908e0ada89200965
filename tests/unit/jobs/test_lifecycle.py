"""The life of a job: with real runs, moved a look at a time, whatever lies or is full in between."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import NotFound, TargetError
from mlex_jupyter.store.tables import jobs
from mlex_jupyter.targets import Seen, Target
from mlex_jupyter.types import Job, JobState
from tests.engine import Hand, fill, settings_of, small_disk, spec
from tests.servers import end_processes_of

SLEEP = ("/bin/sleep", "600")


pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
async def hand(home: Path) -> AsyncIterator[Hand]:
    mlex = Mlex(settings_of(home, stop_grace_s=0.5))
    yield Hand(mlex)
    end_processes_of(home)
    mlex.close()


def state_file(hand: Hand, job: Job) -> dict[str, object]:
    return dict(json.loads((hand.jobs.folder(job.id).path / "state.json").read_text()))


def note(number: str) -> str:
    """A shell's way to tell of a number."""
    return rf"""echo "{{\"kind\": \"note\", \"values\": {{\"n\": {number}}}}}" >> events.jsonl"""


def pid(job: Job) -> int:
    assert job.native_id is not None
    return int(job.native_id.partition("@")[0])


# ---------------------------------------------------------------- the straight way


async def test_a_job_goes_from_waiting_to_done_and_tells_of_each_step(hand: Hand) -> None:
    line = """echo '{"kind": "epoch", "values": {"dice": 0.5}}' >> events.jsonl"""
    job = await hand.until_ended(await hand.submit(spec("/bin/sh", "-c", line)))
    assert (job.state, job.exit_code, job.attempt, job.reason) == (JobState.DONE, 0, 1, None)
    assert job.started is not None
    assert job.ended is not None
    assert job.started <= job.ended
    assert job.metrics == {"dice": 0.5}
    states = [said["state"] for said in await hand.said(job)]
    assert list(dict.fromkeys(states)) == ["queued", "running", "done"], "however short it was"
    everything = await hand.mlex.event_stream.after(0, subject=job.id)
    assert everything[0].kind == "submitted"
    assert everything[-1].values["state"] == "done", "what the run said comes before its end"
    assert state_file(hand, job)["state"] == "done"
    assert not await hand.life.look(), "nothing is left to do"


async def test_a_failure_is_told_in_the_runs_own_words_and_not_repeated(hand: Hand) -> None:
    job = await hand.until_ended(await hand.submit(spec("/bin/sh", "-c", "exit 7", retries=3)))
    assert (job.state, job.attempt, job.message) == (JobState.FAILED, 1, "The command ended with exit code 7.")


async def test_jobs_wait_for_cores_and_say_so(hand: Hand) -> None:
    first = await hand.submit(spec(*SLEEP, cpus=3))
    second = await hand.submit(spec("/bin/true", cpus=2))
    await hand.until_state(first, JobState.RUNNING)
    waiting = await hand.jobs.get(second.id)
    assert (waiting.state, waiting.reason) == (JobState.WAITING, "3 of 4 cores are in use (Resources)")
    await hand.jobs.cancel(first.id)
    await hand.until_state(second, JobState.DONE)


async def test_a_large_job_is_not_overtaken_for_ever_by_small_ones(hand: Hand) -> None:
    first = await hand.submit(spec(*SLEEP, cpus=3))
    large = await hand.submit(spec("/bin/true", cpus=4))
    small = await hand.submit(spec("/bin/true", cpus=1))
    await hand.until_state(first, JobState.RUNNING)
    assert (await hand.jobs.get(small.id)).reason == "behind older jobs (Priority)"
    await hand.jobs.cancel(first.id)
    await hand.until_state(large, JobState.DONE)
    await hand.until_state(small, JobState.DONE)


async def test_a_target_that_is_gone_for_a_while_changes_no_state(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await hand.submit(spec(*SLEEP))
    await hand.until_state(job, JobState.RUNNING)
    with monkeypatch.context() as gone:
        gone.setattr(hand.life.targets, "get", _no_target)
        await hand.jobs.cancel(job.id)
        for _ in range(20):
            await hand.life.look()
        assert (await hand.jobs.get(job.id)).state == JobState.RUNNING
    assert (await hand.until_ended(job)).state == JobState.CANCELLED


async def test_what_an_unrecorded_attempt_left_running_does_not_meet_the_next(hand: Hand) -> None:
    line = "echo $MLEX_ATTEMPT >> ledger; (while :; do sleep 0.05; echo $MLEX_ATTEMPT >> alive; done) & wait"
    job = await hand.submit(spec("/bin/sh", "-c", line, retries=1))
    running = await hand.until_state(job, JobState.RUNNING)
    folder = hand.jobs.folder(job.id).path

    async def second() -> bool:
        return (folder / "ledger").exists() and (folder / "ledger").read_text() == "1\n2\n"

    while not (folder / "alive").exists():
        await asyncio.sleep(0.02)
    os.kill(pid(running), signal.SIGKILL)
    hand.store.write_now(lambda tx: tx.execute(jobs.update().values(native_id=None)))  # as if its answer was lost
    hand.reign()
    await hand.until(second)
    (folder / "alive").unlink()
    await asyncio.sleep(0.3)
    assert set((folder / "alive").read_text().split()) == {"2"}
    await hand.jobs.cancel(job.id)
    await hand.until_ended(job)


def _no_target(name: str) -> Target:
    raise NotFound(f"There is no target {name!r}.")


async def test_a_job_follows_others_once_they_are_done(hand: Hand) -> None:
    first = await hand.submit(spec("/bin/sleep", "0.3", name="first"))
    second = await hand.submit(spec("/bin/true", after=("first",)))
    await hand.until_state(first, JobState.RUNNING)
    assert (await hand.jobs.get(second.id)).reason == "after first (Dependency)"
    done = await hand.until_ended(second)
    before = await hand.jobs.get(first.id)
    assert before.ended is not None
    assert done.started is not None
    assert before.ended <= done.started
    assert done.state == JobState.DONE


async def test_what_follows_a_failure_is_cancelled_and_says_why_down_the_chain(hand: Hand) -> None:
    await hand.submit(spec("/bin/false", name="first"))
    await hand.submit(spec("/bin/true", name="second", after=("first",)))
    third = await hand.until_ended(await hand.submit(spec("/bin/true", after=("second",))))
    second = await hand.jobs.get("second")
    assert (second.state, second.attempt) == (JobState.CANCELLED, 0)
    assert second.reason == "first, which it was to follow, is failed (Dependency)"
    assert third.reason == "second, which it was to follow, is cancelled (Dependency)"


# ---------------------------------------------------------------- cancel and resume


async def test_what_has_not_begun_is_cancelled_without_a_run(hand: Hand) -> None:
    job = await hand.submit(spec())
    await hand.jobs.cancel(job.id)
    ended = await hand.until_ended(job)
    assert (ended.state, ended.attempt, ended.reason) == (JobState.CANCELLED, 0, "cancelled before it began")
    assert not hand.jobs.folder(job.id).path.exists()


async def is_gone(process: int) -> bool:
    return not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE


async def test_a_cancelled_run_ends_and_goes_on_when_resumed(hand: Hand) -> None:
    line = 'echo $MLEX_ATTEMPT >> checkpoint/saved; test "$MLEX_ATTEMPT" = 2 || sleep 600'
    job = await hand.submit(spec("/bin/sh", "-c", line))
    running = await hand.until_state(job, JobState.RUNNING)
    saved = hand.jobs.folder(job.id).checkpoint / "saved"

    async def has_saved() -> bool:
        return saved.exists()

    await hand.until(has_saved)
    await hand.jobs.cancel(job.id)
    assert (await hand.until_ended(job)).state == JobState.CANCELLED
    await hand.until(partial(is_gone, pid(running)))
    assert saved.read_text() == "1\n", "what it saved is kept"
    await hand.jobs.resume(job.id)
    done = await hand.until_ended(job)
    assert (done.state, done.attempt) == (JobState.DONE, 2)
    assert saved.read_text() == "1\n2\n"


async def test_a_run_that_does_not_listen_is_ended_after_the_grace(hand: Hand) -> None:
    line = "trap '' TERM; touch begun; while :; do sleep 0.05; done"
    job = await hand.submit(spec("/bin/sh", "-c", line))
    begun = hand.jobs.folder(job.id).path / "begun"

    async def has_begun() -> bool:
        return begun.exists()

    await hand.until(has_begun)
    await hand.jobs.cancel(job.id)
    ended = await hand.until_ended(job)
    assert ended.state == JobState.CANCELLED
    assert "SIGKILL" in (ended.reason or "")


async def test_a_run_that_finished_before_it_heard_of_the_cancel_is_done(hand: Hand) -> None:
    job = await hand.submit(spec("/bin/true"))
    folder = hand.jobs.folder(job.id)
    await hand.until_state(job, JobState.QUEUED, JobState.RUNNING)
    while folder.result() is None:
        await asyncio.sleep(0.02)
    await hand.jobs.cancel(job.id)
    assert (await hand.until_ended(job)).state == JobState.DONE


async def test_failed_resumed_and_failed_again_it_counts_its_attempts(hand: Hand) -> None:
    job = await hand.submit(spec("/bin/sh", "-c", 'test "$MLEX_ATTEMPT" = 3'))
    for attempt in (1, 2):
        failed = await hand.until_ended(job)
        assert (failed.state, failed.attempt) == (JobState.FAILED, attempt)
        await hand.jobs.resume(job.id)
    done = await hand.until_ended(job)
    assert (done.state, done.attempt, done.message, done.hint) == (JobState.DONE, 3, None, None)


# ---------------------------------------------------------------- what is wrong with one stops no other


HOSTILE = {
    "echo nonsense > result.json": JobState.FAILED,
    'cd /; rm -rf "$MLEX_JOB_FOLDER"': JobState.FAILED,
    "rm -f events.jsonl": JobState.DONE,
    "rm -f events.jsonl; mkdir events.jsonl": JobState.DONE,
    "rm -f events.jsonl; mkfifo events.jsonl": JobState.DONE,
    "rm -f events.jsonl; ln -s /dev/zero events.jsonl": JobState.DONE,
    r"""printf '\377\376\n[[[[\nnull\n{"kind":[],"values":1}\n' >> events.jsonl""": JobState.DONE,
    "rm -f log.txt; mkdir log.txt": JobState.DONE,
    "rm -f state.json; mkdir state.json": JobState.DONE,
}
"""What a command may do to its own folder, and how its job ends."""


async def test_commands_that_spoil_their_own_folder_harm_nobody_else(hand: Hand) -> None:
    spoiling = {line: await hand.submit(spec("/bin/sh", "-c", f"{line}; true")) for line in HOSTILE}
    good = await hand.submit(spec("/bin/sh", "-c", "echo fine"))
    assert (await hand.until_ended(good)).state == JobState.DONE
    for line, expected in HOSTILE.items():
        ended = await hand.until_ended(spoiling[line])
        assert ended.state == expected, (line, ended)
        assert (ended.message is not None) == (expected == JobState.FAILED)


async def test_a_folder_that_is_a_link_is_not_written_to(hand: Hand, tmp_path: Path) -> None:
    job = await hand.submit(spec("/bin/true"))
    place = hand.jobs.folder(job.id).path
    place.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    ended = await hand.until_ended(job)
    assert ended.state == JobState.FAILED
    assert "not a job folder of this user" in (ended.message or "")
    assert [file.name for file in (tmp_path / "elsewhere").iterdir()] in ([], ["state.json"])


async def test_a_target_that_does_not_answer_changes_no_state(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    local = hand.targets.get("local")
    job = await hand.submit(spec("/bin/true"))
    answers = {"submit": 2, "states": 3}

    def sometimes(name: str):
        really = getattr(local, name)

        async def call(*arguments, **options):
            if answers[name]:
                answers[name] -= 1
                raise TargetError("It does not answer.", transient=True)
            return await really(*arguments, **options)

        return call

    for name in answers:
        monkeypatch.setattr(local, name, sometimes(name))
    done = await hand.until_ended(job)
    assert (done.state, done.attempt) == (JobState.DONE, 1)
    assert answers == {"submit": 0, "states": 0}


async def test_a_target_that_refuses_fails_the_job_in_its_words(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> str:
        raise TargetError("Your account has expired.", hint="Ask for another.")

    monkeypatch.setattr(hand.targets.get("local"), "submit", refuse)
    job = await hand.until_ended(await hand.submit(spec("/bin/true")))
    assert (job.state, job.message, job.hint) == (JobState.FAILED, "Your account has expired.", "Ask for another.")


async def test_a_fault_of_ours_ends_one_job_and_no_other(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    local = hand.targets.get("local")
    really = local.states

    async def states(native_ids):
        seen = dict(await really(native_ids))
        return {native: Seen(state=JobState.RUNNING) for native in seen} if seen else seen

    broken = await hand.submit(spec(*SLEEP))
    await hand.until_state(broken, JobState.RUNNING)
    judge = hand.life._judge

    async def stumbles(row, seen) -> None:
        if row.id == broken.id:
            raise ZeroDivisionError("division by zero")
        await judge(row, seen)

    monkeypatch.setattr(local, "states", states)
    monkeypatch.setattr(hand.life, "_judge", stumbles)
    good = await hand.submit(spec("/bin/true"))
    assert (await hand.until_ended(good)).state == JobState.DONE
    ended = await hand.until_ended(broken)
    assert ended.state == JobState.FAILED
    assert "ZeroDivisionError" in (ended.message or "")
    assert "supervisor.log" in (ended.hint or "")


@pytest.mark.needs("mount")
async def test_on_a_full_disk_jobs_wait_and_go_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        home = disk / "home"
        hand = Hand(Mlex(settings_of(home)))
        for _ in range(40):  # so that the database has room of its own
            hand.store.write_now(lambda tx: None)
        job = await hand.submit(spec("/bin/true", name="thirsty"))
        filler = fill(disk)
        for _ in range(3):
            try:
                await hand.life.look()
            except Exception as error:
                assert "disk is full" in str(error)
        stuck = await hand.jobs.get(job.id)
        assert not stuck.state.final
        filler.unlink()
        assert (await hand.until_ended(job)).state == JobState.DONE
        assert [said["state"] for said in await hand.said(job)].count("done") == 1
        end_processes_of(home)
        hand.mlex.close()
