"""Networks that see neighbouring slices: what they are given, in training as in prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr

from mlex_jupyter.data.sample import make_sample
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.model import DLSIAModel
from mlex_jupyter.learn.prediction import bands
from mlex_jupyter.types import Preprocessing
from tests.learning import QUICK, dataset, label_set, predict_job, run, small_sample, train_job

AS_IT_IS = Preprocessing(offset=0, scale=1, clip=(-1e9, 1e9))


def numbered(channels: int = 1) -> Volume:
    """A volume whose values say slice and channel: 10 z + c."""
    z, c = np.mgrid[:6, :channels]
    array = np.broadcast_to((10 * z + c)[:, :, None, None], (6, channels, 4, 4)).astype(np.float32)
    return Volume(array, uri="numbers", reader="array", axes="zcyx")


def test_a_slice_comes_with_its_neighbours_the_topmost_first_and_the_outermost_again() -> None:
    seen = [[int(one[0, 0]) for one in grey.seen(numbered(), z, AS_IT_IS, 2)] for z in (0, 3, 5)]
    assert seen == [[0, 0, 0, 10, 20], [10, 20, 30, 40, 50], [30, 40, 50, 50, 50]]
    with_channels = [int(one[0, 0]) for one in grey.seen(numbered(2), 1, AS_IT_IS, 1)]
    assert with_channels == [0, 1, 10, 11, 20, 21]


def test_a_prediction_reads_what_a_training_saw() -> None:
    for channels, neighbours in ((1, 2), (2, 1), (1, 0)):
        volume = numbered(channels)
        reader = bands.Reader(volume, neighbours)
        for zs in (range(2), range(2, 5), range(5, 6)):
            found = reader(zs)
            for index, z in enumerate(zs):
                assert np.array_equal(found[index], grey.seen(volume, z, AS_IT_IS, neighbours))
                assert reader.alone(found[index])[0, 0] == 10 * z


def test_a_network_in_two_and_a_half_dimensions_trains_and_predicts(tmp_path: Path) -> None:
    sample = small_sample(tmp_path / "sample")
    data = dataset(tmp_path / "sample/volume.zarr")
    trained = train_job(
        tmp_path / "run", data, label_set(tmp_path / "sample/scribbles.zarr", sample.classes), "unet25d", neighbours=1
    )
    assert run(trained) == 0, trained.log.read_text()
    folder = predict_job(tmp_path / "seg", data, trained.path)
    assert run(folder) == 0, folder.log.read_text()
    result = folder.result()
    assert result is not None and result.dataset is not None
    found = zarr.open_group(folder.path / "prediction.zarr", mode="r")["0"][:]  # type: ignore[index]
    assert np.array_equal(found, DLSIAModel.load(trained.path).predict(sample.volume))


def test_it_sees_the_slices_beside(tmp_path: Path) -> None:
    sample = make_sample(size=64, slices=8, seed=7)
    given = {**QUICK, "steps_per_epoch": 30, "learning_rate": 0.02, "neighbours": 1}
    model = DLSIAModel("unet25d", **given).fit(sample.volume, sample.scribbles, say=None)
    changed = sample.volume.copy()
    changed[5] = 255 - changed[5]
    before, after = model.predict(sample.volume), model.predict(changed)
    differs = [bool((before[z] != after[z]).any()) for z in range(8)]
    assert differs[5] and (differs[4] or differs[6])
    assert not any(differs[:4]) and not differs[7]
