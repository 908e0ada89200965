"""What a network can learn besides segmenting, with arrays in and out: the same two verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from mlex_jupyter.data.sample import make_sample
from mlex_jupyter.errors import Conflict, Invalid
from mlex_jupyter.learn.model import DLSIAModel

SMALL: dict[str, Any] = {"depth": 2, "base_channels": 8, "patch": 32, "batch": 4}


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A picture without noise: smooth shapes."""
    y, x, z = np.mgrid[:64, :64, :6].astype(np.float32)
    shapes = np.sin(y / 5 + z) * np.cos(x / 7) > 0.2
    return np.moveaxis(np.where(shapes, 160, 90), 2, 0).astype(np.float32)


@pytest.fixture(scope="module")
def noisy(scene: np.ndarray) -> np.ndarray:
    return scene + np.random.default_rng(0).normal(0, 25, scene.shape).astype(np.float32)


def off_by(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - true) ** 2)))


def test_noise_is_taken_off_without_ever_seeing_a_clean_picture(
    scene: np.ndarray, noisy: np.ndarray, tmp_path: Path
) -> None:
    model = DLSIAModel("unet", epochs=3, steps_per_epoch=40, **SMALL).fit(noisy, task="denoise", say=None)
    found = model.predict(noisy)
    assert found.shape == noisy.shape and found.dtype == np.float32
    assert off_by(found, scene) < 0.5 * off_by(noisy, scene)
    assert 0 < model.metrics["explained"] < 1 and [one["epoch"] for one in model.history] == [1, 2, 3]
    again = DLSIAModel.load(model.save(tmp_path / "kept"))
    assert np.array_equal(again.predict(noisy), found)
    assert np.array_equal(again.predict(noisy[2]), found[2])


def test_values_are_learned_from_a_target_also_where_only_some_are_known(scene: np.ndarray, noisy: np.ndarray) -> None:
    target = 1e-3 * scene + 2
    target[:, 10:40, :] = np.nan
    model = DLSIAModel("unet", epochs=3, steps_per_epoch=40, **SMALL).fit(noisy, target, task="regress", say=None)
    found = model.predict(noisy)
    assert np.isfinite(found).all()
    assert off_by(found, 1e-3 * scene + 2) < 0.5 * 1e-3 * scene.std()
    assert model.metrics["explained"] > 0.7
    with_clean = DLSIAModel("unet", epochs=3, steps_per_epoch=40, **SMALL).fit(noisy, scene, task="denoise", say=None)
    assert off_by(with_clean.predict(noisy), scene) < 0.5 * off_by(noisy, scene)


@pytest.fixture(scope="module")
def textures() -> tuple[np.ndarray, np.ndarray]:
    """Patches of fine and of coarse grain, and which is which."""
    dice = np.random.default_rng(0)
    made = [ndimage.gaussian_filter(dice.normal(size=(32, 32)), 1 if index % 2 else 3) for index in range(160)]
    patches = np.stack([one / one.std() for one in made]).astype(np.float32)  # so that contrast alone does not tell
    return patches, (np.arange(160) % 2 + 1).astype(np.uint8)


def test_an_encoder_makes_vectors_and_tells_textures_apart_from_few_labels(
    textures: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    patches, of = textures
    model = DLSIAModel("unet", depth=3, base_channels=8, patch=24, epochs=1, steps_per_epoch=15, batch=16)
    with pytest.raises(Conflict, match="no encoder yet") as refused:
        model.fit(patches, of, task="classify", say=None)
    assert "embed" in (refused.value.hint or "")
    vectors = model.fit(patches, task="embed", say=None).predict(patches)
    assert vectors.shape[0] == len(patches) and vectors.ndim == 2 and vectors.dtype == np.float32
    assert np.allclose(model.predict(patches[5]), vectors[5], atol=1e-5), "one patch by itself is one vector"
    assert "embedding" in repr(model)

    few = np.zeros_like(of)
    few[:30] = of[:30]
    model.fit(patches, few, task="classify", classes=("sand", "foam"), say=None)
    found = model.predict(patches)
    assert found.dtype == np.uint8 and set(found) <= {1, 2}
    assert (found == of).mean() > 0.9
    assert model.classes == {1: "sand", 2: "foam"} and model.metrics["accuracy"] > 0.5
    again = DLSIAModel.load(model.save(tmp_path / "kept"))
    assert np.array_equal(again.predict(patches), found)


def test_a_segmentation_begins_with_the_encoder_that_the_model_has() -> None:
    sample = make_sample(size=64, slices=8)
    quick = {"depth": 3, "base_channels": 4, "epochs": 1, "steps_per_epoch": 2, "batch": 2, "patch": 32}
    said: list[str] = []
    model = DLSIAModel("tunet", **quick).fit(sample.volume, task="embed", say=None)
    model.fit(sample.volume, sample.scribbles, say=said.append)
    assert any("It begins with weights that are there" in line for line in said)
    assert model.predict(sample.volume).dtype == np.uint8


def test_what_will_not_do_is_said_in_words(noisy: np.ndarray) -> None:
    model = DLSIAModel("unet", **SMALL)
    with pytest.raises(Invalid, match="does not learn to 'paint'"):
        model.fit(noisy, task="paint")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="no values to learn"):
        model.fit(noisy, task="regress")
    with pytest.raises(Invalid, match="no labels to learn to segment"):
        model.fit(noisy)
    with pytest.raises(Invalid, match="without labels"):
        model.fit(noisy, noisy, task="embed")
    with pytest.raises(Invalid, match="what it shall become"):
        model.fit(noisy, noisy[:, :32], task="denoise")
    with pytest.raises(Invalid, match="one value everywhere"):
        model.fit(noisy, np.ones_like(noisy), task="regress")
    for other in ("forest", "ensemble"):
        with pytest.raises(Invalid, match="does not learn values"):
            DLSIAModel(other).fit(noisy, task="denoise", say=None)
    with pytest.raises(Invalid, match="no encoder"):
        DLSIAModel("msdnet").fit(noisy, task="embed")
