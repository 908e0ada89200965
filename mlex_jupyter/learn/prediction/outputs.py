"""What a prediction leaves: volumes beside each other, written slice by slice, and the datasets that they become.

<folder>/prediction.zarr     class values, an OME-NGFF label image; 0 where no slice was asked for
<folder>/uncertainty.zarr    how unsure each pixel is: 0 is certain, 255 a guess
<folder>/probabilities.zarr  of every class, 255 is certain; on request
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlex_jupyter.data.provenance import provenance
from mlex_jupyter.learn.prediction.levels import Levels, Like
from mlex_jupyter.learn.prediction.segmenter import Found
from mlex_jupyter.types import Dataset, JobFile, Trained, now

PARTS = {"values": "prediction", "unsure": "uncertainty", "shares": "probabilities"}


@dataclass(frozen=True)
class Outputs:
    """The volumes of one prediction."""

    folder: Path
    data: Dataset
    """What it is a prediction of."""
    shape_ZYX: tuple[int, ...]
    has_z: bool
    model: Trained
    probabilities: bool = False

    @property
    def parts(self) -> list[str]:
        """Those that are wanted."""
        return [part for part in PARTS if part != "shares" or self.probabilities]

    @property
    def exist(self) -> bool:
        """Whether all of them are there."""
        return all(self.place(part).exists() for part in self.parts)

    def place(self, part: str) -> Path:
        """Where one is."""
        return self.folder / f"{PARTS[part]}.zarr"

    def create(self, name: str) -> None:
        """Empty ones in place of whatever is there."""
        for part in self.parts:
            Levels.create(self.place(part), self._like(part, name))

    def open(self) -> Images:
        """All of them, to be written."""
        return Images({part: Levels(self.place(part)) for part in self.parts})

    def _like(self, part: str, name: str) -> Like:
        axes, shape = ("zyx", self.shape_ZYX) if self.has_z else ("yx", self.shape_ZYX[1:])
        if part == "shares":
            axes, shape = "c" + axes, (len(self.model.classes), *shape)
        classes = self.model.classes if part == "values" else ()
        return Like(name, axes, shape, self.data.pixel_size, self.data.pixel_unit, classes)

    def datasets(self, images: Images, job: JobFile) -> tuple[Dataset, ...]:
        """What they become: first the class values."""
        first = self._dataset("values", images, job, tags=("prediction",), classes=self.model.classes)
        return first, *(self._dataset(part, images, job, tags=(PARTS[part],)) for part in self.parts[1:])

    def _dataset(self, part: str, images: Images, job: JobFile, **about: Any) -> Dataset:
        array = images.levels[part].finest
        ending = "" if part == "values" else f"-{PARTS[part]}"
        return Dataset(
            id=f"ds-{job.id}{ending}",
            name=job.name[: 100 - len(ending)] + ending,
            uri=str(self.place(part).absolute()),
            reader="zarr",
            shape=tuple(array.shape),
            dtype="uint8",
            axes="".join(array.metadata.dimension_names),
            chunks=tuple(array.chunks),
            pixel_size=self.data.pixel_size,
            pixel_unit=self.data.pixel_unit,
            nbytes=int(array.nbytes),
            derived_from=tuple(source for source in (self.data.id, self.model.source) if source),
            owner=job.owner,
            provenance=provenance(),
            created=now(),
            **about,
        )


@dataclass(frozen=True)
class Images:
    """The volumes, open for writing."""

    levels: dict[str, Levels]

    def write(self, z: int, found: Found, index: int) -> None:
        """A slice of what was found, into all of them."""
        self.levels["values"].write(z, found.values_BYX[index])
        self.levels["unsure"].write(z, found.unsure_BYX[index])
        if found.shares_BKYX is not None:
            self.levels["shares"].write(z, found.shares_BKYX[index])

    def values(self, z: int) -> Any:
        """The class values of a slice that is written."""
        return self.levels["values"].read(z)

    def files(self, z: int) -> list[Path]:
        """All that a slice is in."""
        return [file for image in self.levels.values() for file in image.files(z)]
