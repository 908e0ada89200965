"""Trainings that begin with what a model has learned: what they take over, and what is written down of it."""

from __future__ import annotations

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.types import JobSpec, JobState, TrainTask
from tests.engine import Hand
from tests.learning import QUICK


@pytest.fixture
def hand(mlex: Mlex) -> Hand:
    return Hand(mlex)


def begin(**given: object) -> JobSpec:
    task = TrainTask.model_validate({"model": "unet", "data": "sand-tomo", "labels": "scribbles", **given})
    return JobSpec(task=task, name="run")


async def test_a_training_begins_with_a_published_model_and_the_next_version_says_so(hand: Hand, mlex: Mlex) -> None:
    await mlex.sample(size=64, slices=8)
    first = await hand.until_ended(await hand.submit(begin(params=QUICK)))
    assert first.state == JobState.DONE, first.message
    parent = await mlex.publish(first.id, "pores")
    again = await hand.submit(begin(start="pores", params={"epochs": 1, "steps_per_epoch": 2, "patch": 32}))
    assert again.spec.task.start == "pores@1"  # type: ignore[union-attr]
    assert again.spec.task.params["base_channels"] == QUICK["base_channels"]  # type: ignore[union-attr]
    again = await hand.until_ended(again)
    assert again.state == JobState.DONE, again.message
    assert "It begins with weights that are there" in (hand.jobs.folder(again.id).log.read_text())
    child = await mlex.publish(again.id, "pores")
    assert (child.version, child.parent) == (2, parent.id)
    above = {node.id for node in (await mlex.lineage(child.id)).nodes}
    assert {parent.id, first.id, again.id} <= above
    from_run = await hand.submit(begin(start=first.id, params={"epochs": 1}))
    assert from_run.spec.task.start == first.id  # type: ignore[union-attr]


async def test_what_cannot_be_begun_with_is_refused_at_once(hand: Hand, mlex: Mlex) -> None:
    await mlex.sample(size=64, slices=8)
    with pytest.raises(NotFound, match="no model and no run 'pores'"):
        await hand.submit(begin(start="pores"))
    first = await hand.until_ended(await hand.submit(begin(params=QUICK)))
    with pytest.raises(Invalid, match="is a unet, with whose weights no tunet can begin"):
        await hand.submit(begin(model="tunet", start=first.id))
