"""The random forest: what scikit-learn grows, kept as tensors and asked without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from scipy import ndimage

from mlex_jupyter.data.sample import Sample, make_sample
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.model import DLSIAModel, _Listener, _painted, _volume
from mlex_jupyter.learn.models import build, wants
from mlex_jupyter.learn.models import forest as module
from mlex_jupyter.learn.models.features import EACH, count, features, reach
from mlex_jupyter.learn.models.reach import halo
from mlex_jupyter.learn.training.atonce import training_for
from mlex_jupyter.learn.training.course import Course
from mlex_jupyter.learn.training.labelled import Labelled
from mlex_jupyter.learn.training.loop import Training
from mlex_jupyter.learn.training.state import packed

FOREST = "mlex_jupyter.learn.models.forest:forest"
SMALL = {"trees": 6, "tree_depth": 6, "scales": 2}


@pytest.fixture(scope="module")
def sample() -> Sample:
    return make_sample(size=128, slices=8)


def slices(sample: Sample) -> list[Any]:
    """What is painted, as training gives it: grey values around nought, classes from 0, 255 unlabelled."""
    grey = (sample.volume.astype(np.float32) - 100) / 40
    classes = np.where(sample.scribbles > 0, sample.scribbles - 1, 255).astype(np.uint8)
    return [(grey[z][None], classes[z]) for z in range(len(grey)) if (classes[z] != 255).any()]


def fitted(sample: Sample, **params: Any) -> Any:
    network = build(FOREST, {**SMALL, **params}, channels=1, classes=len(sample.classes)).eval()
    network.fit(slices(sample), seed=3)  # type: ignore[operator]
    return network


def test_the_trees_say_to_the_last_bit_what_scikit_learn_says(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[Any] = []
    grow = module._grow

    def keep(*given: Any) -> Any:
        grown.append(grow(*given))
        return grown[0]

    monkeypatch.setattr(module, "_grow", keep)
    network = fitted(sample)
    image = torch.from_numpy(slices(sample)[0][0][None])
    with torch.inference_mode():
        found_FP = features(image, 2)[0].flatten(1)
        ours = network._likely(found_FP).T.numpy()
    theirs = grown[0].predict_proba(found_FP.T.numpy())
    assert np.allclose(ours, theirs, atol=1e-6)


def test_a_few_scribbles_tell_most_of_the_sample(sample: Sample) -> None:
    network = fitted(sample, trees=16, tree_depth=10, scales=3)
    grey = (sample.volume.astype(np.float32) - 100) / 40
    with torch.inference_mode():
        found = network(torch.from_numpy(grey[:, None])).argmax(dim=1).numpy() + 1
    unpainted = sample.scribbles == 0
    assert (found == sample.truth)[unpainted].mean() > 0.8


def test_tiles_with_its_halo_come_out_as_the_whole_slice_to_the_last_bit(sample: Sample) -> None:
    network = fitted(sample)
    around = halo(FOREST, SMALL, network, 1)
    assert around == reach(2) == 12
    image = torch.from_numpy(np.ascontiguousarray(slices(sample)[0][0][None]))
    with torch.inference_mode():
        whole = network(image)
        for top in (0, 31, 80):
            for left in (0, 17, 90):
                low = max(0, top - around), max(0, left - around)
                part = network(image[:, :, low[0] : top + 30 + around, low[1] : left + 30 + around])
                kept = part[:, :, top - low[0] :, left - low[1] :][:, :, :30, :30]
                assert torch.equal(kept, whole[:, :, top : top + 30, left : left + 30])


def test_nothing_outside_of_its_halo_matters_and_something_at_its_edge_does() -> None:
    image = torch.rand(1, 1, 65, 65, dtype=torch.float64)
    before = features(image, 2)[0, :, 32, 32]

    def changes(rows: slice) -> bool:
        other = image.clone()
        other[0, 0, rows] += 1e9
        return not torch.equal(before, features(other, 2)[0, :, 32, 32])

    assert not changes(slice(45, None)) and not changes(slice(0, 20))
    assert changes(slice(44, 45)) and changes(slice(20, 21))


def test_features_are_those_of_the_books(sample: Sample) -> None:
    image = sample.volume[0].astype(np.float64)
    found = features(torch.from_numpy(image)[None, None], 2)[0].numpy()
    assert len(found) == count(1, 2)
    inside = (slice(16, -16),) * 2
    for index, sigma in enumerate((1.0, 2.0)):
        smooth, edge, blob = found[1 + EACH * index :][:3]
        assert np.allclose(smooth[inside], ndimage.gaussian_filter(image, sigma, truncate=3)[inside], atol=1e-6)
        about = ndimage.gaussian_gradient_magnitude(image, sigma, truncate=6)[inside] * sigma
        assert np.corrcoef(edge[inside].ravel(), about.ravel())[0, 1] > 0.999
        about = ndimage.gaussian_laplace(image, sigma, truncate=6)[inside] * sigma**2
        assert np.corrcoef(blob[inside].ravel(), about.ravel())[0, 1] > 0.99


def test_weights_are_tensors_whose_shapes_follow_from_the_parameters(sample: Sample) -> None:
    first = fitted(sample)
    second = build(FOREST, SMALL, channels=1, classes=len(sample.classes)).eval()
    second.load_state_dict(load(save(packed(first.state_dict()))))
    image = torch.from_numpy(slices(sample)[0][0][None])
    assert torch.equal(first(image), second(image))


def test_the_same_seed_grows_the_same_trees_however_many_threads(sample: Sample) -> None:
    first, again = fitted(sample), build(FOREST, SMALL, channels=1, classes=len(sample.classes))
    again.fit(slices(sample), seed=3, jobs=2)  # type: ignore[operator]
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), again.buffers(), strict=True))


def test_two_channels_have_features_each() -> None:
    network = build(FOREST, SMALL, channels=2, classes=2)
    rng = np.random.default_rng(0)
    image, target = rng.normal(size=(2, 40, 40)).astype(np.float32), np.full((40, 40), 255, np.uint8)
    target[5:9, 5:9], target[20:24, 20:24] = 0, 1
    image[1, 18:26, 18:26] += 5
    network.fit([(image, target)])  # type: ignore[operator]
    with torch.inference_mode():
        found = network(torch.from_numpy(image[None])).argmax(dim=1)[0]
    assert found[21, 21] == 1 and found[6, 6] == 0


def test_a_class_without_labels_is_said(sample: Sample) -> None:
    network: Any = build(FOREST, SMALL, channels=1, classes=7)
    with pytest.raises(Invalid, match="No pixel of class"):
        network.fit(slices(sample))


def test_it_is_trained_and_asked_by_the_same_two_verbs_as_any_network(sample: Sample) -> None:
    said: list[str] = []
    model = DLSIAModel("forest", trees=8, tree_depth=6, scales=3)
    model.fit(sample.volume, sample.scribbles, say=said.append)
    found = model.predict(sample.volume[:2])
    assert (found == sample.truth[:2]).mean() > 0.7
    assert model.metrics["dice"] > 0.4 and 0 < model.history[0]["loss"] < 2
    assert len(model.history) == 1, "it is trained at once"
    assert not any("epoch   2" in line for line in said)


def test_thresholds_are_held_to_in_full_precision_on_any_machine(sample: Sample) -> None:
    network, image = fitted(sample), torch.from_numpy(slices(sample)[0][0][None])
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(image)
    with torch.inference_mode():
        assert torch.equal(network(image), rough)


def test_it_passes_the_checks_that_any_network_must_pass() -> None:
    from mlex_jupyter.learn.own.check import report

    found = report("forest", None)
    assert found.ok, [check for check in found.checks if not check.ok]
    says = {check.name: check.says for check in found.checks}
    assert "Trained at once" in says["Training"] and found.picture
    assert "48 pixels" in says["Halo"]


def test_a_training_that_was_cut_off_after_its_fit_goes_on_with_what_it_had(sample: Sample, tmp_path: Path) -> None:
    painted = _painted(sample.scribbles, volume := _volume(sample.volume), ())
    (tmp_path / "checkpoint").mkdir()
    course = Course(FOREST, "Random forest", {**SMALL, "validation": 0.2}, identity="one")

    def begin() -> Training:
        labelled = Labelled(volume, painted, wanted=wants(FOREST, SMALL), validation=0.2, seed=0)
        return training_for(course, labelled, _Listener(None), folder=tmp_path)

    first = begin()
    first.run()
    again = begin()
    again.resume()
    again.state.network.fit = None  # type: ignore[assignment]
    again.run()
    assert again.standing.best == first.standing.best > 0
    assert all(torch.equal(first.state.best[name], again.state.best[name]) for name in first.state.best)
