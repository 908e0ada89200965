"""DLSIA's own trainer with qlty's windows, as MLExchange's application runs it, for comparison.

Windows of 64 that begin every 32 pixels, with a border of 8 that only decides whether a window has a label; the grey
values between their percentiles; a random fifth of the windows to validate by; Adam and cross-entropy over what is
labelled. What follows its epochs is a schedule that changes nothing: it is asked once an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split

Array = NDArray[Any]
WINDOW, STEP, BORDER = 64, 32, 8
MISSING = -1


def scaled(volume: Array) -> Tensor:
    """All slices between the percentiles of all, with a channel."""
    values = volume.astype(np.float32)
    low, high = np.percentile(values, (1, 99)).astype(np.float32)
    return torch.from_numpy(np.clip((values - low) / (high - low), 0, 1))[:, None]


def windows(volume: Array, labels: Array) -> TensorDataset:
    """Of the labelled slices, the windows that have a label."""
    from qlty import cleanup
    from qlty.qlty2D import NCYXQuilt

    zs = np.flatnonzero(labels.any(axis=(1, 2)))
    rows, columns = labels.shape[1:]
    quilt = NCYXQuilt(
        Y=rows, X=columns, window=(WINDOW, WINDOW), step=(STEP, STEP), border=(BORDER, BORDER), border_weight=0.1
    )
    targets = torch.from_numpy(labels[zs].astype(np.int64)) - 1  # 0, unlabelled, becomes MISSING
    images, cut = quilt.unstitch_data_pair(scaled(volume)[zs], targets)
    images, cut, _ = cleanup.weed_sparse_classification_training_pairs_2D(images, cut, MISSING, quilt.border_tensor())
    return TensorDataset(images, cut)


def loaders(dataset: TensorDataset, batch: int, validation: float = 0.2) -> tuple[Any, Any]:
    """To train with, and to validate by; windows of the one overlap those of the other."""
    kept = max(1, int(validation * len(dataset)))
    train, judge = random_split(dataset, [len(dataset) - kept, kept])
    return DataLoader(train, batch_size=batch, shuffle=True), DataLoader(judge, batch_size=batch)


class Told:
    """A schedule that only tells that an epoch is over."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.step = tell


def train(
    network: nn.Module,
    dataset: TensorDataset,
    *,
    epochs: int,
    rate: float,
    batch: int,
    seed: int,
    told: Callable[[], None] | None = None,
) -> nn.Module:
    """What DLSIA's `train_segmentation` returns."""
    from dlsia.core.train_scripts import train_segmentation

    torch.manual_seed(seed)
    trained, _ = train_segmentation(
        network,
        *loaders(dataset, batch),
        epochs,
        nn.CrossEntropyLoss(ignore_index=MISSING),
        torch.optim.Adam(network.parameters(), lr=rate),
        "cpu",
        scheduler=Told(told) if told else None,
    )
    found: nn.Module = trained
    return found
