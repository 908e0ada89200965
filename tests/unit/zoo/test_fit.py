"""What cannot work is refused before it runs, in the words of the fit check; what may disappoint is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Invalid
from mlex_jupyter.types import (
    Architecture,
    ArrayContract,
    ClassInfo,
    Dataset,
    FitCheck,
    JobSpec,
    LabelSet,
    PredictTask,
    Preprocessing,
    Resources,
    Trained,
    TrainedOn,
    TrainTask,
    now,
)
from mlex_jupyter.zoo import fit

NET = Architecture(
    name="net",
    title="A net",
    params_schema={"properties": {"depth": {"default": 4}, "base_channels": {"default": 16}}},
    inputs=ArrayContract(axes="cyx", divisible_by="2**(depth-1)"),
    outputs=ArrayContract(axes="cyx"),
    builder="x:net",
    distribution="x",
    version="1",
)
CLASSES = (ClassInfo(value=1, name="grain", color="#ff0000"), ClassInfo(value=2, name="pore", color="#0000ff"))
TRAINED = Trained(
    architecture="net", builder="x:net", params={"depth": 4}, classes=CLASSES,
    preprocessing=Preprocessing(offset=100, scale=10), weights="w",
)  # fmt: skip
PARAMS: dict[str, Any] = {"depth": 4, "base_channels": 16, "batch": 8, "patch": 128}


def data(**given: Any) -> Dataset:
    about = {"shape": (4, 64, 64), "dtype": "uint8", "axes": "zyx", "nbytes": 1, **given}
    return Dataset(id="data-1", name="sand", uri="/x.npy", reader="numpy", created=now(), **about)


def labels(**given: Any) -> LabelSet:
    about = {"counts": {"grain": 5, "pore": 5}, "dataset": "data-1", "classes": CLASSES, "slices": (1,), **given}
    return LabelSet(id="labels-1", name="scribbles", version=1, uri="/l", created=now(), **about)


def training(found: Dataset, painted: LabelSet | None = None, **params: Any) -> dict[str, FitCheck]:
    network = fit.untrained(NET, PARAMS | params)
    return {check.about: check for check in fit.checks(network, found, painted, Resources())}


def prediction(found: Dataset, painted: LabelSet | None = None, **before: Any) -> dict[str, FitCheck]:
    network = fit.ready("net", TRAINED, NET, TrainedOn.of(data(**before)))
    return {check.about: check for check in fit.checks(network, found, painted, Resources())}


def test_what_suits_is_all_ok() -> None:
    assert {check.level for check in training(data(), labels()).values()} == {"ok"}
    assert {check.level for check in prediction(data(), labels()).values()} == {"ok"}


Looked = Callable[[], dict[str, FitCheck]]


@pytest.mark.parametrize(
    ("looked", "about", "level", "words"),
    [
        (lambda: training(data(axes="zcyx", shape=(4, 3, 64, 64))), "axes", "problem", "axes zcyx"),
        (lambda: training(data(dtype="complex64")), "type", "problem", "real numbers"),
        (lambda: training(data(), labels(counts={"grain": 9})), "labels", "problem", "one class only, grain"),
        (lambda: training(data(), labels(counts={})), "labels", "problem", "no labelled pixels"),
        (lambda: training(data(), labels(dataset="data-2")), "labels", "problem", "another dataset"),
        (lambda: training(data(), base_channels=128, batch=64), "memory", "warn", "about 8.1"),
        (lambda: training(data(shape=(4, 4, 4))), "size", "warn", "smaller than the 8 pixels"),
        (lambda: training(data(shape=(4, 60, 61))), "size", "ok", "padded to 64 × 64"),
        (lambda: prediction(data(dtype="uint16"), dtype="float32"), "type", "warn", "trained on float32"),
        (
            lambda: prediction(
                data(pixel_size=(1.0, 1.0, 650.0), pixel_unit="nm"), pixel_size=(1, 1, 1.3), pixel_unit="um"
            ),
            "pixel size", "warn", "2 times smaller",
        ),
        (
            lambda: prediction(data(pixel_size=(1, 1, 1.3), pixel_unit="um"), pixel_size=(1, 1, 1.3), pixel_unit="µm"),
            "pixel size", "ok", "Much the same",
        ),
        (lambda: prediction(data(), labels(classes=CLASSES[:1])), "labels", "warn", "It finds grain, pore"),
    ],
)  # fmt: skip
def test_what_does_not_suit_is_said(looked: Looked, about: str, level: str, words: str) -> None:
    check = looked()[about]
    assert (check.level, words in check.says) == (level, True), check
    assert check.mend or level == "ok"


def test_a_class_that_nobody_painted_is_said() -> None:
    said = fit.checks(
        fit.untrained(NET, PARAMS), data(), labels(counts={"grain": 5, "pore": 5, "crack": 0}), Resources()
    )
    assert [check.says for check in said if check.level == "warn"] == [
        "Nothing is painted of crack, so the network will not know of it."
    ]


def test_a_network_in_three_dimensions_needs_slices_above_and_below() -> None:
    blocks = NET.model_copy(update={"name": "net3d", "inputs": NET.inputs.model_copy(update={"axes": "czyx"})})

    def said(found: Dataset, **params: Any) -> dict[str, FitCheck]:
        network = fit.untrained(blocks, PARAMS | {"patch": 48, "batch": 4} | params)
        return {check.about: check for check in fit.checks(network, found, None, Resources())}

    one = said(data(axes="yx", shape=(64, 64)))["axes"]
    assert (one.level, one.says) == ("problem", "net3d sees slices above and below too; sand has one slice.")
    assert one.mend == "Choose a 2-D network, as unet or tunet."
    assert said(data(shape=(1, 64, 64)))["axes"].level == "problem"
    few, many = said(data(shape=(7, 64, 64)))["axes"], said(data(shape=(90, 64, 64)))
    assert few.level == "warn" and "7 slices are fewer than the 8" in few.says
    assert {check.level for check in many.values()} == {"ok"}
    assert "blocks" in many["axes"].says
    large = said(data(shape=(200, 640, 640)), patch=160, base_channels=32)["memory"]
    assert (large.level, "about 58" in large.says) == ("warn", True), large
    ready = fit.ready("net3d", TRAINED, blocks, None)
    with pytest.raises(Invalid, match="sees slices above and below too"):
        fit.refuse(fit.checks(ready, data(axes="yx", shape=(64, 64)), None, Resources()))


def test_a_network_for_colours_is_refused() -> None:
    colours = fit.ready("net", TRAINED.model_copy(update={"channels": 3}), NET, None)
    with pytest.raises(Invalid, match="takes 3 channels"):
        fit.refuse(fit.checks(colours, data(), None, Resources()))


@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        (np.random.default_rng(0).normal(100, 8, 5000), "ok", "within"),
        (np.random.default_rng(0).normal(120, 18, 5000), "warn", "lie outside"),
        (np.random.default_rng(0).uniform(0, 1, 5000), "problem", "far from"),
        (np.random.default_rng(0).normal(30000, 500, 5000).astype("uint16"), "problem", "far from"),
        (np.full(10, np.nan), "warn", "holds no number"),
    ],
)
def test_grey_values_are_compared_with_those_of_the_training(values: Any, level: str, words: str) -> None:
    check = fit.grey(fit.ready("net", TRAINED, NET, None), values.dtype.str, values.tobytes())
    assert (check.level, words in check.says) == (level, True), check


async def test_a_submission_is_refused_in_the_words_of_the_check(mlex: Mlex, described: Path, tmp_path: Path) -> None:
    mlex.settings.home.joinpath("cache").symlink_to(described)
    np.save(tmp_path / "sand.npy", np.random.default_rng(0).integers(0, 255, (2, 32, 32), np.uint8))
    np.save(tmp_path / "one.npy", np.ones((2, 32, 32), np.uint8))
    await mlex.register(str(tmp_path / "sand.npy"), name="sand")
    await mlex.label_sets.import_file("sand", str(tmp_path / "one.npy"), "one")
    report = await mlex.fits("unet", data="sand", labels="one", params={"epochs": 2})
    problem = next(check for check in report.checks if check.level == "problem")
    assert not report.fits
    task = TrainTask(model="unet", data="sand", labels="one")
    with pytest.raises(Invalid) as refused:
        await mlex.submit(JobSpec(task=task))
    assert (refused.value.message, refused.value.hint) == (problem.says, problem.mend)
    assert (await mlex.fits("unet", data="sand")).fits
    assert await mlex.jobs() == []
    with pytest.raises(Invalid, match="no parameter"):
        await mlex.fits("unet", data="sand", params={"epoch": 2})
    assert PredictTask(model="pores@champion", data="sand").model == "pores@champion"
