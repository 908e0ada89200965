"""What people want of jobs: acknowledged once and kept, refused in words, found by name, cancelled and resumed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.jobs.looking import LOG_AT_ONCE
from mlex_jupyter.jobs.search import Sought
from mlex_jupyter.store.tables import jobs
from mlex_jupyter.types import Job, JobSpec, JobState, PredictTask, RunTask, TrainTask
from tests.engine import python, settings_of, spec

OWNER = "tester"


pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
async def engine(home: Path) -> AsyncIterator[Mlex]:
    """The engine of that home, with nobody to move its jobs."""
    mlex = Mlex(settings_of(home))
    yield mlex
    mlex.close()


def put(mlex: Mlex, job: Job, **values: object) -> None:
    """As if the supervisor had said so of a job, ended or not."""
    mlex.store.write_now(lambda tx: tx.execute(jobs.update().where(jobs.c.id == job.id).values(**values)))


# ---------------------------------------------------------------- asking


async def test_an_acknowledged_job_is_in_the_database_with_everything_it_needs(engine: Mlex) -> None:
    job = await engine.job_list.submit(spec("echo", "hello"), OWNER)
    assert (job.state, job.name, job.attempt, job.owner) == (JobState.WAITING, "run-01", 0, OWNER)
    assert job.spec.name == "run-01"
    again = Mlex(engine.settings)
    assert await again.job_list.get(job.id) == job
    (event,) = await again.event_stream.after(0, subject=job.id)
    assert (event.kind, event.values["name"]) == ("submitted", "run-01")
    again.close()


async def test_what_was_acknowledged_survives_the_kill_of_who_acknowledged(home: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from mlex_jupyter.app import Mlex
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import JobSpec, RunTask
async def ask():
    mlex = Mlex(Settings.load(home=Path(sys.argv[1])))
    for number in range(10_000):
        job = await mlex.job_list.submit(JobSpec(task=RunTask(argv=("true",)), key=str(number)), "tester")
        print(job.id, flush=True)
asyncio.run(ask())
"""
    asking = python(program, home)
    assert asking.stdout is not None
    acknowledged = [asking.stdout.readline().strip() for _ in range(8)]
    os.kill(asking.pid, signal.SIGKILL)
    acknowledged += [line for line in asking.stdout.read().splitlines() if len(line) == len(acknowledged[0])]
    asking.wait()
    mlex = Mlex(settings_of(home))
    kept = [job.id for job in reversed(await mlex.job_list.list(limit=1000))]
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) <= len(acknowledged) + 1
    mlex.close()


async def test_names_count_up_and_a_given_name_is_kept(engine: Mlex) -> None:
    names = [(await engine.job_list.submit(spec(), OWNER)).name for _ in range(3)]
    assert names == ["run-01", "run-02", "run-03"]
    await engine.job_list.submit(spec(name="run-17"), OWNER)
    await engine.job_list.submit(spec(name="run-x"), OWNER)
    await engine.job_list.submit(spec(name="run-99999999999999999999"), OWNER)
    assert (await engine.job_list.submit(spec(), OWNER)).name == "run-18"


async def test_many_at_once_all_get_names_of_their_own(engine: Mlex) -> None:
    submitted = await asyncio.gather(*(engine.job_list.submit(spec(), OWNER) for _ in range(20)))
    assert len({job.id for job in submitted}) == len({job.name for job in submitted}) == 20


async def test_the_same_key_twice_is_one_job(engine: Mlex) -> None:
    first = await engine.job_list.submit(spec("true", key="k"), OWNER)
    again = await asyncio.gather(*(engine.job_list.submit(spec("true", key="k"), OWNER) for _ in range(5)))
    assert {job.id for job in again} == {first.id}
    assert len(await engine.job_list.list()) == 1


async def test_the_key_of_another_request_is_a_conflict(engine: Mlex) -> None:
    await engine.job_list.submit(spec("true", key="k", name="mine"), OWNER)
    assert (await engine.job_list.submit(spec("true", key="k", name="mine"), OWNER)).name == "mine"
    others = [spec("false", key="k", name="mine"), spec("true", key="k", name="other"), spec("true", cpus=2, key="k")]
    for other in others:
        with pytest.raises(Conflict, match="'k' was used for another request"):
            await engine.job_list.submit(other, OWNER)
    assert len(await engine.job_list.list()) == 1


async def test_a_key_belongs_to_its_owner(engine: Mlex) -> None:
    mine = await engine.job_list.submit(spec("true", key="k"), OWNER)
    yours = await engine.job_list.submit(spec("false", key="k"), "somebody-else")
    assert mine.id != yours.id


