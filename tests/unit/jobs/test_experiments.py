"""Runs that belong together are counted and compared: only what differs, and the best marked."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import update

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid
from mlex_jupyter.faces.present import record_html, text
from mlex_jupyter.jobs.experiments import compare
from mlex_jupyter.store.tables import jobs
from mlex_jupyter.types import Job, JobSpec, JobState, RunTask, TrainTask, now


def run(name: str, dice: float | None = None, *, batch: int = 8, target: str = "local", **params: object) -> Job:
    task = TrainTask(model="unet", data="sand", labels="scribbles", params={"batch": batch, "epochs": 4, **params})
    metrics = {} if dice is None else {"dice": dice, "dice/pore": dice / 2, "val_loss": 1 - dice, "fraction/pore": dice}
    return Job(
        id=f"run-{name}", name=name, spec=JobSpec(task=task, target=target), owner="tester", state=JobState.DONE,
        attempt=1, submitted=now(), metrics=metrics,
    )  # fmt: skip


def test_only_what_differs_is_shown() -> None:
    found = compare([run("a", 0.8), run("b", 0.9, batch=16), run("c", 0.9, depth=3)])
    assert {row.name: row.values for row in found.differences} == {"batch": (8, 16, 8), "depth": (None, None, 3)}
    assert found.same > 5
    assert compare([run("a"), run("b")]).differences == ()


def test_the_best_is_the_highest_dice_and_the_lowest_loss_and_of_a_share_there_is_none() -> None:
    found = {row.name: row.best for row in compare([run("a", 0.8), run("b", 0.9), run("c", 0.9), run("d")]).metrics}
    assert found == {"dice": (1, 2), "dice/pore": (1, 2), "val_loss": (1, 2), "fraction/pore": ()}
    assert all(not row.best for row in compare([run("a", 0.8), run("d")]).metrics), "nothing to compare with"


def test_a_prediction_and_a_training_differ_in_all_that_only_one_of_them_has() -> None:
    script = run("s").model_copy(update={"spec": JobSpec(task=RunTask(argv=("echo", "a b")))})
    found = {row.name: row.values for row in compare([run("a"), script]).differences}
    assert found["kind"] == ("train", "run")
    assert found["argv"] == (None, "echo 'a b'")


@pytest.mark.parametrize("count", [0, 1, 21])
def test_too_few_or_too_many_cannot_be_compared(count: int) -> None:
    with pytest.raises(Invalid, match="cannot be compared"):
        compare([run(str(number)) for number in range(count)])


def test_it_is_shown_as_a_table_with_stars() -> None:
    found = compare([run("a", 0.8), run("b", 0.9, batch=16)])
    shown = text(found, 100)
    assert "★ 0.9" in shown and "batch" in shown and "epochs" not in shown
    assert "★ 0.9" in record_html(found)


async def test_experiments_are_counted_and_their_runs_listed_and_compared(each_database: str, mlex: Mlex) -> None:
    async def asked(name: str, experiment: str | None) -> Job:
        return await mlex.job_list.submit(
            JobSpec(name=name, experiment=experiment, task=RunTask(argv=("true", name))), "tester"
        )

    for name, experiment in (("a-1", "depths"), ("b-1", "widths"), ("a-2", "depths"), ("alone", None)):
        await asked(name, experiment)

    def ended(tx: object) -> None:
        for name, dice in (("a-1", 0.9), ("a-2", 0.7)):
            done = {"state": "done", "metrics": {"dice": dice}, "ended": time.time()}
            tx.execute(update(jobs).where(jobs.c.name == name).values(**done))  # type: ignore[attr-defined]

    await mlex.store.write(ended)
    depths, widths = await mlex.experiments()
    assert (depths.name, depths.runs, depths.done, depths.running, depths.best, depths.dice) == (
        "depths", 2, 2, 0, "a-1", 0.9
    )  # fmt: skip
    assert (widths.name, widths.runs, widths.done, widths.running, widths.best) == ("widths", 1, 0, 1, None)
    assert [job.name for job in await mlex.jobs(experiment="depths")] == ["a-2", "a-1"]
    found = await mlex.compare(experiment="depths")
    assert found.runs == ("a-2", "a-1")
    assert [row.best for row in found.metrics] == [(1,)]
    assert await mlex.compare(("a-2", "a-1")) == await mlex.compare(("a-2",), experiment="depths")
    with pytest.raises(Invalid, match="1 runs cannot"):
        await mlex.compare(experiment="widths")
    with pytest.raises(Invalid, match="experiment"):
        await mlex.run(("true",), experiment="a b")
