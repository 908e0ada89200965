"""Jobs are found among many by what they are, a page at a time; a damaged row hides no other and stops nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.jobs.rows import next_name
from mlex_jupyter.jobs.tracking import IN_FRONT, front
from mlex_jupyter.store.tables import jobs
from mlex_jupyter.types import JobState
from tests.engine import Hand, settings_of, spec

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
async def mlex(home: Path) -> AsyncIterator[Mlex]:
    engine = Mlex(settings_of(home))
    yield engine
    engine.close()


async def asked(mlex: Mlex, *names: str, owner: str = "tester") -> list[str]:
    return [(await mlex.job_list.submit(spec("true", name=name), owner)).id for name in names]


def put(mlex: Mlex, job: str, **values: object) -> None:
    mlex.store.write_now(lambda tx: tx.execute(update(jobs).where(jobs.c.id == job).values(**values)))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("tunet-*", ["tunet-02", "tunet-01"]), ("TUNET-0?", ["tunet-02", "tunet-01"]), ("a%b", []), ("a_b", ["a_b"])],
)
async def test_a_name_may_be_a_pattern(mlex: Mlex, pattern: str, names: list[str]) -> None:
    await asked(mlex, "tunet-01", "tunet-02", "unet-01", "a_b", "axb")
    assert [job.name for job in await mlex.jobs(pattern)] == names


async def test_filters_hold_together_and_are_counted(mlex: Mlex) -> None:
    ids = await asked(mlex, "one", "two", "three")
    await asked(mlex, "theirs", owner="somebody")
    put(mlex, ids[0], state="done", model="unet", data="sand")
    put(mlex, ids[1], state="failed", model="unet")
    assert [job.name for job in await mlex.jobs(model="unet", state=JobState.DONE)] == ["one"]
    assert [job.name for job in await mlex.jobs(owner="somebody")] == ["theirs"]
    assert [job.name for job in await mlex.jobs(data="sand", task="run")] == ["one"]
    assert await mlex.jobs(task="train") == []
    counts = await mlex.job_counts(model="unet")
    assert (counts.total, counts.done, counts.failed, counts.waiting) == (2, 1, 1, 0)
    assert (await mlex.job_counts()).total == 4


async def test_a_time_parts_the_earlier_from_the_later(mlex: Mlex) -> None:
    await asked(mlex, "job")
    (job,) = await mlex.jobs()
    later = job.submitted + timedelta(seconds=1)
    assert await mlex.jobs(submitted_since=later) == []
    assert await mlex.jobs(submitted_until=later) == [job]


async def test_pages_follow_one_another_without_a_gap_while_jobs_come(mlex: Mlex) -> None:
    ids = await asked(mlex, *(f"job-{number}" for number in range(7)))
    first = await mlex.jobs(limit=3)
    await asked(mlex, "newer")
    second = await mlex.jobs(limit=3, past=first[-1].id)
    third = await mlex.jobs(limit=3, past=second[-1].id)
    assert [job.id for job in (*first, *second, *third)] == ids[::-1]
    with pytest.raises(NotFound):
        await mlex.jobs(past="nobody")


async def test_what_an_older_version_wrote_is_found_too(mlex: Mlex) -> None:
    (job,) = await asked(mlex, "old")
    put(mlex, job, task=None)
    assert [found.name for found in await mlex.jobs(task="run")] == ["old"]


async def test_a_name_is_counted_on_without_reading_all_names(mlex: Mlex) -> None:
    names = [mlex.store.write_now(lambda tx: next_name(tx, "net")) for _ in range(3)]
    assert names == ["net-01", "net-02", "net-03"]
    await asked(mlex, "net-40", "net-12", "net-x")
    assert mlex.store.write_now(lambda tx: next_name(tx, "net")) == "net-41"


# ---------------------------------------------------------------- a damaged row


@pytest.mark.parametrize("file", ['{"no": "job"}', "null", "[]"])
async def test_a_job_that_cannot_be_read_is_shown_as_such_and_hides_no_other(mlex: Mlex, file: str) -> None:
    spoilt, sound = await asked(mlex, "spoilt", "sound")
    mlex.store.write_now(
        lambda tx: tx.execute(text("UPDATE jobs SET file = :file WHERE id = :id"), {"file": file, "id": spoilt})
    )
    newest, oldest = await mlex.jobs()
    assert (newest.id, oldest.id) == (sound, spoilt)
    assert "cannot be read" in (oldest.message or "")
    assert (await mlex.job("spoilt")).hint


async def test_the_supervisor_ends_it_and_goes_on_with_the_others(mlex: Mlex) -> None:
    spoilt, sound = await asked(mlex, "spoilt", "sound")
    put(mlex, spoilt, file={"no": "job"})
    hand = Hand(mlex)
    assert (await hand.until_ended(sound)).state == JobState.DONE
    row = mlex.store.read_now(lambda tx: tx.execute(jobs.select().where(jobs.c.id == spoilt)).one())
    assert (row.state, row.message) == ("failed", "What it was to do cannot be read any more.")


async def test_json_that_is_none_spoils_its_row_only(mlex: Mlex, each_database: str) -> None:
    spoilt, _ = await asked(mlex, "spoilt", "sound")
    spoil = text("UPDATE jobs SET file = '{\"half', metrics = 'x' WHERE id = :id")
    if each_database == "postgres":  # it takes no JSON that is none
        with pytest.raises(Invalid):
            mlex.store.write_now(lambda tx: tx.execute(spoil, {"id": spoilt}))
    else:
        mlex.store.write_now(lambda tx: tx.execute(spoil, {"id": spoilt}))
    assert [job.name for job in await mlex.jobs()] == ["sound", "spoilt"]


# ---------------------------------------------------------------- many that wait


async def test_however_many_wait_only_the_first_are_looked_at(mlex: Mlex) -> None:
    ids = await asked(mlex, *(f"job-{number}" for number in range(IN_FRONT + 5)))
    put(mlex, ids[-1], cancel=1)
    found = [row.id for row in mlex.store.read_now(front)]
    assert found == [*ids[:IN_FRONT], ids[-1]], "the first that wait, and what is wanted no more"