async def test_what_to_follow_is_found_by_name_and_kept_by_id(engine: Mlex) -> None:
    first = await engine.job_list.submit(spec(name="first"), OWNER)
    second = await engine.job_list.submit(spec(after=("first", first.id)), OWNER)
    assert second.spec.after == (first.id, first.id)
    with pytest.raises(NotFound, match="There is no run fist") as caught:
        await engine.job_list.submit(spec(after=("fist",)), OWNER)
    assert "first" in (caught.value.hint or "")


@pytest.mark.parametrize("more", [{"cpus": 5}, {"gpus": 1}])
async def test_what_can_never_fit_is_refused(engine: Mlex, more: dict[str, int]) -> None:
    with pytest.raises(Invalid, match="4 cores and 0 GPUs: the job would wait for ever"):
        await engine.job_list.submit(spec(**more), OWNER)
    assert await engine.job_list.list() == []


async def test_what_just_fits_is_taken(engine: Mlex) -> None:
    assert (await engine.job_list.submit(spec(cpus=4), OWNER)).state == JobState.WAITING


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (JobSpec(task=RunTask(argv=("true",)), target="locale"), "There is no target 'locale'"),
        (JobSpec(task=TrainTask(model="unet", data="nothing", labels="x")), "There is no dataset 'nothing'"),
        (JobSpec(task=PredictTask(model="nobody", data="nothing")), "There is no dataset 'nothing'"),
    ],
)
async def test_what_is_named_must_be_there(engine: Mlex, asked: JobSpec, error: str) -> None:
    with pytest.raises(NotFound, match=error) as caught:
        await engine.job_list.submit(asked, OWNER)
    assert caught.value.hint


async def test_a_prediction_needs_a_finished_training(engine: Mlex, tmp_path: Path) -> None:
    np.save(tmp_path / "volume.npy", np.zeros((2, 16, 16), np.uint8))
    await engine.catalog.register(str(tmp_path / "volume.npy"), name="data")
    await engine.job_list.submit(spec(name="run"), OWNER)
    with pytest.raises(Invalid, match="run is not a training"):
        await engine.job_list.submit(JobSpec(task=PredictTask(model="run", data="data")), OWNER)


async def test_a_volume_that_no_network_here_takes_is_refused(engine: Mlex, tmp_path: Path) -> None:
    np.save(tmp_path / "movie.npy", np.zeros((2, 3, 16, 16), np.uint8))
    await engine.catalog.register(str(tmp_path / "movie.npy"), name="movie", axes="zcyx")
    with pytest.raises(Invalid, match="axes zcyx"):
        await engine.job_list.submit(JobSpec(task=TrainTask(model="unet", data="movie", labels="x")), OWNER)


# ---------------------------------------------------------------- looking


async def test_a_run_is_found_by_id_or_the_newest_by_name(engine: Mlex) -> None:
    old = await engine.job_list.submit(spec(name="twin"), OWNER)
    new = await engine.job_list.submit(spec(name="twin"), OWNER)
    assert (await engine.job_list.get("twin")).id == new.id
    assert (await engine.job_list.get(old.id)).id == old.id


@pytest.mark.parametrize("name", ["", "twim", "'; DROP TABLE jobs; --", "a\nb", "\0", "x" * 5000, "%", "*", "$(id)"])
async def test_a_run_that_is_not_there_is_said_not_to_be(engine: Mlex, name: str) -> None:
    await engine.job_list.submit(spec(name="twin"), OWNER)
    with pytest.raises(NotFound) as caught:
        await engine.job_list.get(name)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 200
    assert caught.value.hint


async def test_the_newest_come_first_and_states_can_be_asked_for(engine: Mlex) -> None:
    asked = [await engine.job_list.submit(spec(), OWNER) for _ in range(3)]
    put(engine, asked[1], state=JobState.DONE)
    assert [job.id for job in await engine.job_list.list()] == [job.id for job in reversed(asked)]
    assert [job.id for job in await engine.job_list.list(Sought(state=JobState.DONE))] == [asked[1].id]
    assert len(await engine.job_list.list(limit=2)) == 2
    assert len(await engine.job_list.list(limit=10**30)) == 3
    with pytest.raises(Invalid, match="at least one"):
        await engine.job_list.list(limit=0)
    assert await engine.job_list.unfinished() == 2


