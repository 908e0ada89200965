"""Training in three dimensions: what is kept apart, what is shown, what judges, and that depth is learned at all."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid
from mlex_jupyter.learn.model import DLSIAModel
from mlex_jupyter.learn.models import Wants, build
from mlex_jupyter.learn.params import TrainParams
from mlex_jupyter.learn.prediction.tiles import Fit, forward
from mlex_jupyter.learn.score import UNLABELLED
from mlex_jupyter.learn.training import depth
from mlex_jupyter.learn.training.blocks import Blocks
from mlex_jupyter.learn.training.cover import cover
from mlex_jupyter.learn.training.crops import Crops
from mlex_jupyter.learn.training.labelled import Labelled, Painted
from mlex_jupyter.types import ClassInfo
from tests.learning import dataset, events, label_set, run, small_sample, train_job

CLASSES = tuple(ClassInfo(value=value, name=f"class {value}", color="#808080") for value in (1, 2))
CPU = torch.device("cpu")


def labelled(labels: np.ndarray, multiple: int = 4, **how: Any) -> Labelled:
    """A noisy volume with these labels, for a network in three dimensions."""
    grey = np.random.default_rng(0).normal(100, 20, labels.shape).astype(np.uint8)
    volume = Volume(grey, uri="noise", reader="array")
    painted = Painted("labels", labels, CLASSES, tuple(int(z) for z in np.flatnonzero(labels.any(axis=(1, 2)))))
    return Labelled(volume, painted, wanted=Wants(multiple, 0, 3), validation=0.2, seed=how.get("seed", 0))


def dense(shape: tuple[int, int, int] = (70, 66, 75)) -> np.ndarray:
    """Both classes everywhere, and some of it unlabelled."""
    return np.random.default_rng(1).integers(0, 3, shape).astype(np.uint8)


def sparse(shape: tuple[int, int, int] = (70, 66, 75), zs: tuple[int, ...] = (9, 40)) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    labels[list(zs)] = dense((len(zs), *shape[1:]))
    return labels


def sides(found: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Which voxels are trained on, and which judge."""
    depth_, _, rows, columns = found.volume.shape_ZCYX
    masks = np.zeros((2, depth_, rows, columns), bool)
    for z in found.zs:
        masks[:, z] = [found.targets(z, side) != UNLABELLED for side in ("train", "judge")]
    return masks[0], masks[1]


# ---------------------------------------------------------------- what is kept apart


@pytest.mark.parametrize("painted", [dense(), sparse(), sparse(zs=(14, 15, 16, 17)), dense((140, 40, 40))])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_voxel_that_judges_is_trained_on_nor_is_any_beside_it_in_any_direction(
    painted: np.ndarray, seed: int
) -> None:
    trains, judges = sides(labelled(painted, seed=seed))
    assert trains.any() and judges.any() and not (trains & judges).any()
    assert not (trains | judges)[painted == 0].any(), "what is unlabelled is on no side"
    for axis in range(3):
        for step in (1, 2, 3):
            ahead, behind = [slice(None)] * 3, [slice(None)] * 3
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            assert not (trains[tuple(ahead)] & judges[tuple(behind)]).any()
            assert not (judges[tuple(ahead)] & trains[tuple(behind)]).any()


def test_of_many_slices_whole_slabs_are_kept_apart() -> None:
    _, judges = sides(labelled(np.ones((140, 32, 32), np.uint8) + (np.arange(32) > 15).astype(np.uint8)))
    slices = judges.any(axis=(1, 2))
    assert judges[slices].all(), "all of a slice, or nothing"
    starts = np.flatnonzero(np.diff(slices.astype(int), prepend=0) == 1)
    assert all(start % 16 == 0 and slices[start : start + 12].all() for start in starts)


# ---------------------------------------------------------------- what is shown


def test_a_block_is_the_volume_with_what_is_trained_on_and_mirrored_where_the_volume_ends() -> None:
    painted = sparse()
    found = labelled(painted)
    blocks = Blocks(found)
    assert blocks.shape == (72, 68, 76)
    whole = np.pad(np.asarray(found.volume), [(0, 2), (0, 2), (0, 1)], mode="symmetric")
    trains, _ = sides(found)
    grown = np.pad(trains, [(0, 2), (0, 2), (0, 1)])
    for part in [
        (slice(0, 16), slice(3, 20), slice(60, 76)),
        (slice(60, 72), slice(60, 68), slice(0, 9)),
        (slice(38, 42), slice(0, 68), slice(0, 76)),
    ]:
        assert np.array_equal(blocks.raw(part)[0], whole[part])
        assert np.array_equal(blocks.targets(part, "train") != UNLABELLED, grown[part])


