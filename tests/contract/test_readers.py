"""One suite over every reader: what is on disk is what comes out, piece by piece."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from mlex_jupyter.data.places import GROUP
from mlex_jupyter.data.readers import inspect_volume, open_path, open_volume
from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.plugins import entry_points, load
from mlex_jupyter.types import Dataset, now
from tests.volumes import (
    STACKS_OF_FILES,
    WRITERS,
    Writer,
    every_reader,
    hdf5,
    ngff,
    ngff_04,
    npy,
    plain_tiff,
    tiff_folder,
    truth,
    zarr_2,
    zarr_3,
)


@every_reader
def test_a_stack_is_read_as_it_was_written(tmp_path: Path, write: Writer) -> None:
    array = truth(5, 32, 48)
    with open_path(write(tmp_path / "stack", array)) as volume:
        assert (volume.shape, volume.dtype, volume.axes, volume.nbytes) == (
            array.shape,
            array.dtype,
            "zyx",
            array.nbytes,
        )
        assert volume.dtype.isnative
        np.testing.assert_array_equal(np.asarray(volume), array)


INDICES = [
    (3,),
    (-1,),
    (slice(None), 4),
    (2, slice(3, 9), slice(None, None, 7)),
    (slice(4, 0, -2), Ellipsis, slice(None, None, -1)),
    (Ellipsis, 5),
    (slice(1, 1),),
    (slice(-2, None), slice(10, 5), 0),
    (np.int64(1), 2, 3),
    (slice(0, 100), slice(30, 100)),
]


@every_reader
def test_every_piece_is_what_numpy_would_give(tmp_path: Path, write: Writer) -> None:
    array = truth(5, 32, 48)
    with open_path(write(tmp_path / "stack", array)) as volume:
        for index in INDICES:
            piece = volume[index]
            assert piece.shape == array[index].shape, index
            np.testing.assert_array_equal(piece, array[index], err_msg=str(index))


@every_reader
def test_an_index_outside_or_of_another_kind_is_an_index_error(tmp_path: Path, write: Writer) -> None:
    with open_path(write(tmp_path / "stack", truth(5, 32, 48))) as volume:
        wrong: list[Any] = [5, -6, (0, 0, 0, 0), (Ellipsis, Ellipsis), [0, 1], "z", 1.0, np.array([True] * 5)]
        for index in wrong:
            with pytest.raises(IndexError):
                volume[index]


# NGFF has its channels before z, by its own rules: the next test. Files in a row are always a stack.
@pytest.mark.parametrize(
    "write", [w for w in WRITERS if w not in (ngff, ngff_04, *STACKS_OF_FILES)], ids=lambda writer: writer.__name__
)
@pytest.mark.parametrize(("shape", "axes"), [((32, 48), "yx"), ((3, 2, 32, 48), "zcyx")])
def test_pictures_and_channels_have_their_axes(
    tmp_path: Path, write: Writer, shape: tuple[int, ...], axes: str
) -> None:
    array = truth(*shape)
    with open_path(write(tmp_path / "volume", array)) as volume:
        assert (volume.axes, volume.shape) == (axes, shape)
        expected = array[None] if axes == "yx" else array[0]
        np.testing.assert_array_equal(volume.slice_CYX(0), expected)


def test_a_slice_has_its_channels_first_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    array = truth(2, 3, 32, 48)
    with open_path(ngff(tmp_path / "channels", array)) as volume:
        assert (volume.axes, volume.shape_ZCYX) == ("czyx", (3, 2, 32, 48))
        np.testing.assert_array_equal(volume.slice_CYX(2), array[:, 2])
    with open_path(npy(tmp_path / "last", array.transpose(1, 2, 3, 0)), "zyxc") as volume:
        np.testing.assert_array_equal(volume.slice_CYX(2), array[:, 2])


def test_colours_in_a_tiff_are_channels(tmp_path: Path) -> None:
    array = truth(4, 32, 48, 3, dtype="uint8")
    tifffile.imwrite(tmp_path / "rgb.tif", array, photometric="rgb", compression="zlib")
    with open_path(tmp_path / "rgb.tif") as volume:
        assert volume.axes == "zyxc"
        np.testing.assert_array_equal(volume.slice_CYX(1), array[1].transpose(2, 0, 1))


def test_leading_dimensions_of_length_one_are_left_out(tmp_path: Path) -> None:
    array = truth(1, 1, 4, 32, 48)
    with open_path(ngff(tmp_path / "five", array)) as volume:
        assert (volume.axes, volume.shape) == ("zyx", (4, 32, 48))
        np.testing.assert_array_equal(volume[1:3, 5], array[0, 0, 1:3, 5])
    path = npy(tmp_path / "five", array)
    with pytest.raises(Invalid, match="5 dimensions"):
        inspect_volume(str(path))
    assert inspect_volume(str(path), "zyx").shape == (4, 32, 48)


@every_reader
@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ("yx", "3 dimensions"),
        ("zcyx", "3 dimensions"),
        ("zyq", "unknown letters: q"),
        ("zyy", "twice"),
        ("zcx", "lack y or x"),
        ("", "lack y or x"),
        ("ZYX", "unknown letters"),
        ("z\n;$(reboot)'\"", "unknown letters"),
    ],
)
def test_wrong_axes_are_refused_with_what_would_be_right(tmp_path: Path, write: Writer, axes: str, says: str) -> None:
    path = write(tmp_path / "stack", truth(5, 32, 48))
    with pytest.raises(Invalid, match=says) as refused:
        inspect_volume(str(path), axes)
    assert refused.value.hint is not None
    assert "axes=zyx" in refused.value.hint


@every_reader
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_types_are_kept(tmp_path: Path, write: Writer, dtype: str) -> None:
    assert inspect_volume(str(write(tmp_path / "stack", truth(2, 32, 48, dtype=dtype)))).dtype == dtype


@pytest.mark.parametrize(
    "write", [npy, zarr_3, zarr_2, plain_tiff, hdf5, tiff_folder], ids=lambda writer: writer.__name__
)
def test_complex_values_are_no_volume(tmp_path: Path, write: Writer) -> None:
    with pytest.raises(Invalid, match="real numbers"):
        inspect_volume(str(write(tmp_path / "phase", truth(2, 32, 48, dtype="complex64"))))


@pytest.mark.parametrize("shape", [(0, 4, 4), (7,)])
@pytest.mark.parametrize("write", [npy, zarr_3], ids=lambda writer: writer.__name__)
def test_a_line_or_nothing_is_no_volume(tmp_path: Path, write: Writer, shape: tuple[int, ...]) -> None:
    if write is zarr_3:
        path = tmp_path / "a.zarr"
        zarr.create_array(path, shape=shape, dtype="uint8", chunks=(1,) * len(shape))
    else:
        path = write(tmp_path / "a", np.zeros(shape, "uint8"))
    with pytest.raises(Invalid):
        inspect_volume(str(path))


# ---------------------------------------------------------------- what the file says besides


def test_ngff_says_the_size_of_a_pixel(tmp_path: Path) -> None:
    info = inspect_volume(str(ngff(tmp_path / "stack", truth(4, 32, 48), scale=0.65)))
    assert (info.pixel_size, info.pixel_unit) == ((0.65, 0.65, 0.65), "µm")


def test_imagej_says_the_size_of_a_pixel(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    metadata = {"axes": "ZYX", "spacing": 2.5, "unit": "micron"}
    tifffile.imwrite(path, truth(4, 32, 48), imagej=True, resolution=(2.0, 4.0), metadata=metadata)
    info = inspect_volume(str(path))
    assert (info.pixel_size, info.pixel_unit) == ((2.5, 0.25, 0.5), "µm")


def test_ome_says_the_size_of_a_pixel(tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    sizes = {f"PhysicalSize{axis}": size for axis, size in {"X": 0.5, "Y": 0.25, "Z": 2.0}.items()}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "XYZ"}
    tifffile.imwrite(path, truth(4, 32, 48), metadata={"axes": "ZYX"} | sizes | units)
    info = inspect_volume(str(path))
    assert (info.pixel_size, info.pixel_unit) == ((2.0, 0.25, 0.5), "nm")


def test_a_zarr_array_may_name_its_dimensions(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=truth(2, 3, 8, 8), dimension_names=("c", "z", "y", "x"))
    assert inspect_volume(str(tmp_path / "a.zarr")).axes == "czyx"


def test_a_zarr_group_without_an_image_says_which_arrays_are_inside(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "many.zarr", mode="w")
    group.create_array("raw/first", data=truth(2, 8, 8))
    group.create_array("second", data=truth(2, 8, 8))
    with pytest.raises(Invalid, match=r"raw/first \(2, 8, 8\), second") as refused:
        inspect_volume(str(tmp_path / "many.zarr"))
    assert str(refused.value.hint).endswith("many.zarr/raw/first.")
    assert inspect_volume(str(tmp_path / "many.zarr" / "raw" / "first")).shape == (2, 8, 8)


# ---------------------------------------------------------------- lazy


@every_reader
def test_a_slice_costs_a_slice_and_not_the_volume(tmp_path: Path, write: Writer) -> None:
    if write in (zarr_2, ngff, ngff_04):
        array = truth(8, 64, 64)  # their chunks are theirs to choose; only that it opens without reading is asked
    else:
        array = truth(32, 256, 256)
    path = write(tmp_path / "stack", array)
    open_path(path).close()  # what a library imports at first use is not the volume's
    tracemalloc.start()
    with open_path(path) as volume:
        opened = tracemalloc.get_traced_memory()[1]
        if write not in (zarr_2, ngff, ngff_04):
            volume[7]
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert opened < 2e6
    assert peak < 2e6 < 32 * 256 * 256 * 2


# ---------------------------------------------------------------- datasets, and the promise itself


def registered(path: Path, **changes: Any) -> Dataset:
    info = inspect_volume(str(path)).model_dump()
    return Dataset(id="data-1", name="stack", created=now(), **(info | changes))


@every_reader
def test_a_dataset_opens_with_the_axes_it_was_registered_with(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path / "stack", truth(5, 32, 48))
    with open_volume(registered(path, axes="cyx")) as volume:
        assert (volume.axes, volume.shape_ZCYX) == ("cyx", (1, 5, 32, 48))


def test_a_dataset_whose_file_has_changed_is_not_opened(tmp_path: Path) -> None:
    dataset = registered(npy(tmp_path / "stack", truth(5, 32, 48)))
    npy(tmp_path / "stack", truth(5, 32, 49))
    with pytest.raises(Invalid, match="registered as uint16"):
        open_volume(dataset)
    Path(dataset.uri).unlink()
    with pytest.raises(NotFound):
        open_volume(dataset)


@pytest.mark.parametrize("name", ["zarr", "numpy", "tiff", "stack", "hdf5"])
def test_every_built_in_reader_keeps_the_promise(tmp_path: Path, name: str) -> None:
    assert name in entry_points(GROUP)
    reader = load(GROUP, name)()
    assert reader.name == name
    assert not reader.opens(str(tmp_path / "nowhere.npy"))
    assert not reader.opens(str(tmp_path))
    writers = {"zarr": zarr_3, "numpy": npy, "tiff": plain_tiff, "stack": tiff_folder, "hdf5": hdf5}
    path = writers[name](tmp_path / "a", truth(2, 8, 8))
    assert reader.opens(str(path))
    with reader.open(str(path)) as volume:
        assert isinstance(volume, Volume)
        assert (volume.reader, volume.uri) == (name, f"{path}::/entry/data" if name == "hdf5" else str(path))


def test_readers_are_found_without_importing_what_they_read_with() -> None:
    ours = "mlex_jupyter.catalog.datasets, mlex_jupyter.labels, mlex_jupyter.data.pictures"
    heavy = {"numpy", "zarr", "tifffile", "PIL", "torch", "h5py", "tiled"}
    code = f"import sys, {ours}; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
