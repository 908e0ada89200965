"""Prediction, as the process that a job is: what it makes, how it goes on after a kill, and what it refuses."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from mlex_jupyter.errors import MlexError
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.predict import predict
from mlex_jupyter.learn.run import STOPPED
from mlex_jupyter.types import Dataset, JobState
from tests.learning import dataset, events, label_set, predict_job, run, small_sample, start, train_job

SLICES = 40


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, JobFolder]:
    folder = tmp_path_factory.mktemp("trained")
    sample = small_sample(folder / "sample", slices=SLICES, size=70)
    data = dataset(folder / "sample/volume.zarr").model_copy(update={"pixel_size": (2.0, 1.0, 1.0), "pixel_unit": "um"})
    labels = label_set(folder / "sample/scribbles.zarr", sample.classes)
    job = train_job(folder / "run-1", data, labels, steps_per_epoch=60, batch=4, base_channels=8, learning_rate=0.01)
    assert run(job) == 0, job.log.read_text()
    return data, job


def values(folder: JobFolder) -> np.ndarray:
    return np.asarray(zarr.open_array(folder.path / "prediction.zarr", mode="r")[:])


def test_a_prediction_is_a_dataset_with_classes_and_what_it_came_from(
    tmp_path: Path, trained: tuple[Dataset, JobFolder]
) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path)
    assert run(folder) == 0, folder.log.read_text()
    result = folder.result()
    assert result is not None and result.dataset is not None
    assert not result.outputs, "the supervisor lists the dataset once it is registered"
    made = result.dataset
    assert (made.id, made.name, made.reader, made.axes) == ("ds-run-2", "seg", "zarr", "zyx")
    assert (made.shape, made.chunks, made.dtype) == ((SLICES, 70, 70), (1, 70, 70), "uint8")
    assert made.derived_from == ("ds-1", "run-1")
    assert made.pixel_size == (2.0, 1.0, 1.0)
    assert [one.name for one in made.classes] == ["Pore", "Grain", "Binder", "Heavy mineral"]
    found = values(folder)
    assert len(np.unique(found)) == 4, "a network that says the same of every pixel would show nothing"
    for one in made.classes:
        assert result.metrics[f"fraction/{one.name}"] == pytest.approx(float((found == one.value).mean()), abs=1e-5)
    steps = events(folder, "progress")
    assert (steps[-1]["done"], steps[-1]["total"], steps[-1]["unit"]) == (SLICES, SLICES, "slice")


def test_the_slices_that_training_showed_come_out_the_same(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path)
    predict(Attempt(folder, folder.job(), 1))
    shown = zarr.open_array(model.path / "labelled-slices.zarr", mode="r")
    same = np.asarray(shown[:]) == values(folder)[np.asarray(shown.attrs["z"])]
    assert same.mean() > 0.999, "folding batch normalisation only rounds"


@pytest.mark.parametrize("place", ["predict.written", "predict.recorded"])
def test_a_killed_prediction_goes_on_and_comes_to_the_same_bytes(
    tmp_path: Path, trained: tuple[Dataset, JobFolder], place: str
) -> None:
    data, model = trained
    whole = predict_job(tmp_path / "whole", data, model.path)
    predict(Attempt(whole, whole.job(), 1))
    broken = predict_job(tmp_path / "broken", data, model.path)
    attempt = 1
    while run(broken, attempt, MLEX_FAILPOINTS=f"{place}=0.7") == -signal.SIGKILL:
        attempt += 1
        assert attempt < 40, "each kill loses one band at most, so it must come to an end"
    assert broken.result() is not None
    assert np.array_equal(values(whole), values(broken))
    assert broken.result().metrics == predict(Attempt(whole, whole.job(), 2)).metrics  # type: ignore[union-attr]


def test_asked_to_stop_it_keeps_what_is_done(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path)
    attempt = Attempt(folder, folder.job(), 1)
    attempt.stopping = True
    with pytest.raises(Exception, match="Stopped at slice 16 of 40; what is done is kept."):
        predict(attempt)
    again = Attempt(folder, folder.job(), 2)
    predict(again)
    assert "Going on at slice 16 of 40" in [one["text"] for one in events(folder, "note")]


def test_a_signal_ends_the_process_as_cancelled(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path)
    process = start(folder)
    deadline = time.monotonic() + 60
    while not events(folder, "progress"):
        assert time.monotonic() < deadline and process.poll() is None, folder.log.read_text()
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    if code:  # it may have been done already
        ending = folder.ending(1)
        assert code == STOPPED and ending is not None and ending.state is JobState.CANCELLED


def test_one_picture_is_segmented_too(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    data, model = trained
    picture = np.asarray(zarr.open_array(data.uri, mode="r")[3])
    zarr.create_array(tmp_path / "picture.zarr", data=picture)
    folder = predict_job(tmp_path / "run-2", dataset(tmp_path / "picture.zarr", axes="yx"), model.path)
    result = predict(Attempt(folder, folder.job(), 1))
    assert result.dataset is not None
    assert (result.dataset.axes, result.dataset.shape) == ("yx", (70, 70))
    assert values(folder).all()


def test_what_does_not_fit_is_refused_in_plain_words(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    data, model = trained
    stack = np.asarray(zarr.open_array(data.uri, mode="r")[:2])
    zarr.create_array(tmp_path / "colours.zarr", data=np.stack([stack, stack], axis=1))
    folder = predict_job(tmp_path / "run-2", dataset(tmp_path / "colours.zarr", axes="zcyx"), model.path)
    with pytest.raises(MlexError, match=r"The model takes 1 channel\(s\); sand-tomo has 2."):
        predict(Attempt(folder, folder.job(), 1))
    folder = predict_job(tmp_path / "run-3", data, model.path)
    job = folder.job()
    assert job.model is not None
    wider = job.model.model_copy(update={"params": {**job.model.params, "base_channels": 6}})
    with pytest.raises(MlexError, match="The weights do not fit unet"):
        predict(Attempt(folder, job.model_copy(update={"model": wider}), 1))
    gone = job.model.model_copy(update={"weights": "nowhere.safetensors"})
    with pytest.raises(MlexError, match="The model's weights are not at"):
        predict(Attempt(folder, job.model_copy(update={"model": gone}), 1))
