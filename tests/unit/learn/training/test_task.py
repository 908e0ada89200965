"""Training, as the process that a job is: what it leaves, how it stops and goes on, and what it says to bad inputs."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from PIL import Image
from safetensors.numpy import load_file

from mlex_jupyter.errors import MlexError
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.run import FAILED, STOPPED
from mlex_jupyter.learn.training.judge import judge
from mlex_jupyter.learn.training.steps import rate
from mlex_jupyter.learn.training.task import finish, train, training_of
from mlex_jupyter.types import ClassInfo, Dataset, JobState, LabelSet, Trained
from tests.learning import dataset, events, label_set, run, small_sample, start, train_job


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, LabelSet]:
    folder = tmp_path_factory.mktemp("inputs") / "sample"
    sample = small_sample(folder)
    return dataset(folder / "volume.zarr"), label_set(folder / "scribbles.zarr", sample.classes)


Inputs = tuple[Dataset, LabelSet]


def written(path: Path, values: np.ndarray) -> Path:
    zarr.create_array(path, data=values, chunks=(1, *values.shape[1:]))
    return path


def test_a_training_leaves_weights_pictures_and_all_that_prediction_needs(tmp_path: Path, inputs: Inputs) -> None:
    folder = train_job(tmp_path / "run-1", *inputs, "tunet")
    assert run(folder) == 0, folder.log.read_text()
    result = folder.result()
    assert result is not None
    assert {output.kind: output.ref for output in result.outputs} == {
        "weights": "weights.safetensors",
        "picture": "picture.png",
        "slices": "labelled-slices.zarr",
    }
    assert {output.derived_from for output in result.outputs} == {("ds-1", "ls-1", "run-1")}
    assert result.outputs[-1].name == "Prediction of its 3 labelled slices"
    assert {"dice", "dice/Pore", "dice/Grain", "val_loss"} <= result.metrics.keys()
    model = Trained.model_validate_json((folder.path / "model.json").read_bytes())
    assert [one.name for one in model.classes] == ["Pore", "Grain", "Binder", "Heavy mineral"]
    assert load_file(folder.path / model.weights)
    segmented = zarr.open_array(folder.path / "labelled-slices.zarr", mode="r")
    assert list(segmented.attrs["z"]) == list(inputs[1].slices)
    assert set(np.unique(segmented[:])) <= {1, 2, 3, 4}
    for shown in ("picture.png", "pictures/epoch-0001.png", "pictures/epoch-0002.png"):
        with Image.open(folder.path / shown) as image:
            assert image.width <= (1024 if shown == "picture.png" else 512)
    assert [one["path"] for one in events(folder, "picture")] == ["pictures/epoch-0001.png", "pictures/epoch-0002.png"]
    assert [one["epoch"] for one in events(folder, "epoch")] == [1, 2]
    assert events(folder, "metrics")
    assert events(folder, "progress")[-1]["fraction"] == 1
    assert "3 labelled slices → 8 crops of 32 × 32 an epoch" in folder.log.read_text()


def test_a_training_that_is_killed_and_goes_on_comes_to_the_same_bits(tmp_path: Path, inputs: Inputs) -> None:
    straight = train_job(tmp_path / "straight", *inputs, dropout=0.2, epochs=3)
    assert run(straight) == 0
    broken = train_job(tmp_path / "broken", *inputs, dropout=0.2, epochs=3)
    assert run(broken, MLEX_FAILPOINTS="checkpoint.written=1") == -signal.SIGKILL
    assert run(broken, 2) == 0
    assert "Going on from epoch 1, step 4" in broken.log.read_text()
    one, other = (load_file(folder.path / "weights.safetensors") for folder in (straight, broken))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert straight.result().metrics == broken.result().metrics  # type: ignore[union-attr]


def test_asked_to_stop_it_saves_in_mid_epoch_and_goes_on_there(tmp_path: Path, inputs: Inputs) -> None:
    folder = train_job(tmp_path / "run-1", *inputs, epochs=1, steps_per_epoch=400)
    process = start(folder)
    deadline = time.monotonic() + 60
    while not events(folder, "metrics"):
        assert time.monotonic() < deadline and process.poll() is None, folder.log.read_text()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == STOPPED
    ending = folder.ending(1)
    assert ending is not None
    assert (ending.state, ending.message) == (JobState.CANCELLED, "Stopped at epoch 1; its checkpoint is kept.")
    resumed = start(folder, 2)
    while "Going on from epoch 0, step" not in folder.log.read_text():
        assert time.monotonic() < deadline and resumed.poll() is None, folder.log.read_text()
        time.sleep(0.05)
    resumed.send_signal(signal.SIGTERM)
    assert resumed.wait(60) == STOPPED


def test_two_dimensional_data_classes_with_gaps_and_crops_that_do_not_fit_are_no_trouble(
    tmp_path: Path, inputs: Inputs
) -> None:
    z = inputs[1].slices[1]
    picture = np.asarray(zarr.open_array(inputs[0].uri, mode="r")[z])[:61, :53]
    painted = np.asarray(zarr.open_array(inputs[1].uri, mode="r")[z])[:61, :53] * 50
    data = dataset(written(tmp_path / "picture.zarr", picture), axes="yx")
    classes = tuple(one.model_copy(update={"value": one.value * 50}) for one in inputs[1].classes)
    labels = label_set(written(tmp_path / "painted.zarr", painted), classes)
    folder = train_job(tmp_path / "run-1", data, labels, patch=512, epochs=1)
    assert run(folder) == 0, folder.log.read_text()
    assert "Crops of 512 do not fit these slices and this network; 56 is used" in folder.log.read_text()
    found = np.asarray(zarr.open_array(folder.path / "labelled-slices.zarr", mode="r")[:])
    assert found.shape == (1, 61, 53)
    result = folder.result()
    assert result is not None
    assert result.outputs[-1].name == "Prediction of its labelled slice"
    assert set(np.unique(found)) <= set(np.unique(painted)) - {0}


def test_the_best_weights_are_kept_and_not_the_last(tmp_path: Path, inputs: Inputs) -> None:
    for seed in range(8):
        folder = train_job(tmp_path / f"run-{seed}", *inputs, epochs=6, learning_rate=0.5, seed=seed)
        attempt = Attempt(folder, folder.job(), 1)
        training = training_of(attempt)
        training.run()
        scores = [one["dice"] for one in events(folder, "epoch")]
        if max(scores) > scores[-1]:  # a rate this high does harm sooner or later
            break
    else:
        pytest.fail("The last epoch was always the best, which shows nothing.")
    result = finish(attempt, training)
    kept = {name: torch.from_numpy(value) for name, value in load_file(folder.path / "weights.safetensors").items()}
    training.state.network.load_state_dict(kept)
    weights = training.crops.weights()
    judged = judge(training.state.network, training.labelled, training.fit, training.device, weights)
    assert result.metrics["dice"] == pytest.approx(max(scores), abs=1e-4)
    assert judged.dice == pytest.approx(max(scores), abs=1e-4)


def test_with_too_few_labels_to_keep_any_apart_the_newest_weights_are_kept(tmp_path: Path, inputs: Inputs) -> None:
    data, _ = inputs
    values = np.zeros(data.shape, np.uint8)
    values[2, 10:14, 10:14] = 1
    values[2, 18:22, 18:22] = 2
    classes = tuple(ClassInfo(value=n, name=f"class {n}", color="#000000") for n in (1, 2))
    folder = train_job(tmp_path / "run-1", data, label_set(written(tmp_path / "labels", values), classes), epochs=2)
    assert run(folder) == 0, folder.log.read_text()
    assert [event["dice"] for event in events(folder, "epoch")] == [None] * len(events(folder, "epoch"))
    assert "too few labels" in folder.log.read_text()
    result = folder.result()
    assert result is not None and "dice" not in result.metrics


def broken_inputs(kind: str, inputs: Inputs, folder: Path) -> Inputs:
    data, labels = inputs
    grey = np.asarray(zarr.open_array(data.uri, mode="r")[:])
    painted = np.asarray(zarr.open_array(labels.uri, mode="r")[:])
    match kind:
        case "unlabelled":
            painted[:] = 0
        case "one class":
            painted[painted > 1] = 0
        case "another shape":
            painted = painted[:, :32]
        case "strange value":
            painted[painted == 2] = 9
        case "constant":
            grey[:] = 7
        case "not a number":
            grey = grey.astype(np.float32)
            grey[labels.slices[0], 5, 5] = np.nan
    data = dataset(written(folder / "grey.zarr", grey))
    return data, label_set(written(folder / "painted.zarr", painted), labels.classes)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("unlabelled", "scribbles has no labelled pixels."),
        ("one class", "scribbles has labels of one class only, Pore."),
        ("another shape", "scribbles has the shape (8, 32, 64); the volume's slices make (8, 64, 64)."),
        ("strange value", "scribbles has pixels of the value 9, which no class has."),
        ("constant", "The volume has one value everywhere, 7."),
        ("not a number", "of the volume has values that are not numbers."),
    ],
)
def test_bad_inputs_are_one_plain_sentence_with_a_hint(tmp_path: Path, inputs: Inputs, kind: str, message: str) -> None:
    folder = train_job(tmp_path / "run-1", *broken_inputs(kind, inputs, tmp_path))
    with pytest.raises(MlexError) as error:
        train(Attempt(folder, folder.job(), 1))
    assert message in error.value.message
    assert error.value.hint


def test_a_bad_input_ends_the_process_as_a_failure_in_the_same_words(tmp_path: Path, inputs: Inputs) -> None:
    folder = train_job(tmp_path / "run-1", *broken_inputs("one class", inputs, tmp_path))
    assert run(folder) == FAILED
    ending = folder.ending(1)
    assert ending is not None
    assert ending.message == "scribbles has labels of one class only, Pore."


def test_the_rate_rises_and_then_falls_to_nearly_nothing() -> None:
    rates = [rate("cosine", step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.02
