"""DLSIAModel: a network with `fit` and `predict`, alone in a notebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlex_jupyter.data.sample import Sample, make_sample, write_sample
from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.learn.model import DLSIAModel
from tests.learning import QUICK, dataset, label_set, run, train_job


@pytest.fixture(scope="module")
def sample() -> Sample:
    return make_sample(size=64, slices=8, seed=7)


@pytest.fixture(scope="module")
def trained(sample: Sample) -> DLSIAModel:
    said: list[str] = []
    names = {one.value: one.name for one in sample.classes}
    model = DLSIAModel("tunet", **QUICK)
    assert model.fit(sample.volume, sample.scribbles, classes=names, say=said.append) is model
    assert any(line.startswith("epoch   2") for line in said)
    return model


def test_it_learns_from_arrays_and_segments_them(trained: DLSIAModel, sample: Sample) -> None:
    assert [one["epoch"] for one in trained.history] == [1, 2]
    assert trained.metrics["dice"] == max(one["dice"] for one in trained.history)
    assert trained.classes == {one.value: one.name for one in sample.classes}
    found = trained.predict(sample.volume)
    assert found.shape == sample.volume.shape and found.dtype == np.uint8
    assert set(np.unique(found)) <= set(trained.classes)
    assert np.array_equal(trained.predict(sample.volume[3]), found[3])
    assert "Dice 0." in repr(trained)


def test_what_it_saves_predicts_the_same_and_so_does_a_run(trained: DLSIAModel, sample: Sample, tmp_path: Path) -> None:
    trained.save(tmp_path / "kept")
    again = DLSIAModel.load(tmp_path / "kept")
    found = trained.predict(sample.volume)
    assert np.array_equal(again.predict(sample.volume), found)
    assert again.classes == trained.classes
    again.save(tmp_path / "again")
    assert np.array_equal(DLSIAModel.load(tmp_path / "again").predict(sample.volume), found)


def test_it_trains_to_the_weights_of_a_job_and_loads_a_finished_run(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLEX_CPUS", "1")  # as the job's: two threads add up in another order
    write_sample(tmp_path / "sample", sample)
    data = dataset(tmp_path / "sample/volume.zarr")
    folder = train_job(tmp_path / "run", data, label_set(tmp_path / "sample/scribbles.zarr", sample.classes))
    assert run(folder, MLEX_CPUS="1") == 0, folder.log.read_text()
    model = DLSIAModel("unet", **QUICK)
    model.fit(tmp_path / "sample/volume.zarr", tmp_path / "sample/scribbles.zarr", say=None)
    job = DLSIAModel.load(folder.path)
    assert np.array_equal(model.predict(sample.volume), job.predict(sample.volume))


def test_what_will_not_do_is_said_in_words(trained: DLSIAModel, sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No architecture 'unett'"):
        DLSIAModel("unett")
    with pytest.raises(Invalid, match="has no parameter 'dept'") as wrong:
        DLSIAModel("unet", dept=3)
    assert "depth" in (wrong.value.hint or "")
    with pytest.raises(Invalid, match="epochs = 0 will not do"):
        DLSIAModel("unet", epochs=0)
    with pytest.raises(Conflict, match="has not been trained"):
        DLSIAModel("unet").predict(sample.volume)
    with pytest.raises(Invalid, match=r"The labels have the shape \(3, 64, 64\)"):
        DLSIAModel("unet").fit(sample.volume, sample.scribbles[:3])
    with pytest.raises(Invalid, match="whole numbers from 0"):
        DLSIAModel("unet").fit(sample.volume, sample.scribbles.astype(float))
    with pytest.raises(Invalid, match="one class only"):
        DLSIAModel("unet").fit(sample.volume, np.minimum(sample.scribbles, 1))
    with pytest.raises(Invalid, match="takes 1 channel"):
        trained.predict(np.zeros((4, 2, 64, 64), np.uint8))
    with pytest.raises(NotFound, match="no model in"):
        DLSIAModel.load(tmp_path)
