"""Prediction, as the process that a job is: what it makes, how it goes on after a kill, and what it refuses."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import load_file, save_file
from scipy import ndimage

from mlex_jupyter.data.readers import open_path
from mlex_jupyter.errors import MlexError
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.prediction.task import predict
from mlex_jupyter.learn.run import FAILED, FULL, STOPPED
from mlex_jupyter.types import Dataset, JobState, Segmented
from tests.engine import fill, small_disk
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
    return image(folder, "prediction")


def image(folder: JobFolder, name: str, level: int = 0) -> np.ndarray:
    return np.asarray(zarr.open_group(folder.path / f"{name}.zarr", mode="r")[str(level)][...])


def test_a_prediction_is_a_dataset_with_classes_and_what_it_came_from(
    tmp_path: Path, trained: tuple[Dataset, JobFolder]
) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path)
    assert run(folder) == 0, folder.log.read_text()
    result = folder.result()
    assert result is not None and result.dataset is not None
    assert [one.kind for one in result.outputs] == ["picture", "file"], "the supervisor lists the datasets itself"
    made = result.dataset
    assert (made.id, made.name, made.reader, made.axes) == ("ds-run-2", "seg", "zarr", "zyx")
    assert (made.shape, made.chunks, made.dtype) == ((SLICES, 70, 70), (1, 70, 70), "uint8")
    assert made.derived_from == ("ds-1", "run-1")
    assert made.pixel_size == (2.0, 1.0, 1.0)
    assert [one.name for one in made.classes] == ["Pore", "Grain", "Binder", "Heavy mineral"]
    found = values(folder)
    assert len(np.unique(found)) == 4, "a network that says the same of every pixel would show nothing"
    table = Segmented.model_validate_json((folder.path / "segmented.json").read_bytes())
    for one, about in zip(made.classes, table.classes, strict=True):
        assert result.metrics[f"fraction/{one.name}"] == pytest.approx(float((found == one.value).mean()), abs=1e-5)
        labelled, objects = ndimage.label(found == one.value)
        assert (about.voxels, about.objects) == (int((found == one.value).sum()), objects)
        assert about.largest_size == np.bincount(labelled.reshape(-1))[1:].max()
    (unsure,) = result.datasets
    assert (unsure.id, unsure.name, unsure.shape) == ("ds-run-2-uncertainty", "seg-uncertainty", made.shape)
    map_ZYX = image(folder, "uncertainty")
    assert map_ZYX.max() > 128, "somewhere it is not sure"
    assert [one.uncertainty for one in table.slices] == pytest.approx((map_ZYX / 255).mean(axis=(1, 2)), abs=1e-5)
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
    at_first = attempt.progress

    def stop_when_some_are_done(done: int, *rest: Any, **more: Any) -> None:
        attempt.stopping = done > 0
        at_first(done, *rest, **more)

    attempt.progress = stop_when_some_are_done  # type: ignore[method-assign]
    with pytest.raises(Exception, match="Stopped: 16 of 40 slices are done, and are kept."):
        predict(attempt)
    again = Attempt(folder, folder.job(), 2)
    predict(again)
    assert "Going on: 16 of 40 slices are done" in [one["text"] for one in events(folder, "note")]


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


def test_the_volume_can_be_shown_by_any_viewer_of_ome_zarr(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    _, model = trained
    sample = small_sample(tmp_path / "sample", slices=5, size=300)
    about = {"pixel_size": (2.0, 1.0, 1.0), "pixel_unit": "µm"}
    data = dataset(tmp_path / "sample/volume.zarr").model_copy(update=about)
    folder = predict_job(tmp_path / "run-2", data, model.path, probabilities=True)
    predict(Attempt(folder, folder.job(), 1))
    group = zarr.open_group(folder.path / "prediction.zarr", mode="r")
    ome: Any = group.attrs["ome"]
    (said,) = ome["multiscales"]
    assert ome["version"] == "0.5"
    assert [(axis["name"], axis["unit"]) for axis in said["axes"]] == [(axis, "micrometer") for axis in "zyx"]
    scales = [level["coordinateTransformations"][0]["scale"] for level in said["datasets"]]
    assert scales == [[2.0, 1.0, 1.0], [4.0, 2.0, 2.0]]
    assert [one["name"] for one in ome["image-label"]["properties"]] == [one.name for one in sample.classes]
    assert ome["image-label"]["colors"][0]["rgba"][3] == 255
    assert np.array_equal(image(folder, "prediction", 1), values(folder)[::2, ::2, ::2])
    assert np.array_equal(image(folder, "uncertainty", 1), image(folder, "uncertainty")[::2, ::2, ::2])
    with open_path(folder.path / "prediction.zarr") as volume:
        assert (volume.shape, volume.axes, volume.pixel_size) == ((5, 300, 300), "zyx", (2.0, 1.0, 1.0))
    shares = image(folder, "probabilities")
    assert shares.shape == (4, 5, 300, 300)
    assert np.abs(shares.astype(int).sum(axis=0) - 255).max() <= 2
    of_class = np.array([one.value for one in sample.classes])
    clear = np.sort(shares, axis=0)[-1] > 140
    assert clear.any() and np.array_equal(of_class[shares.argmax(axis=0)][clear], values(folder)[clear])


def test_of_a_range_only_those_slices_are_computed(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    data, model = trained
    whole = predict_job(tmp_path / "whole", data, model.path)
    predict(Attempt(whole, whole.job(), 1))
    folder = predict_job(tmp_path / "some", data, model.path, slices="7:19")
    result = predict(Attempt(folder, folder.job(), 1))
    assert np.array_equal(values(folder)[7:19], values(whole)[7:19])
    assert not values(folder)[:7].any() and not values(folder)[19:].any(), "the others are unlabelled"
    table = Segmented.model_validate_json((folder.path / "segmented.json").read_bytes())
    assert [one.z for one in table.slices] == list(range(7, 19))
    assert sum(one.fraction for one in table.classes) == pytest.approx(1)
    assert result.dataset is not None and result.dataset.shape == data.shape, "it lies over the volume as it is"
    one = predict_job(tmp_path / "one", data, model.path, slices="39")
    predict(Attempt(one, one.job(), 1))
    assert np.array_equal(values(one)[39], values(whole)[39])
    none = predict_job(tmp_path / "none", data, model.path, slices="40:50")
    with pytest.raises(MlexError, match="sand-tomo has 40 slices; 40:50 is none of them."):
        predict(Attempt(none, none.job(), 1))


def test_what_was_damaged_since_is_done_again(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path)
    predict(Attempt(folder, folder.job(), 1))
    before = values(folder)
    (folder.path / "prediction.zarr/0/c/17/0/0").write_bytes(b"half of a chunk")
    (folder.path / "uncertainty.zarr/0/c/39/0/0").unlink()
    attempt = Attempt(folder, folder.job(), 2)
    predict(attempt)
    said = [one["text"] for one in events(folder, "note")]
    assert "2 bands are not on the disk as they were written; they are done again" in said
    assert "Going on: 16 of 40 slices are done" in said
    assert np.array_equal(values(folder), before)


def test_a_picture_is_there_before_all_is_done(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path)
    predict(Attempt(folder, folder.job(), 1))
    first = events(folder, "picture")[0]
    assert (first["z"], first["done"], first["total"]) == (16, 16, 40), "it begins in the middle"
    assert (folder.path / first["path"]).read_bytes().startswith(b"\x89PNG")


def test_weights_that_are_no_numbers_are_said(tmp_path: Path, trained: tuple[Dataset, JobFolder]) -> None:
    data, model = trained
    folder = predict_job(tmp_path / "run-2", data, model.path)
    job = folder.job()
    assert job.model is not None
    tensors = load_file(job.model.weights)
    name = next(name for name in tensors if tensors[name].is_floating_point())
    save_file({**tensors, name: torch.full_like(tensors[name], torch.nan)}, tmp_path / "broken.safetensors")
    broken = job.model.model_copy(update={"weights": str(tmp_path / "broken.safetensors")})
    with pytest.raises(MlexError, match="gives values that are not numbers"):
        predict(Attempt(folder, job.model_copy(update={"model": broken}), 1))


@pytest.mark.needs("mount")
def test_on_a_full_disk_it_ends_in_words_and_goes_on_once_there_is_room(
    tmp_path: Path, trained: tuple[Dataset, JobFolder]
) -> None:
    _, model = trained
    small_sample(tmp_path / "sample", slices=24, size=400)
    data = dataset(tmp_path / "sample/volume.zarr")
    whole = predict_job(tmp_path / "whole", data, model.path)
    predict(Attempt(whole, whole.job(), 1))
    with small_disk(tmp_path / "disk", 64) as disk:
        folder = predict_job(disk / "run-2", data, model.path)
        filler = fill(disk)
        with filler.open("rb+") as file:
            file.truncate(filler.stat().st_size - (1 << 20))  # room for some of it
        code = run(folder)
        assert code in (FAILED, FULL), folder.log.read_text()
        if (ending := folder.ending(1)) is not None:
            assert ending.message == "The disk is full; what was saved before is whole."
        assert folder.result() is None
        filler.unlink()
        assert run(folder, 2) == 0, folder.log.read_text()
        assert np.array_equal(values(folder), values(whole))


def test_several_jobs_fill_one_prediction_and_the_last_makes_its_table(
    tmp_path: Path, trained: tuple[Dataset, JobFolder]
) -> None:
    data, model = trained
    whole = predict_job(tmp_path / "jobs/whole", data, model.path)
    alone = predict(Attempt(whole, whole.job(), 1))
    for part in ("3/3", "1/3"):  # the second never ran
        folder = predict_job(tmp_path / f"jobs/part-{part[0]}", data, model.path, shared="seg-1", part=part)
        result = predict(Attempt(folder, folder.job(), 1))
        assert result.dataset is None and not result.datasets
    last = predict_job(tmp_path / "jobs/last", data, model.path, shared="seg-1")
    made = predict(Attempt(last, last.job(), 1))
    assert made.dataset is not None and made.dataset.uri == str(tmp_path / "predictions/seg-1/prediction.zarr")
    assert f"Going on: {40 - 13} of 40 slices are done" in [one["text"] for one in events(last, "note")]
    stitched = np.asarray(zarr.open_group(made.dataset.uri, mode="r")["0"][...])
    assert np.array_equal(stitched, values(whole))
    assert made.metrics == alone.metrics
