"""An encoder that learned without labels, from the wish to a training that begins with it."""

from __future__ import annotations

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import JobSpec, JobState, PredictTask, PretrainTask, TrainTask
from tests.engine import Hand

QUICK = {"epochs": 1, "steps_per_epoch": 2, "batch": 4, "patch": 32, "base_channels": 4, "depth": 3}


@pytest.fixture
def hand(mlex: Mlex) -> Hand:
    return Hand(mlex)


def learn(model: str = "unet", **given: object) -> JobSpec:
    about = {"model": model, "data": "sand-tomo", "params": QUICK, **given}
    return JobSpec(task=PretrainTask.model_validate(about))


def begin(**given: object) -> JobSpec:
    params = {"epochs": 1, "steps_per_epoch": 2, "batch": 2, "patch": 32}
    about = {"model": "unet", "data": "sand-tomo", "labels": "scribbles", "params": params, **given}
    return JobSpec(task=TrainTask.model_validate(about), name="run")


@pytest.mark.usefixtures("knowing")
async def test_an_encoder_is_published_and_a_training_begins_with_it(hand: Hand, mlex: Mlex) -> None:
    await mlex.sample(size=64, slices=8)
    asked = await hand.submit(learn())
    assert asked.name.startswith("unet-encoder")
    assert asked.spec.task.params["temperature"] == 0.2  # type: ignore[union-attr]
    encoder = await hand.until_ended(asked)
    assert encoder.state == JobState.DONE, encoder.message
    model = await mlex.publish(encoder.id, "my-encoder")
    assert (model.task, model.classes, model.labels) == ("embedding", (), "")
    assert [entry.name for entry in await mlex.models("*", task="embedding")] == ["my-encoder"]

    training = await hand.submit(begin(start="my-encoder"))
    assert training.spec.task.start == "my-encoder@1"  # type: ignore[union-attr]
    assert training.spec.task.params["base_channels"] == 4  # type: ignore[union-attr]
    training = await hand.until_ended(training)
    assert training.state == JobState.DONE, training.message
    assert "It begins with weights that are there" in hand.jobs.folder(training.id).log.read_text()
    child = await mlex.publish(training.id, "pores")
    assert child.parent == model.id
    assert {model.id, encoder.id, training.id} <= {node.id for node in (await mlex.lineage(child.id)).nodes}

    with pytest.raises(Invalid, match="knows of no classes") as refused:
        await hand.submit(JobSpec(task=PredictTask(model="my-encoder", data="sand-tomo")))
    assert "--start my-encoder" in (refused.value.hint or "")
    assert not (await mlex.fits("my-encoder", data="sand-tomo")).fits


@pytest.mark.usefixtures("knowing")
async def test_what_cannot_be_is_refused_at_once_and_in_words(hand: Hand, mlex: Mlex) -> None:
    await mlex.sample(size=64, slices=8)
    with pytest.raises(Invalid, match="msdnet has no encoder") as refused:
        await hand.submit(learn("msdnet", params={}))
    assert "unet" in (refused.value.hint or "") and "msdnet" not in (refused.value.hint or "")
    with pytest.raises(Invalid, match="unet has no parameter 'class_weights'"):
        await hand.submit(learn(params={"class_weights": "equal"}))
    encoder = await hand.until_ended(await hand.submit(learn()))
    flatter = begin(start=encoder.id, params={"depth": 2, "epochs": 1, "steps_per_epoch": 2, "patch": 32})
    failed = await hand.until_ended(await hand.submit(flatter))
    assert failed.state == JobState.FAILED and "do not fit this network" in (failed.message or "")
    with pytest.raises(Invalid, match="is a unet, with whose weights no tunet can begin"):
        await hand.submit(begin(model="tunet", start=encoder.id))
