"""Readers: what opens a file as a Volume. They read what is asked for, and nothing before.

A reader is an entry point of `mlex.readers`: a class without arguments that keeps the promise of `DataReader`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mlex_jupyter.data.places import GROUP, located
from mlex_jupyter.data.volume import Volume, unreadable
from mlex_jupyter.errors import Invalid, MlexError
from mlex_jupyter.plugins import load, load_all
from mlex_jupyter.types import Dataset, Record

ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")


class DataReader(Protocol):
    """Opens one kind of file, lazily. Errors are Invalid, never a traceback.

    A reader of URLs says which in `schemes`, such as `("s3",)`; others have no such attribute.
    """

    name: str

    def opens(self, uri: str) -> bool:
        """Whether this looks like the reader's kind of file; cheap."""

    def open(self, uri: str, axes: str | None = None) -> Volume:
        """The volume; `axes` in place of what the file says."""


class VolumeInfo(Record):
    """What a file says about its volume."""

    uri: str
    reader: str
    shape: tuple[int, ...]
    dtype: str
    axes: str
    chunks: tuple[int, ...] | None
    pixel_size: tuple[float, ...] | None
    """One number for each of z, y and x, in the array's order."""
    pixel_unit: str | None
    nbytes: int


def inspect_volume(path: str, axes: str | None = None) -> VolumeInfo:
    """Look at a file without reading its values: Invalid where it is no volume."""
    with open_path(located(path), axes) as volume:
        return VolumeInfo(
            uri=volume.uri,
            reader=volume.reader,
            shape=volume.shape,
            dtype=volume.dtype.name,
            axes=volume.axes,
            chunks=volume.chunks,
            pixel_size=volume.pixel_size,
            pixel_unit=volume.pixel_unit,
            nbytes=volume.nbytes,
        )


def open_volume(dataset: Dataset) -> Volume:
    """The volume of a dataset; Invalid where its file is no longer what was registered."""
    volume = load(GROUP, dataset.reader)().open(located(dataset.uri), dataset.axes)
    assert isinstance(volume, Volume)
    if (volume.shape, volume.dtype.name) != (dataset.shape, dataset.dtype):
        volume.close()
        raise Invalid(
            f"{dataset.uri} is {volume.dtype.name} {volume.shape} now; "
            f"as {dataset.name} it was registered as {dataset.dtype} {dataset.shape}.",
            hint="Register the changed file under another name.",
        )
    return volume


def open_path(place: str | Path, axes: str | None = None) -> Volume:
    """A volume by its place, with the first reader that knows it."""
    uri = str(place)
    readers = load_all(GROUP)
    for reader in (kind() for kind in readers.values()):
        if reader.opens(uri):
            volume = reader.open(uri, axes)
            assert isinstance(volume, Volume)
            return volume
    raise Invalid(
        f"No reader knows what {uri} is.",
        hint=f"There are readers for {', '.join(sorted(readers))}: "
        "a zarr folder, .npy, HDF5, TIFFs or a folder of them, zarr in S3, a Tiled server's array. See docs/data.md.",
    )


class NumpyReader:
    """`.npy`, mapped into memory. Arrays of objects are refused: they would run code."""

    name = "numpy"

    def opens(self, uri: str) -> bool:
        """By the ending."""
        return uri.lower().endswith(".npy") and Path(uri).is_file()

    def open(self, uri: str, axes: str | None = None) -> Volume:
        """Map the file."""
        from numpy.lib.format import open_memmap

        try:
            source = open_memmap(uri, mode="r")
        except Exception as error:
            raise unreadable(uri, error) from error
        return Volume(source, uri=uri, reader=self.name, axes=axes)


class TiffReader:
    """TIFF, with what ImageJ and OME say about axes and pixels."""

    name = "tiff"

    def opens(self, uri: str) -> bool:
        """By the ending."""
        return uri.lower().endswith((".tif", ".tiff")) and Path(uri).is_file()

    def open(self, uri: str, axes: str | None = None) -> Volume:
        """Map the file where its pixels lie plainly in a row, else read page by page."""
        from mlex_jupyter.data import tiff

        return opened(tiff.open_tiff, uri, axes)


class ZarrReader:
    """A zarr array of version 2 or 3, or the finest level of an OME-NGFF image."""

    name = "zarr"

    def opens(self, uri: str) -> bool:
        """By the files that mark a zarr folder."""
        return any((Path(uri) / mark).is_file() for mark in ZARR_MARKS)

    def open(self, uri: str, axes: str | None = None) -> Volume:
        """Open the array; chunks are read when asked for."""
        from mlex_jupyter.data import ngff

        return opened(ngff.open_zarr, uri, axes)


def opened(opener: Callable[[str, str | None], Volume], uri: str, axes: str | None) -> Volume:
    """A library's own errors, whatever they are, in one sentence."""
    try:
        return opener(uri, axes)
    except MlexError:
        raise
    except Exception as error:
        raise unreadable(uri, error) from error
