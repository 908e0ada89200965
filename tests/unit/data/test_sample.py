"""The sample: the same for the same seed, whole on the disk, and a problem that single pixels do not solve."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from mlex_jupyter.data.recipes import RECIPES
from mlex_jupyter.data.sample import Sample, make_sample, write_sample
from mlex_jupyter.errors import Conflict, Invalid
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.prediction.tiles import segment
from mlex_jupyter.learn.score import Confusion
from mlex_jupyter.learn.training.task import training_of
from tests.learning import dataset, label_set, train_job

UNSEEN = {"sand": 2026, "foam": 2027}
"""Seeds that nobody looked at while the sample was made."""
SIZE, SLICES = 192, 12


@pytest.mark.parametrize("texture", RECIPES)
@pytest.mark.parametrize(("size", "slices"), [(64, 1), (97, 5)])
def test_it_is_the_same_for_the_same_seed_and_of_any_size(texture: str, size: int, slices: int) -> None:
    one, same, other = (make_sample(size=size, slices=slices, seed=seed, texture=texture) for seed in (3, 3, 4))
    assert one.volume.shape == one.truth.shape == one.scribbles.shape == (slices, size, size)
    for name in ("volume", "truth", "scribbles"):
        assert np.array_equal(getattr(one, name), getattr(same, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))
    assert set(np.unique(one.truth)) <= {1, 2, 3, 4}


@pytest.mark.parametrize("texture", RECIPES)
@pytest.mark.parametrize("seed", range(5))
def test_a_small_one_still_has_every_class_scribbled_on_three_slices(seed: int, texture: str) -> None:
    sample = make_sample(size=96, slices=12, seed=seed, texture=texture)
    assert sample.scribbles.any(axis=(1, 2)).sum() == 3
    assert set(np.unique(sample.scribbles)) == {0, 1, 2, 3, 4}
    assert (sample.scribbles > 0).mean() < 0.1, "scribbles are few"
    painted = sample.scribbles > 0
    assert (sample.scribbles == sample.truth)[painted].all(), "and never wrong"


def test_it_appears_on_the_disk_whole_and_only_once(tmp_path: Path) -> None:
    sample = make_sample(size=64, slices=4)
    paths = write_sample(tmp_path / "sand", sample)
    for name, path in paths.items():
        array = zarr.open_array(path, mode="r")
        assert np.array_equal(np.asarray(array[:]), getattr(sample, name))
        assert (array.metadata.zarr_format, array.chunks) == (3, (1, 64, 64))
    assert len(list((paths["scribbles"] / "c").iterdir())) == 3, "empty slices take no file"
    assert [place.name for place in tmp_path.iterdir()] == ["sand"]
    with pytest.raises(Conflict):
        write_sample(tmp_path / "sand", sample)
    assert [place.name for place in tmp_path.iterdir()] == ["sand"]


def test_what_cannot_be_made_is_said_plainly() -> None:
    with pytest.raises(Invalid, match="No texture 'sond'") as error:
        make_sample(texture="sond")
    assert error.value.hint == "Did you mean sand?"
    with pytest.raises(Invalid, match="32 to 4096"):
        make_sample(size=3)


# ---------------------------------------------------------------- how hard it is


@pytest.fixture(scope="module", params=UNSEEN)
def unseen(request: pytest.FixtureRequest) -> Sample:
    return make_sample(size=SIZE, slices=SLICES, seed=UNSEEN[request.param], texture=request.param)


def judged(sample: Sample) -> list[int]:
    """Slices without scribbles."""
    return [z for z in range(1, SLICES, 3) if not sample.scribbles[z].any()]


def mean_dice(sample: Sample, found: NDArray[np.uint8]) -> float:
    confusion = Confusion(len(sample.classes))
    confusion.add(found - 1, sample.truth[judged(sample)] - 1)
    return confusion.mean_dice()


def test_thresholds_do_not_solve_it(unseen: Sample) -> None:
    volume = unseen.volume[judged(unseen)]
    regions = np.digitize(volume, otsu(volume, len(unseen.classes)))
    orders = itertools.permutations(range(1, 5))
    best = max(mean_dice(unseen, np.array(order, np.uint8)[regions]) for order in orders)
    assert best <= 0.75


def otsu(volume: NDArray[np.uint8], classes: int) -> list[int]:
    """Otsu's thresholds on a histogram of 64 bins: those that part the classes best, found by trying them all."""
    bins = np.bincount(volume.reshape(-1) // 4, minlength=64) / volume.size
    mass = np.concatenate([[0], np.cumsum(bins)])
    moment = np.concatenate([[0], np.cumsum(bins * np.arange(64))])
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.nan_to_num((moment[None] - moment[:, None]) ** 2 / (mass[None] - mass[:, None]))
    cuts = itertools.combinations(range(1, 64), classes - 1)
    best = max(cuts, key=lambda cut: sum(part[a, b] for a, b in itertools.pairwise((0, *cut, 64))))
    return [4 * cut for cut in best]


def test_a_forest_that_looks_at_one_pixel_does_not_solve_it(unseen: Sample) -> None:
    painted = [z for z in range(SLICES) if unseen.scribbles[z].any()]
    inputs = np.concatenate([features(unseen.volume[z])[unseen.scribbles[z] > 0] for z in painted])
    answers = np.concatenate([unseen.scribbles[z][unseen.scribbles[z] > 0] for z in painted])
    forest = RandomForestClassifier(60, min_samples_leaf=4, max_samples=0.5, random_state=0).fit(inputs, answers)
    found = [forest.predict(features(unseen.volume[z]).reshape(-1, 5)).reshape(SIZE, SIZE) for z in judged(unseen)]
    assert mean_dice(unseen, np.stack(found)) <= 0.75


def features(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The grey value, and four small Gaussians of it."""
    values = picture.astype(np.float32)
    return np.stack([values] + [ndimage.gaussian_filter(values, sigma) for sigma in (0.7, 1.0, 1.6, 2.0)], axis=-1)


@pytest.mark.timeout(400)
def test_a_unet_solves_it_from_the_scribbles(unseen: Sample, tmp_path: Path) -> None:
    write_sample(tmp_path / "sand", unseen)
    labels = label_set(tmp_path / "sand/scribbles.zarr", unseen.classes)
    given = {"epochs": 3, "steps_per_epoch": 40, "batch": 4, "patch": 128, "base_channels": 16, "depth": 4}
    folder = train_job(tmp_path / "run-1", dataset(tmp_path / "sand/volume.zarr"), labels, **given)
    training = training_of(Attempt(folder, folder.job(), 1))
    training.run()
    network, how = training.state.load_best(), training.labelled.preprocessing
    slices = [grey.normalised(unseen.volume[z][None], how)[None] for z in judged(unseen)]
    found = [segment(network, one, training.fit, training.device) for one in slices]
    assert mean_dice(unseen, np.concatenate(found) + 1) > 0.9
