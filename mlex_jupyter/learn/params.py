"""How to train: the parameters that every architecture shares, with their bounds."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from mlex_jupyter.types import Params, Record


class StepParams(Record):
    """What there is to say of anything that learns by steps."""

    epochs: int = Field(8, ge=1, le=100_000, description="How many times to look at the result and keep the best.")
    steps_per_epoch: int = Field(25, ge=1, le=100_000, description="Batches between two looks.")
    batch: int = Field(8, ge=1, le=1024, description="Crops in a batch.")
    patch: int = Field(128, ge=16, le=4096, description="Side of a crop in pixels; made to fit the slices.")
    learning_rate: float = Field(0.05, gt=0, le=1, description="The highest rate, as a share of each kernel's length.")
    schedule: Literal["cosine", "level"] = Field("cosine", description="How the rate goes on, once it has risen.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="How much weights are drawn to zero.")
    validation: float = Field(0.2, gt=0, le=0.5, description="The share of the labels kept apart to judge by.")
    patience: int = Field(0, ge=0, le=100_000, description="Stop after so many epochs that were no better; 0: never.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="The same seed gives the same training.")

    @classmethod
    def of(cls, params: Params) -> Self:
        """Those of training, among all parameters."""
        return cls.model_validate({name: value for name, value in params.items() if name in cls.model_fields})


class TrainParams(StepParams):
    """The "training" half of an architecture's form."""

    class_weights: Literal["balanced", "equal"] = Field("balanced", description="Whether rare classes count for more.")
    augment: bool = Field(True, description="Also show the crops flipped, turned, brighter and darker.")
    elastic: bool = Field(False, description="And bent a little: good for soft things, wrong for crystals.")


class PretrainParams(StepParams):
    """What there is to say of learning without labels."""

    batch: int = Field(64, ge=2, le=4096, description="Patches that are told from each other at once; more is better.")
    patch: int = Field(64, ge=16, le=1024, description="Side of a view in pixels; made to fit the slices.")
    learning_rate: float = Field(0.002, gt=0, le=1, description="The highest rate; it rises to it, then falls to zero.")
    validation: float = Field(0.2, gt=0, le=0.5, description="The share of the slices kept apart to judge by.")
    temperature: float = Field(0.2, gt=0, le=10, description="Lower minds the most similar patches more.")
