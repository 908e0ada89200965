"""How to train: the parameters that every architecture shares, with their bounds."""

from __future__ import annotations

from pydantic import Field

from mlex_jupyter.types import Record


class TrainParams(Record):
    """The "training" half of an architecture's form."""

    epochs: int = Field(8, ge=1, le=100_000, description="How many times to look at the result and keep the best.")
    steps_per_epoch: int = Field(40, ge=1, le=100_000, description="Batches between two looks.")
    batch: int = Field(8, ge=1, le=1024, description="Crops in a batch.")
    patch: int = Field(128, ge=16, le=4096, description="Side of a crop in pixels; made to fit the slices.")
    learning_rate: float = Field(0.003, gt=0, le=1, description="The highest rate; it rises to it, then falls to zero.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="How much weights are drawn to zero.")
    validation: float = Field(0.2, gt=0, le=0.5, description="The share of the labels kept apart to judge by.")
    augment: bool = Field(True, description="Also show the crops flipped, turned, brighter and darker.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="The same seed gives the same training.")
