"""Prediction in three dimensions, as the process that a job is: slab by slab, killed, of some slices, in parts."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from mlex_jupyter.errors import MlexError
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt, Stopped
from mlex_jupyter.learn.model import DLSIAModel
from mlex_jupyter.learn.prediction import room
from mlex_jupyter.learn.prediction.task import Prediction, predict
from mlex_jupyter.types import Dataset, PredictTask
from tests.learning import dataset, events, label_set, predict_job, run, small_sample, train_job

SLICES, SIZE = 46, 39
NETWORKS = ("unet3d", "tunet3d")
Given = tuple[Dataset, JobFolder]


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("trained")
    sample = small_sample(folder / "sample", slices=SLICES, size=SIZE)
    data = dataset(folder / "sample/volume.zarr")
    labels = label_set(folder / "sample/scribbles.zarr", sample.classes)
    how: dict[str, Any] = {"depth": 2, "patch": 16, "steps_per_epoch": 30, "learning_rate": 0.02}
    job = train_job(folder / "run-1", data, labels, request.param, **how)
    assert run(job) == 0, job.log.read_text()
    return data, job


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little memory that the volume is cut into slabs, and slabs into tiles."""
    monkeypatch.setattr(room, "budget", lambda memory_gb, device: 4e6)


def values(folder: JobFolder, part: str = "prediction") -> np.ndarray:
    return np.asarray(zarr.open_group(folder.path / f"{part}.zarr", mode="r")["0"][...])


def said(folder: JobFolder) -> str:
    return "\n".join(one["text"] for one in events(folder, "note"))


def test_cut_into_slabs_and_tiles_it_is_what_the_whole_volume_gives(
    tmp_path: Path, trained: Given, little: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path, probabilities=True)
    result = predict(Attempt(folder, folder.job(), 1))
    assert "are computed with a halo of 12: exactly as the whole volume" in said(folder)
    useful = result.metrics["useful_of_computed"]
    assert 0.02 < useful < 0.9 and f"{useful:.0%} of what is computed is of use" in said(folder)
    bands = list((folder.path / "prediction-bands").iterdir())
    assert 1 < len(bands) < SLICES
    monkeypatch.undo()
    network = DLSIAModel.load(model.path)
    whole = network.predict(data.uri)
    assert whole.shape == (SLICES, SIZE, SIZE)
    assert (values(folder) == whole).mean() > 0.9999, "but for rounding where two classes are as likely"
    shares = values(folder, "probabilities")
    assert np.abs(shares.astype(int).sum(axis=0) - 255).max() <= 3
    assert result.dataset is not None and result.dataset.shape == (SLICES, SIZE, SIZE)
    shown = zarr.open_array(model.path / "labelled-slices.zarr", mode="r")
    assert (np.asarray(shown[:]) == whole[np.asarray(shown.attrs["z"])]).mean() > 0.999


@pytest.mark.parametrize("place", ["predict.written", "predict.recorded"])
def test_killed_it_goes_on_and_comes_to_the_same_bytes(
    tmp_path: Path, trained: Given, little: None, place: str
) -> None:
    data, model = trained
    whole, broken = (predict_job(tmp_path / name, data, model.path) for name in ("whole", "broken"))
    predict(Attempt(whole, whole.job(), 1))
    planned = Prediction(Attempt(broken, broken.job(), 1)).plan  # what follows keeps to it, with more memory
    assert planned.band < SLICES
    assert run(broken, 2, MLEX_FAILPOINTS=f"{place}=1") == -signal.SIGKILL
    again = Attempt(broken, broken.job(), 3)
    predict(again)
    done = planned.band if place == "predict.recorded" else 0
    assert not done or f"Going on: {done} of {SLICES} slices are done" in said(broken)
    for part in ("prediction", "uncertainty"):
        assert np.array_equal(values(whole, part), values(broken, part))


def test_asked_to_stop_it_stops_between_two_tiles(tmp_path: Path, trained: Given, little: None) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path)
    prediction = Prediction(attempt := Attempt(folder, folder.job(), 1))
    backend, asked = prediction.segmenter.backend, list[int]()

    class Counting:
        name = "torch"

        def __call__(self, block: np.ndarray) -> torch.Tensor:
            asked.append(1)
            attempt.stopping = True
            return backend(block)

    prediction.segmenter.backend = Counting()
    with pytest.raises(Stopped, match=f"0 of {SLICES} slices are done, and are kept"):
        prediction.run()
    assert len(asked) == 1


def test_of_some_slices_only_their_slabs_are_computed(tmp_path: Path, trained: Given) -> None:
    data, model = trained
    everything = DLSIAModel.load(model.path).predict(data.uri)
    folder = predict_job(tmp_path / "run-2", data, model.path, slices="17:21")
    result = predict(Attempt(folder, folder.job(), 1))
    found = values(folder)
    assert (found[17:21] == everything[17:21]).mean() > 0.999
    assert not found[:17].any() and not found[21:].any()
    thick = 34 - 4  # from 17 - 12 down to an even slice, to 21 + 12 up to one
    assert result.metrics["useful_of_computed"] == pytest.approx(4 * SIZE**2 / (thick * 40**2), abs=1e-3)


def test_one_slice_is_tried(tmp_path: Path, trained: Given) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "try", data, model.path, slices="middle", trial=True)
    result = predict(Attempt(folder, folder.job(), 1))
    assert (folder.path / "picture.png").exists() and result.dataset is None
    assert result.metrics["useful_of_computed"] == pytest.approx(SIZE**2 / (26 * 40**2), abs=1e-3)


def test_several_jobs_fill_one_prediction(tmp_path: Path, trained: Given, little: None) -> None:
    data, model = trained
    whole = predict_job(tmp_path / "jobs/whole", data, model.path)
    predict(Attempt(whole, whole.job(), 1))
    for part in ("3/3", "1/3"):
        folder = predict_job(tmp_path / f"jobs/part-{part[0]}", data, model.path, shared="seg-1", part=part)
        predict(Attempt(folder, folder.job(), 1))
    last = predict_job(tmp_path / "jobs/last", data, model.path, shared="seg-1")
    made = predict(Attempt(last, last.job(), 1))
    assert made.dataset is not None
    stitched = np.asarray(zarr.open_group(made.dataset.uri, mode="r")["0"][...])
    assert (stitched == values(whole)).mean() > 0.9999


def test_one_slice_is_refused_in_words(tmp_path: Path, trained: Given) -> None:
    _, model = trained
    picture = zarr.create_array(tmp_path / "picture.zarr", shape=(64, 64), chunks=(64, 64), dtype="uint8")
    picture[:] = np.random.default_rng(0).integers(0, 255, (64, 64))
    folder = predict_job(tmp_path / "run-2", dataset(tmp_path / "picture.zarr", "yx"), model.path)
    with pytest.raises(MlexError, match="needs slices above and below; this volume has one slice") as failed:
        predict(Attempt(folder, folder.job(), 1))
    assert failed.value.hint == "Choose a 2-D network, as unet or tunet."
    assert not (folder.path / "prediction.zarr").exists()
    assert isinstance(folder.job().spec.task, PredictTask)
    with pytest.raises(MlexError, match="needs slices above and below"):
        DLSIAModel.load(model.path).predict(np.zeros((64, 64), np.uint8))
