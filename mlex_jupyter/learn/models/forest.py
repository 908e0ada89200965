"""A random forest on image features: the answer in seconds, before any deep training.

It is trained at once, by `fit`, and not by steps; all else is as with any network: slices in, logits out, weights as
tensors. scikit-learn grows the trees, inside the job only. They are kept as complete binary trees, level by level,
so that their size follows from the parameters: node n has the children 2n+1 and 2n+2, and goes right where its feature
is larger than its threshold. Axes: B batch, C channel or class, F feature, H row, W column, P pixel, T tree, N node.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from mlex_jupyter.errors import Invalid, Unavailable
from mlex_jupyter.learn.models import architecture
from mlex_jupyter.learn.models.features import count, features, reach

UNLABELLED = 255
MOST_PIXELS = 60_000
"""Labelled pixels that trees are grown from; more take longer and change little."""
AT_ONCE = 1 << 14
"""Pixels that go through the trees together, so that they stay in the processor's cache."""
LEAST = 1e-4
"""No class is ever less likely than this."""


class Forest(nn.Module):
    """Trees, and the features that they ask for."""

    def __init__(self, channels: int, classes: int, trees: int, depth: int, scales: int) -> None:
        super().__init__()
        self.channels, self.classes, self.trees, self.depth, self.scales = channels, classes, trees, depth, scales
        self.halo = reach(scales)
        nodes, leaves = 2**depth - 1, 2**depth
        self.feature_TN: Tensor
        self.threshold_TN: Tensor
        self.share_TNC: Tensor
        self.register_buffer("feature_TN", torch.zeros(trees, nodes, dtype=torch.int64))
        self.register_buffer("threshold_TN", torch.full((trees, nodes), torch.inf))
        self.register_buffer("share_TNC", torch.full((trees, leaves, classes), 1 / classes))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The logarithms of how likely each class is."""
        with torch.autocast(x_BCHW.device.type, enabled=False):  # thresholds are exact, and so must features be
            found_BFHW = features(x_BCHW.float(), self.scales)
        likely = torch.stack([self._likely(one.flatten(1)) for one in found_BFHW])
        return likely.clamp(min=LEAST).log().reshape(len(x_BCHW), self.classes, *x_BCHW.shape[-2:])

    def _likely(self, found_FP: Tensor) -> Tensor:
        """The mean of all trees, as class and pixel."""
        parts = [self._mean(part.contiguous()) for part in torch.split(found_FP, AT_ONCE, dim=1)]
        return torch.cat(parts).T

    def _mean(self, found_FP: Tensor) -> Tensor:
        trees, pixels = self.trees, found_FP.shape[1]
        nodes = self.feature_TN.shape[1]
        place_P = torch.arange(pixels, device=found_FP.device)
        first_T1 = torch.arange(trees, device=found_FP.device)[:, None] * nodes
        node_TP = torch.zeros(trees, pixels, dtype=torch.int64, device=found_FP.device)
        for _ in range(self.depth):
            here = node_TP + first_T1
            value_TP = found_FP.take(self.feature_TN.take(here).mul_(pixels).add_(place_P))
            node_TP = node_TP.mul_(2).add_(1).add_(value_TP > self.threshold_TN.take(here))
        leaf_TP = node_TP - nodes + torch.arange(trees, device=found_FP.device)[:, None] * (nodes + 1)
        return self.share_TNC.flatten(0, 1)[leaf_TP.flatten()].view(trees, pixels, -1).mean(dim=0)

    # ------------------------------------------------------------ training

    def fit(
        self, slices: Iterable[tuple[NDArray[np.float32], NDArray[np.uint8]]], seed: int = 0, jobs: int = 1
    ) -> float:
        """Grow the trees from slices, as channel, row, column, and their classes, where 255 is unlabelled.

        Returned is the cross-entropy on pixels, each by the trees that were not grown from it.
        """
        given = [self._labelled(image_CHW, target_HW) for image_CHW, target_HW in slices]
        found_PF = np.concatenate([found for found, _ in given]) if given else np.empty((0, 1), np.float32)
        target_P = np.concatenate([target for _, target in given]) if given else np.empty(0, np.uint8)
        kept = _balanced(target_P, self.classes, np.random.default_rng(seed))
        grown = _grow(found_PF[kept], target_P[kept], self.trees, self.depth, seed, jobs)
        for number, tree in enumerate(grown):
            self._take(number, tree.tree_)
        likely_P = grown.oob_decision_function_[np.arange(len(kept)), target_P[kept]]
        return float(-np.log(np.clip(likely_P[np.isfinite(likely_P)], LEAST, None)).mean())

    def _labelled(self, image_CHW: NDArray[np.float32], target_HW: NDArray[np.uint8]) -> Any:
        """The features and classes of the labelled pixels; only what they look at is computed."""
        known = target_HW != UNLABELLED
        if not known.any():
            return np.empty((0, count(self.channels, self.scales)), np.float32), target_HW[known]
        rows, columns = (
            slice(max(0, int(at.min()) - self.halo), int(at.max()) + self.halo + 1) for at in known.nonzero()
        )
        part = torch.from_numpy(np.ascontiguousarray(image_CHW[None, :, rows, columns]))
        with torch.inference_mode():
            found_FHW = features(part, self.scales)[0]
        return found_FHW[:, torch.from_numpy(known[rows, columns])].T.numpy(), target_HW[known]

    def _take(self, number: int, tree: Any) -> None:
        """One of scikit-learn's trees, made complete: below a leaf, all go left to the same."""
        nodes, device = 2**self.depth - 1, self.threshold_TN.device
        feature, threshold = np.zeros(nodes, np.int64), np.full(nodes, np.inf, np.float32)
        share = np.zeros((nodes + 1, self.classes), np.float32)
        waiting = [(0, 0)]
        while waiting:
            place, its = waiting.pop()
            if place >= nodes:
                share[place - nodes] = tree.value[its, 0]
            elif tree.children_left[its] < 0:
                waiting += [(2 * place + 1, its)]
            else:
                feature[place], threshold[place] = tree.feature[its], _below(tree.threshold[its])
                waiting += [(2 * place + 1, tree.children_left[its]), (2 * place + 2, tree.children_right[its])]
        for held, made in ((self.feature_TN, feature), (self.threshold_TN, threshold), (self.share_TNC, share)):
            held[number] = torch.from_numpy(made).to(device)


