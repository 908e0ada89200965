"""Readers: what opens a file as a Volume. They read what is asked for, and nothing before.

A reader is an entry point of `mlex.readers`: a class without arguments that keeps the promise of `DataReader`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

from mlex_jupyter.data.volume import Volume, unreadable
from mlex_jupyter.errors import Invalid, MlexError, NotFound
from mlex_jupyter.plugins import load, load_all
from mlex_jupyter.types import Dataset, Record

GROUP = "mlex.readers"
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")


class DataReader(Protocol):
    """Opens one kind of file, lazily. Errors are Invalid, never a traceback."""

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
    with open_path(local_path(path), axes) as volume:
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
    path = local_path(dataset.uri)
    volume = load(GROUP, dataset.reader)().open(str(path), dataset.axes)
    assert isinstance(volume, Volume)
    if (volume.shape, volume.dtype.name) != (dataset.shape, dataset.dtype):
        volume.close()
        raise Invalid(
            f"{dataset.uri} is {volume.dtype.name} {volume.shape} now; "
            f"as {dataset.name} it was registered as {dataset.dtype} {dataset.shape}.",
            hint="Register the changed file under another name.",
        )
    return volume


def open_path(path: Path, axes: str | None = None) -> Volume:
    """A volume by its path, with the first reader that knows it."""
    readers = load_all(GROUP)
    for reader in (kind() for kind in readers.values()):
        if reader.opens(str(path)):
            volume = reader.open(str(path), axes)
            assert isinstance(volume, Volume)
            return volume
    raise Invalid(
        f"No reader knows what {path} is.",
        hint=f"There are readers for {', '.join(sorted(readers))}: a zarr folder, .npy, .tif or .tiff.",
    )


def local_path(uri: str) -> Path:
    """The absolute path that is meant; it exists."""
    if URL.match(uri):
        raise Invalid(f"{uri} is a URL; only files on this machine can be opened.", hint="Copy it here, say its path.")
    try:
        path = Path(uri).expanduser().absolute()
        if path.exists():
            return path
    except (ValueError, OSError, RuntimeError) as error:  # a NUL, a name too long, no such user, no permission
        raise Invalid(f"{uri[:200]!r} is not a path that can be opened: {str(error)[:200]}") from error
    raise NotFound(f"There is no file {str(path)!r}.", hint="A path is looked up on the machine where the server runs.")


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

        return _opened(tiff.open_tiff, uri, axes)


class ZarrReader:
    """A zarr array of version 2 or 3, or the finest level of an OME-NGFF image."""

    name = "zarr"

    def opens(self, uri: str) -> bool:
        """By the files that mark a zarr folder."""
        return any((Path(uri) / mark).is_file() for mark in ZARR_MARKS)

    def open(self, uri: str, axes: str | None = None) -> Volume:
        """Open the array; chunks are read when asked for."""
        from mlex_jupyter.data import ngff

        return _opened(ngff.open_zarr, uri, axes)


def _opened(opener: Any, uri: str, axes: str | None) -> Volume:
    """A library's own errors, whatever they are, in one sentence."""
    try:
        volume = opener(uri, axes)
    except MlexError:
        raise
    except Exception as error:
        raise unreadable(uri, error) from error
    assert isinstance(volume, Volume)
    return volume