def test_every_crop_holds_a_label_and_none_of_what_judges() -> None:
    found = labelled(sparse())
    params = TrainParams(patch=24, batch=4, augment=False, seed=3)
    crops = Crops(found, params)
    images, targets = crops.batch(0, range(12))
    assert images.shape == (12, 1, 24, 24, 24) and targets.shape == (12, 24, 24, 24)
    mirrored = [(0, 2), (0, 2), (0, 1)]
    trains, judges = (np.pad(mask, mirrored) for mask in sides(found))
    values, raw = found.preprocessing, np.pad(np.asarray(found.volume), mirrored, mode="symmetric").astype(np.float32)
    for image, target in zip(images, targets, strict=True):
        known = np.argwhere(target != UNLABELLED)
        assert len(known) and len({z for z, _, _ in known.tolist()}) <= 2
        # where the crop was cut is found again by its grey values
        seen = np.round(image[0] * values.scale + values.offset)
        at = next(
            (z, y, x)
            for z in range(49)
            for y in range(45)
            for x in range(53)
            if np.array_equal(seen[0, 0, :8], raw[z, y, x : x + 8])
            and np.array_equal(seen[5, 5], raw[z + 5, y + 5, x : x + 24])
        )
        part = tuple(slice(start, start + 24) for start in at)
        assert np.array_equal(target != UNLABELLED, trains[part])
        assert not (judges[part] & (target != UNLABELLED)).any()


def test_changed_and_bent_blocks_keep_labels_on_what_they_lie_on() -> None:
    painted = np.where(np.add.outer(np.add.outer(np.arange(48), np.arange(48)), np.arange(48)) % 32 < 16, 1, 2)
    volume = Volume((painted * 100).astype(np.uint8), uri="stripes", reader="array")
    labels = Painted("labels", painted.astype(np.uint8), CLASSES, tuple(range(48)))
    found = Labelled(volume, labels, wanted=Wants(4, 0, 3), validation=0.2, seed=0)
    for elastic in (False, True):
        images, targets = Crops(found, TrainParams(patch=24, elastic=elastic)).batch(1, range(6))
        for image, target in zip(images, targets, strict=True):
            known = target != UNLABELLED
            bright = image[0] > image[0][known].mean()
            assert (bright[known] == (target[known] == 1)).mean() > (0.85 if elastic else 0.999)
        one, other = images[0], images[1]
        assert not np.array_equal(one, other)
    again, _ = Crops(found, TrainParams(patch=24, elastic=True)).batch(1, range(6))
    assert np.array_equal(images, again), "a function of seed, step and member"


def test_crops_of_a_thin_volume_are_as_thick_as_it_is() -> None:
    crops = Crops(labelled(dense((10, 40, 40))), TrainParams(patch=48))
    assert crops.sides == (12, 40, 40) and crops.in_words() == "12 × 40 × 40"
    with pytest.raises(Invalid, match="needs slices above and below"):
        Crops(labelled(dense((1, 40, 40))), TrainParams(patch=48))


# ---------------------------------------------------------------- what judges


@pytest.mark.parametrize("painted", [sparse(), dense((40, 66, 75))])
def test_what_judges_comes_out_as_from_the_whole_volume(painted: np.ndarray) -> None:
    torch.manual_seed(0)
    params = {"depth": 2, "base_channels": 4}
    network = build("mlex_jupyter.learn.models.unet:unet3d", params, channels=1, classes=2).eval()
    blocks = Blocks(labelled(painted, 2))
    fit = Fit(2, 12, 44, 3)
    whole = forward(network, blocks.image(tuple(slice(0, side) for side in blocks.shape))[None], CPU)[0]  # type: ignore[arg-type]
    wanted = np.concatenate(
        [blocks.labelled.targets(z, "judge").ravel() for z in range(len(painted)) if z in blocks.labelled.zs]
    )
    assert sum(len(target) for _, target in depth.judged(network, blocks, fit, CPU)) == (wanted != UNLABELLED).sum()
    largest = float(whole.abs().max())
    for block in cover(*depth._cells(blocks, fit), blocks.shape, fit):
        made = forward(network, blocks.image(block.read)[None], CPU)[0, :, *block.inner]
        assert float((made - whole[:, *block.keep]).abs().max()) <= 1e-5 * largest
    shown = depth.found(network, blocks, range(9, 11), (slice(5, 40), slice(0, 75)), fit, CPU)
    assert (shown == whole[:, 9:11, 5:40, 0:75].argmax(dim=0).numpy()).mean() > 0.9999


