"""Several hosts, one PostgreSQL: one supervisor works, the others stand by, and commits are noticed everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlex_jupyter import lease
from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, Unavailable
from mlex_jupyter.settings import Settings
from mlex_jupyter.store import Store
from mlex_jupyter.store.databases import database_of
from mlex_jupyter.store.postgres import Postgres
from mlex_jupyter.types import JobState
from tests.engine import settings_of, spec, until
from tests.kills.processes import find
from tests.postgres import Cluster, running_cluster


@pytest.fixture
def shared(postgres: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home whose rows are in PostgreSQL."""
    monkeypatch.setenv("MLEX_DATABASE", postgres.database())
    return settings_of(home, idle_s=1)


@pytest.fixture
def mlex(shared: Settings) -> Iterator[Mlex]:
    engine = Mlex(shared)
    yield engine
    engine.close()


async def test_a_job_is_done_with_nothing_of_a_database_in_the_home(mlex: Mlex) -> None:
    job = await mlex.submit(spec("/bin/true"))
    assert (await mlex.wait(job.id)).state == JobState.DONE
    assert not list(mlex.settings.home.glob("mlex.db*"))


async def test_a_second_hosts_supervisor_stands_by_and_takes_over(mlex: Mlex) -> None:
    sole = mlex.store.database.sole()
    assert sole.take()
    job = await mlex.submit(spec("/bin/true"))
    await asyncio.sleep(3)
    assert find(mlex.settings.home, "supervisor"), "as long as there is work it waits"
    assert (await mlex.job(job.id)).state == JobState.WAITING
    sole.close()
    assert (await mlex.wait(job.id, timeout_s=30)).state == JobState.DONE
    await until(lambda: not lease.held(mlex.settings))


async def test_of_two_who_want_the_lock_one_has_it(shared: Settings) -> None:
    database = database_of(shared)
    one, two = database.sole(), database.sole()
    assert [one.take(), two.take(), one.take()] == [True, False, True]
    one.close()
    await until(two.take)  # PostgreSQL hears a moment later that a connection is gone
    two.close()


async def test_homes_in_schemas_of_their_own_do_not_meet(shared: Settings, postgres: Cluster) -> None:
    one, two = database_of(shared).sole(), Postgres(postgres.database()).sole()
    assert one.take() and two.take()
    one.close()
    two.close()


def test_ids_go_up_in_the_order_of_the_commits(shared: Settings) -> None:
    first, second = Store.open(shared), Store.open(shared)
    with first._writer.begin() as tx:
        held = tx.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted").scalar()
        assert held, "whoever writes holds the one writer's lock until it is committed"
        blocked = second._ask(lambda tx: None)
        with pytest.raises(TimeoutError):
            blocked.result(0.3)
    blocked.result(10)
    first.close()
    second.close()


@pytest.mark.parametrize("said", ["mysql://root@host/x", "nonsense", "postgres"])
def test_a_setting_that_names_no_postgresql_is_refused_in_words(home: Path, said: str) -> None:
    with pytest.raises(Invalid, match="no URL of a PostgreSQL") as caught:
        Store.open(settings_of(home, database=said))
    assert "postgresql://" in (caught.value.hint or "")


def test_a_server_that_is_not_there_is_said_without_the_password(home: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        Store.open(settings_of(home, database="postgresql://me:secret@127.0.0.1:1/x"))
    assert "secret" not in caught.value.message + (caught.value.hint or "")
    assert "PostgreSQL" in caught.value.message


@pytest.mark.needs("postgres")
async def test_a_server_that_was_away_is_used_again(home: Path) -> None:
    with running_cluster() as cluster:
        mlex = Mlex(settings_of(home, database=cluster.database()))
        job = await mlex.job_list.submit(spec("/bin/true"), "tester")
        mlex.store.version()
        cluster.stop("fast")
        with pytest.raises(Unavailable, match="does not"):
            await mlex.job(job.id)
        with pytest.raises(Unavailable, match="does not"):
            await mlex.cancel(job.id)
        cluster.start_again()
        assert (await mlex.job(job.id)).state == JobState.WAITING
        assert (await mlex.cancel(job.id)).id == job.id
        before = mlex.store.version()
        await mlex.job_list.submit(spec("/bin/true"), "tester")
        await until(lambda: mlex.store.version() != before)
        mlex.close()