def _below(threshold: float) -> np.float32:
    """The largest single-precision number that is no more than it: values compare with both alike."""
    near = np.float32(threshold)
    return near if near <= threshold else np.nextafter(near, np.float32(-np.inf))


def _balanced(target_P: NDArray[np.uint8], classes: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Some pixels of each class, no more of one than a fair share."""
    places = [np.flatnonzero(target_P == kind) for kind in range(classes)]
    if missing := [kind for kind, own in enumerate(places) if not len(own)]:
        raise Invalid(f"No pixel of class {missing[0]} is labelled to train on.", hint="Paint some of each class.")
    most = MOST_PIXELS // classes
    return np.concatenate([own if len(own) <= most else rng.choice(own, most, replace=False) for own in places])


def _grow(found_PF: Any, target_P: Any, trees: int, depth: int, seed: int, jobs: int) -> Any:
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise Unavailable(
            f"scikit-learn cannot be imported here: {error}.", hint="`pip install scikit-learn` where the job runs."
        ) from error
    forest = RandomForestClassifier(
        trees,
        max_depth=depth,
        min_samples_leaf=2,
        class_weight="balanced",
        oob_score=True,
        random_state=seed,
        n_jobs=jobs,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some inputs do not have OOB scores")  # with few trees; those do not count
        return forest.fit(found_PF, target_P)


@architecture(
    title="Random forest",
    place=3,
    description="Trees on image features of each pixel: seconds to train; for a first look and plain textures.",
    presets={
        "fast": {"trees": 16, "scales": 3},
        "balanced": {"trees": 32, "scales": 4},
        "best": {"trees": 100, "scales": 5, "tree_depth": 12},
    },
    trains="once",
)
def forest(
    *,
    channels: int,
    classes: int,
    trees: Annotated[int, Field(ge=1, le=500, description="More are smoother, and slower.")] = 32,
    tree_depth: Annotated[int, Field(ge=2, le=14, description="Questions that a tree asks of a pixel.")] = 10,
    scales: Annotated[int, Field(ge=1, le=6, description="Scales of the features; each is twice as coarse.")] = 4,
) -> nn.Module:
    """Build one that knows nothing yet."""
    return Forest(channels, classes, trees, tree_depth, scales)