def test_sparse_labels_are_judged_with_little_more_than_they_need() -> None:
    cells = np.zeros((64, 16, 16), bool)
    cells[20, 3, 4] = cells[50, 15, 15] = True
    fit = Fit(4, 24, 150, 3)
    blocks = cover(cells, (4, 32, 32), (256, 512, 512), fit)
    assert len(blocks) == 2
    assert blocks[0].read == (slice(56, 108), slice(72, 152), slice(104, 184))
    everywhere = cover(np.ones((64, 16, 16), bool), (4, 32, 32), (256, 512, 512), fit)
    volumes = [np.prod([side.stop - side.start for side in block.read]) for block in everywhere]
    assert max(volumes) <= fit.pixels and sum(volumes) < 5 * 256 * 512 * 512
    kept = np.zeros((256, 512, 512), np.uint8)
    for block in everywhere:
        kept[block.keep] += 1
    assert (kept == 1).all()


def test_slices_that_see_the_same_are_computed_together() -> None:
    assert depth.runs([3, 5, 90], (128, 64, 64), Fit(4, 24, 200, 3)) == [range(3, 6), range(90, 91)]
    assert depth.runs([3, 5], (128, 500, 500), Fit(4, 24, 50, 3)) == [range(3, 4), range(5, 6)]


# ---------------------------------------------------------------- all of it


def test_it_learns_what_only_shows_in_depth() -> None:
    rng = np.random.default_rng(0)
    grey = rng.normal(0, 1, (26, 32, 32)).astype(np.float32)
    truth = np.ones(grey.shape, np.uint8)
    truth[1:-1] += grey[:-2] > grey[2:]
    labels = np.zeros_like(truth)
    labels[[5, 6, 12, 20]] = truth[[5, 6, 12, 20]]
    params: dict[str, Any] = {"depth": 2, "base_channels": 8, "patch": 16, "batch": 4, "augment": False, "epochs": 2}
    model = DLSIAModel("unet3d", steps_per_epoch=60, learning_rate=0.02, **params).fit(grey, labels, say=None)
    assert model.metrics["dice"] > 0.8
    right = (model.predict(grey) == truth)[1:-1]
    assert right.mean() > 0.8 and right[15:18].mean() > 0.8, "far from all labels too"


def test_a_training_that_is_killed_and_goes_on_comes_to_the_same_bits(tmp_path: Path) -> None:
    sample = small_sample(tmp_path / "sample", size=40, slices=16)
    inputs = dataset(tmp_path / "sample/volume.zarr"), label_set(tmp_path / "sample/scribbles.zarr", sample.classes)
    how: dict[str, Any] = {"patch": 16, "depth": 2, "dropout": 0.2, "elastic": True}
    straight = train_job(tmp_path / "straight", *inputs, "unet3d", **how)
    assert run(straight) == 0, straight.log.read_text()
    broken = train_job(tmp_path / "broken", *inputs, "unet3d", **how)
    assert run(broken, MLEX_FAILPOINTS="checkpoint.written=1") == -signal.SIGKILL
    assert run(broken, 2) == 0
    assert "Going on from epoch 1, step 4" in broken.log.read_text()
    one, other = (load_file(folder.path / "weights.safetensors") for folder in (straight, broken))
    assert all(np.array_equal(one[name], other[name]) for name in one) and one.keys() == other.keys()
    assert straight.result().metrics == broken.result().metrics  # type: ignore[union-attr]
    assert "8 crops of 16 × 16 × 16 an epoch" in straight.log.read_text()
    assert [one["path"] for one in events(straight, "picture")] == [
        "pictures/epoch-0001.png",
        "pictures/epoch-0002.png",
    ]


@pytest.mark.parametrize(
    ("task", "words"), [("denoise", "learns classes for voxels, and nothing else"), ("embed", "has no encoder")]
)
def test_what_it_cannot_learn_is_said(task: str, words: str) -> None:
    grey = np.random.default_rng(0).normal(0, 1, (20, 32, 32)).astype(np.float32)
    with pytest.raises(Invalid, match=words):
        DLSIAModel("unet3d", **({} if task == "embed" else {"patch": 16})).fit(grey, task=task, say=None)
