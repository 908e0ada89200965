"""Volumes on disk in every form that there is a reader for, written from plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

Array = NDArray[Any]


def npy(path: Path, array: Array) -> Path:
    path = path.with_suffix(".npy")
    np.save(path, array)
    return path


def fortran_npy(path: Path, array: Array) -> Path:
    return npy(path, np.asfortranarray(array))


def zarr_3(path: Path, array: Array) -> Path:
    path = path.with_suffix(".zarr")
    zarr.create_array(path, data=array, chunks=(1,) * (array.ndim - 2) + array.shape[-2:])
    return path


def zarr_3_shards(path: Path, array: Array) -> Path:
    path = path.with_suffix(".zarr")
    zarr.create_array(path, data=array, chunks=(1,) * (array.ndim - 2) + array.shape[-2:], shards=array.shape)
    return path


def zarr_2(path: Path, array: Array) -> Path:
    path = path.with_suffix(".zarr")
    zarr.create_array(path, data=array, chunks=(2,) * (array.ndim - 2) + (16, 32), zarr_format=2)
    return path


def ngff(path: Path, array: Array, version: str = "0.5", scale: float = 0.5) -> Path:
    path = path.with_suffix(".ome.zarr")
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    group.create_array("fine", data=array)
    group.create_array("coarse", data=array[..., ::2, ::2])
    names = "tczyx"[-array.ndim :]
    image = {
        "axes": [
            {"name": name, "type": "space", "unit": "micrometer"} if name in "zyx" else {"name": name} for name in names
        ],
        "datasets": [
            {
                "path": level,
                "coordinateTransformations": [{"type": "scale", "scale": [scale] * array.ndim}],
            }
            for level in ("fine", "coarse")
        ],
    }
    group.attrs.update(
        {"ome": {"version": "0.5", "multiscales": [image]}} if version == "0.5" else {"multiscales": [image]}
    )
    return path


def ngff_04(path: Path, array: Array) -> Path:
    return ngff(path, array, "0.4")


def plain_tiff(path: Path, array: Array) -> Path:
    path = path.with_suffix(".tif")
    tifffile.imwrite(path, array, photometric="minisblack")
    return path


def packed_tiff(path: Path, array: Array) -> Path:
    path = path.with_suffix(".tiff")
    tifffile.imwrite(path, array, photometric="minisblack", compression="zlib")
    return path


def tiled_tiff(path: Path, array: Array) -> Path:
    path = path.with_suffix(".tif")
    tifffile.imwrite(
        path, array, photometric="minisblack", compression="zlib", tile=(16, 16) if array.size < 1e5 else (128, 128)
    )
    return path


def big_endian_tiff(path: Path, array: Array) -> Path:
    path = path.with_suffix(".tif")
    tifffile.imwrite(path, array, photometric="minisblack", byteorder=">")
    return path


def ome_tiff(path: Path, array: Array) -> Path:
    path = path.with_suffix(".ome.tif")
    axes = {2: "YX", 3: "ZYX", 4: "ZCYX"}[array.ndim]
    tifffile.imwrite(path, array, photometric="minisblack", compression="zlib", metadata={"axes": axes})
    return path


def imagej_tiff(path: Path, array: Array) -> Path:
    path = path.with_suffix(".tif")
    axes = {2: "YX", 3: "ZYX", 4: "ZCYX"}[array.ndim]
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes})
    return path


def zarr_2_folders(path: Path, array: Array) -> Path:
    path = path.with_suffix(".zarr")
    chunks = (1,) * (array.ndim - 2) + array.shape[-2:]
    key = {"name": "v2", "separator": "/"}
    zarr.create_array(path, data=array, chunks=chunks, zarr_format=2, chunk_key_encoding=key)
    return path


def hdf5(path: Path, array: Array) -> Path:
    path = path.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        file["entry/data"] = array
    return path


def hdf5_chunks(path: Path, array: Array) -> Path:
    path = path.with_suffix(".nxs")
    chunks = (1,) * (array.ndim - 2) + array.shape[-2:]
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "exchange/data", data=array, chunks=chunks, compression="gzip", shuffle=True, fletcher32=True
        )
        file.create_dataset("exchange/data_dark", data=array)
    return path


def tiff_folder(path: Path, array: Array) -> Path:
    path.mkdir()
    for z, picture in enumerate(array):
        tifffile.imwrite(path / f"s_{z + 8}.tif", picture, photometric="minisblack")  # 10 comes after 9
    return path


def tiff_pattern(path: Path, array: Array) -> Path:
    path.mkdir()
    for z, picture in enumerate(array):
        tifffile.imwrite(path / f"rec{z:05}.tiff", picture, photometric="minisblack", compression="zlib")
    return path / "rec*.tiff"


Writer = Callable[[Path, Array], Path]
WRITERS = [
    *(npy, fortran_npy, zarr_2, zarr_2_folders, zarr_3, zarr_3_shards, ngff, ngff_04),
    *(plain_tiff, packed_tiff, tiled_tiff, big_endian_tiff, ome_tiff, imagej_tiff),
    *(hdf5, hdf5_chunks, tiff_folder, tiff_pattern),
]
STACKS_OF_FILES = (tiff_folder, tiff_pattern)
every_reader = pytest.mark.parametrize("write", WRITERS, ids=lambda writer: writer.__name__)


def truth(*shape: int, dtype: str = "uint16") -> Array:
    return np.random.default_rng(3).integers(1, 250, shape).astype(dtype)