async def test_a_log_is_read_in_pieces_of_whole_lines(engine: Mlex) -> None:
    job = await engine.job_list.submit(spec(), OWNER)
    assert (await engine.job_list.log(job.id)).text == ""
    folder = engine.job_list.folder(job.id)
    folder.path.mkdir(parents=True)
    folder.log.write_text("one\ntwo\nthr")
    first = await engine.job_list.log(job.id)
    assert (first.text, first.offset, first.final) == ("one\ntwo\n", 8, False)
    assert (await engine.job_list.log(job.id, 8)).text == ""
    folder.log.write_text("one\ntwo\nthree\nfour")
    assert (await engine.job_list.log(job.id, 8)).text == "three\n"
    put(engine, job, state=JobState.DONE)
    last = await engine.job_list.log(job.id, 8)
    assert (last.text, last.final) == ("three\nfour", True)
    assert (await engine.job_list.log(job.id, -4)).text == "four"
    assert (await engine.job_list.log(job.id, -(10**20))).text == "one\ntwo\nthree\nfour"
    assert (await engine.job_list.log(job.id, 10**20)).text == ""


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.DONE])
async def test_a_long_log_comes_whole_whatever_is_in_it(engine: Mlex, state: JobState) -> None:
    job = await engine.job_list.submit(spec(), OWNER)
    folder = engine.job_list.folder(job.id)
    folder.path.mkdir(parents=True)
    said = "".join(f"{number} Grüße 🌱 an alle\n" for number in range(LOG_AT_ONCE // 10))
    folder.log.write_text(said)
    put(engine, job, state=state)
    got, offset = "", 0
    while chunk := await engine.job_list.log(job.id, offset):
        got, offset = got + chunk.text, chunk.offset
        if not chunk.text or chunk.final:
            break
    assert got == said


async def test_bytes_that_are_no_text_are_shown_as_such(engine: Mlex) -> None:
    job = await engine.job_list.submit(spec(), OWNER)
    folder = engine.job_list.folder(job.id)
    folder.path.mkdir(parents=True)
    folder.log.write_bytes(b"a\xff\xfeb\n")
    assert (await engine.job_list.log(job.id)).text == "a\ufffd\ufffdb\n"


@pytest.mark.parametrize("state", list(JobState))
async def test_every_state_has_a_reason_in_words(engine: Mlex, state: JobState) -> None:
    job = await engine.job_list.submit(spec(), OWNER)
    put(engine, job, state=state)
    why = await engine.job_list.why(job.name)
    assert (why.state, why.job) == (state, job.id)
    assert why.reason.endswith(".")
    put(engine, job, message="It was Tuesday.", hint="Wait for Wednesday.")
    why = await engine.job_list.why(job.name)
    assert (why.reason, why.hints[0]) == ("It was Tuesday.", "Wait for Wednesday.")


# ---------------------------------------------------------------- wishes


@pytest.mark.parametrize("state", [state for state in JobState if not state.final])
async def test_what_has_not_ended_can_be_cancelled_twice_but_not_resumed(engine: Mlex, state: JobState) -> None:
    job = await engine.job_list.submit(spec(), OWNER)
    put(engine, job, state=state, attempt=1)
    assert (await engine.job_list.cancel(job.id)).state == state, "a wish is not its fulfilment"
    await engine.job_list.cancel(job.id)
    with pytest.raises(Conflict, match="already"):
        await engine.job_list.resume(job.id)


@pytest.mark.parametrize("state", [state for state in JobState if state.final])
async def test_what_has_ended_cannot_be_cancelled(engine: Mlex, state: JobState) -> None:
    job = await engine.job_list.submit(spec(), OWNER)
    put(engine, job, state=state)
    with pytest.raises(Conflict, match="nothing to cancel"):
        await engine.job_list.cancel(job.id)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.LOST])
async def test_what_ended_without_a_result_can_be_resumed_once(engine: Mlex, state: JobState) -> None:
    job = await engine.job_list.submit(spec(), OWNER)
    put(engine, job, state=state, attempt=1, message="It was Tuesday.", hint="Wait.", native_id="1@2", cancel=1)
    resumed = await engine.job_list.resume(job.name)
    assert (resumed.state, resumed.message, resumed.hint, resumed.native_id) == (JobState.WAITING, None, None, None)
    with pytest.raises(Conflict, match="waiting already"):
        await engine.job_list.resume(job.name)
    (event,) = [e for e in await engine.event_stream.after(0, subject=job.id) if e.values.get("reason") == "resumed"]
    assert event.values["state"] == "waiting"


async def test_what_is_done_stays_done(engine: Mlex) -> None:
    job = await engine.job_list.submit(spec(), OWNER)
    put(engine, job, state=JobState.DONE)
    with pytest.raises(Conflict, match="is done: there is nothing to resume"):
        await engine.job_list.resume(job.id)


async def test_the_file_of_a_job_is_all_it_needs(engine: Mlex) -> None:
    job = await engine.job_list.submit(spec("echo", "$(id)", "a\nb", "'"), OWNER)
    row = engine.store.read_now(lambda tx: tx.execute(jobs.select()).one())
    assert json.loads(json.dumps(row.file))["spec"]["task"]["argv"] == ["echo", "$(id)", "a\nb", "'"]
    assert row.file["id"] == job.id
