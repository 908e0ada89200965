"""What a prediction found: how much of each class, how many objects, and how sure each slice is."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from mlex_jupyter.types.base import Record
from mlex_jupyter.types.zoo import FitReport

SLICES = r"(all|middle|\d{1,9}|\d{0,9}:\d{0,9})"


def _some_slices(text: str) -> str:
    import re

    if not re.fullmatch(SLICES, text):
        raise ValueError("say a slice, as 10, a range, as 10:40, all or middle")
    return text


Slices = Annotated[str, AfterValidator(_some_slices), Field(json_schema_extra={"pattern": f"^{SLICES}$"})]
"""Some slices of a volume: `10`, `10:40` (40 is not among them), `:40`, `10:`, `all`, `middle`."""


def range_of(slices: str | None, depth: int) -> range:
    """The slices that are meant, of a volume with so many; empty where it has none of them."""
    if slices in (None, "all"):
        return range(depth)
    if slices == "middle":
        return range(depth // 2, depth // 2 + 1)
    begin, colon, end = str(slices).partition(":")
    first = int(begin or 0)
    return range(first, min(depth, int(end or depth) if colon else first + 1))


def part_of(part: str | None, slices: range) -> range:
    """A share of some slices: `2/8` is the second eighth of them."""
    if part is None:
        return slices
    number, count = map(int, part.split("/"))
    first, beyond = (slices.start + len(slices) * share // count for share in (number - 1, number))
    return range(first, min(beyond, slices.stop))


class ClassFound(Record):
    """How much there is of a class, and in how many pieces: voxels that touch face to face are one object."""

    name: str
    value: int
    voxels: int
    fraction: float
    """Of all voxels that were predicted."""
    objects: int
    mean_size: float
    """In voxels, as the following."""
    median_size: int
    largest_size: int


class SliceFound(Record):
    """One slice of a prediction."""

    z: int
    uncertainty: float = Field(ge=0, le=1)
    """The mean entropy of its pixels: 0 where the network is certain, 1 where it guesses."""


class Segmented(Record):
    """`segmented.json` of a prediction: what there is of each class, and how sure each slice is."""

    classes: tuple[ClassFound, ...]
    slices: tuple[SliceFound, ...]

    @property
    def uncertainty(self) -> float:
        """The mean over the slices."""
        return round(sum(one.uncertainty for one in self.slices) / len(self.slices), 6)

    @property
    def metrics(self) -> dict[str, float]:
        """What a run says of it, by name."""
        fractions = {f"fraction/{one.name}": round(one.fraction, 6) for one in self.classes}
        objects = {f"objects/{one.name}": float(one.objects) for one in self.classes}
        return fractions | objects | {"uncertainty": self.uncertainty}


class Tried(Record):
    """What a network makes of one slice."""

    fit: FitReport
    run: str
    z: int
    uncertainty: float
    classes: tuple[ClassFound, ...]
    picture: str
    """Where in the home a picture is: the slice, and beside it what was found."""
