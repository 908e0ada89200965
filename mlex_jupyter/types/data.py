"""Datasets and label sets."""

from __future__ import annotations

from enum import Enum

from pydantic import Field

from mlex_jupyter.types.base import Name, Record, Time


class ClassInfo(Record):
    """One class of a segmentation. Value 0 is always "unlabelled" and is not listed."""

    value: int = Field(ge=1, le=255)
    name: str
    color: str = Field(pattern=r"^#[0-9a-f]{6}$")


class Provenance(Record):
    """How a dataset came here."""

    path: str | None = None
    """As it was said, before it was made absolute."""
    host: str
    software: str
    """What registered it, with its version."""


class Dataset(Record):
    """A volume that can be looked at, trained on and predicted."""

    id: str
    name: Name
    uri: str
    """An absolute path; a service's datasets will have URLs."""
    reader: str
    shape: tuple[int, ...]
    dtype: str
    axes: str
    """One letter an axis, in the array's order: `zyx`, `yx`, `zcyx`."""
    chunks: tuple[int, ...] | None = None
    pixel_size: tuple[float, ...] | None = None
    pixel_unit: str | None = None
    nbytes: int
    checksum: str | None = None
    classes: tuple[ClassInfo, ...] = ()
    """What the values mean, where the volume is a segmentation."""
    derived_from: tuple[str, ...] = ()
    """Ids of the datasets, label sets, models and jobs it was made from."""
    tags: tuple[str, ...] = ()
    description: str = ""
    meta: dict[str, str] = {}
    """What people noted about it, by their own keys: beamline, sample, scan."""
    owner: str | None = None
    """Who registered it, or asked for the job that made it."""
    provenance: Provenance | None = None
    project: str | None = None
    created: Time


class DataOrder(str, Enum):
    """In which order datasets are listed."""

    NEWEST = "newest"
    NAME = "name"
    SIZE = "size"


class Facets(Record):
    """How many datasets there are of each sort, among those that were asked for; the most frequent first."""

    total: int
    more_than_total: bool = False
    """Whether there may be more, of which only as many as `total` says are counted."""
    tags: dict[str, int] = {}
    readers: dict[str, int] = {}
    dtypes: dict[str, int] = {}
    axes: dict[str, int] = {}
    owners: dict[str, int] = {}
    meta: dict[str, int] = {}
    """By `key=value`."""


class Display(Record):
    """How quick a volume is to look at along all three axes."""

    dataset: str
    name: Name
    wanted: bool
    """Whether its chunks do not suit that, so that coarser copies in blocks are made."""
    ready: bool
    levels: int
    fraction: float | None
    """How far the level is that is being made; None where nothing is being made."""
    problem: str | None = None


class LabelSet(Record):
    """Classes painted over one dataset, in versions. 0 is unlabelled and is never trained on."""

    id: str
    name: Name
    dataset: str
    classes: tuple[ClassInfo, ...]
    version: int
    uri: str
    """The zarr array of this version: uint8, the shape of the dataset's z, y and x."""
    counts: dict[str, int]
    """Labelled pixels by class name."""
    slices: tuple[int, ...]
    """The z of the slices that have labels."""
    author: str | None = None
    note: str = ""
    """Why this version was kept."""
    created: Time
