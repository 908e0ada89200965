"""HDF5: what is meant is found, by name, by convention or alone; what lies in another file is never looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mlex_jupyter.data.readers import inspect_volume, open_path
from mlex_jupyter.errors import Invalid

ARRAY = np.random.default_rng(5).integers(1, 250, (4, 24, 32)).astype("uint16")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scan.h5"


@pytest.fixture
def file(path: Path) -> h5py.File:
    return h5py.File(path, "w")


def nexus(file: h5py.File, **attributes: Any) -> h5py.Group:
    data = file.create_group("entry/data")
    data["counts"] = ARRAY
    data.attrs.update({"signal": "counts"} | attributes)
    file.attrs["default"] = "entry"
    file["entry"].attrs["default"] = "data"
    file["entry/raw"] = ARRAY[:, ::-1]
    return data


def found(place: Path | str) -> str:
    return inspect_volume(str(place)).uri.partition("::")[2]


def test_an_array_is_named_after_two_colons(file: h5py.File, path: Path) -> None:
    file["a/b"] = ARRAY
    file["c"] = ARRAY[:2]
    file.close()
    for place, shape in {"/a/b": (4, 24, 32), "a/b/": (4, 24, 32), "/c": (2, 24, 32), "/a": (4, 24, 32)}.items():
        assert inspect_volume(f"{path}::{place}").shape == shape


def test_several_arrays_are_listed_with_their_shapes(file: h5py.File, path: Path) -> None:
    file["a/b"], file["c"], file["line"], file["words"] = ARRAY, ARRAY[:2], ARRAY[0, 0], "hello"
    file.close()
    with pytest.raises(Invalid, match=r"/a/b \(4, 24, 32\), /c \(2, 24, 32\)\.$") as refused:
        inspect_volume(str(path))
    assert str(refused.value.hint).endswith("scan.h5::/a/b")


def test_the_one_array_or_the_one_that_is_far_larger_is_meant(file: h5py.File, path: Path) -> None:
    file["volume"], file["preview"], file["angles"] = ARRAY, ARRAY[0, ::4, ::4], ARRAY[0, 0]
    file.close()
    assert found(path) == "/volume"


def test_nexus_and_data_exchange_say_which_array_is_the_data(file: h5py.File, path: Path, tmp_path: Path) -> None:
    nexus(file)
    file.close()
    assert found(path) == found(f"{path}::/entry") == "/entry/data/counts"
    with h5py.File(tmp_path / "exchange.h5", "w") as exchange:
        exchange["exchange/data"], exchange["exchange/data_white"] = ARRAY, ARRAY
    assert found(tmp_path / "exchange.h5") == "/exchange/data"


def test_nexus_says_axes_and_pixels(file: h5py.File, path: Path) -> None:
    data = nexus(file, axes=["z", "y", "x"])
    for axis, length, step in (("z", 4, 2.0), ("y", 24, 0.5), ("x", 32, 0.5)):
        data[axis] = 7 + step * np.arange(length)
        data[axis].attrs["units"] = "um"
    file.close()
    info = inspect_volume(str(path))
    assert (info.axes, info.pixel_size, info.pixel_unit) == ("zyx", (2.0, 0.5, 0.5), "µm")


def test_positions_that_are_not_even_are_no_pixel_size(file: h5py.File, path: Path) -> None:
    data = nexus(file, axes=["z", "y", "x"])
    for axis, length in (("z", 4), ("y", 24), ("x", 32)):
        data[axis] = np.arange(length) ** 2.0
        data[axis].attrs["units"] = "um"
    file.close()
    assert inspect_volume(str(path)).pixel_size is None


def test_labels_of_dimensions_and_the_size_that_fiji_writes_are_read(file: h5py.File, path: Path) -> None:
    file["data"] = np.stack([ARRAY, ARRAY])
    for dimension, label in zip(file["data"].dims, "czyx", strict=True):
        dimension.label = label
    file["data"].attrs["element_size_um"] = [3.0, 0.25, 0.25]
    file.close()
    info = inspect_volume(str(path))
    assert (info.axes, info.pixel_size, info.pixel_unit) == ("czyx", (3.0, 0.25, 0.25), "µm")


def test_chunks_are_said(file: h5py.File, path: Path) -> None:
    file.create_dataset("data", data=ARRAY, chunks=(1, 24, 32), compression="gzip")
    file.close()
    assert inspect_volume(str(path)).chunks == (1, 24, 32)


# ---------------------------------------------------------------- other files


def test_a_link_within_the_file_is_followed_and_one_in_a_circle_is_not(file: h5py.File, path: Path) -> None:
    file["real/data"] = ARRAY
    file["soft"] = h5py.SoftLink("/real")
    file["real/near"] = h5py.SoftLink("data")
    file["circle"] = h5py.SoftLink("/circle")
    file.close()
    assert found(f"{path}::/soft/near") == "/real/data"
    with pytest.raises(Invalid, match="circle"):
        inspect_volume(f"{path}::/circle")


@pytest.mark.parametrize("place", ["/out", "/out/deeper", "/by/way", "/group/x", ""])
def test_a_link_to_another_file_is_refused_before_that_is_opened(file: h5py.File, path: Path, place: str) -> None:
    """The other file is a pipe that nobody writes to: who opens it waits for ever."""
    os.mkfifo(path.parent / "pipe.h5")
    file["out"] = h5py.ExternalLink("pipe.h5", "/data")
    file["by"] = h5py.SoftLink("/group")
    file["group/way"] = h5py.ExternalLink(str(path.parent / "pipe.h5"), "/data")
    file["group/x"] = h5py.SoftLink("way")
    file["group"].attrs.update({"signal": "way"})
    file.attrs["default"] = "group"
    file.close()
    code = f"""
from mlex_jupyter.data.readers import inspect_volume
from mlex_jupyter.errors import Invalid
try:
    inspect_volume({f"{path}::{place}" if place else str(path)!r})
except Invalid as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "a link to /data in" in done.stdout


def test_virtual_and_external_values_are_refused(file: h5py.File, path: Path) -> None:
    (path.parent / "secret").write_bytes(b"s" * ARRAY.nbytes)
    layout = h5py.VirtualLayout(shape=ARRAY.shape, dtype="uint16")
    layout[:] = h5py.VirtualSource("other.h5", "data", shape=ARRAY.shape)
    file.create_virtual_dataset("virtual", layout)
    file.create_dataset("external", ARRAY.shape, "uint16", external=[("secret", 0, h5py.h5f.UNLIMITED)])
    file.close()
    with pytest.raises(Invalid, match="virtual dataset over other files"):
        inspect_volume(f"{path}::/virtual")
    with pytest.raises(Invalid, match="stored in the file secret"):
        inspect_volume(f"{path}::/external")
    with pytest.raises(Invalid, match="no array"):
        inspect_volume(str(path))


@pytest.mark.parametrize("place", ["/names", "/table", "/line", "/nowhere", "/data/deeper", "/../data", "/empty", "/"])
def test_what_is_no_volume_is_invalid(file: h5py.File, path: Path, place: str) -> None:
    file["names"] = np.array([["a", "b"]], dtype="S2")
    file["table"] = np.zeros((3, 3), dtype=[("a", "i4"), ("b", "f4")])
    file["line"] = np.arange(7)
    file["empty"] = h5py.Empty("f4")
    file.create_group("data")["x"] = ARRAY
    file["data/y"] = ARRAY
    file.close()
    with pytest.raises(Invalid) as refused:
        inspect_volume(f"{path}::{place}")
    assert "\n" not in refused.value.message


def test_groups_in_a_circle_are_walked_once(file: h5py.File, path: Path) -> None:
    file["a/data"] = ARRAY
    file["a/again"] = file["/"]
    file.close()
    assert inspect_volume(str(path)).shape == ARRAY.shape


def test_a_compression_that_is_not_there_is_named(file: h5py.File, path: Path) -> None:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((1, 24, 32))
    made.set_filter(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FLAG_OPTIONAL, (4,))
    h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_UINT16, h5py.h5s.create_simple(ARRAY.shape), made)
    file.close()
    whole = path.read_bytes()
    at = whole.index(b"deflate")
    start = whole.rindex(b"\1\0\x08\0", 0, at)  # the number of the filter, before its name
    path.write_bytes(whole[:start] + b"\xff\x7f" + whole[start + 2 :])
    with pytest.raises(Invalid, match="compressed with") as refused:
        inspect_volume(str(path))
    assert refused.value.hint == "pip install hdf5plugin"


# ---------------------------------------------------------------- other programs

WRITER = """
import sys, h5py
file = h5py.File(sys.argv[1], "a")
print("open", flush=True)
input()
file["more"] = 1
file.close()
"""


def test_a_file_that_is_being_written_is_said_to_be(file: h5py.File, path: Path) -> None:
    file["data"] = ARRAY
    file.close()
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=-1, stdout=-1, text=True) as writer:
        assert writer.stdin and writer.stdout and writer.stdout.readline() == "open\n"
        with pytest.raises(Invalid, match="open for writing in another program"):
            inspect_volume(str(path))
        writer.communicate("\n")
    assert inspect_volume(f"{path}::/data").shape == ARRAY.shape


SWMR = """
import sys, h5py
file = h5py.File(sys.argv[1], "a", libver="latest")
file.swmr_mode = True
print("open", flush=True)
input()
"""


def test_a_writer_that_lets_others_read_is_read_along_with(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("data", data=ARRAY, maxshape=(None, 24, 32))
    with subprocess.Popen([sys.executable, "-c", SWMR, path], stdin=-1, stdout=-1, text=True) as writer:
        assert writer.stdin and writer.stdout and writer.stdout.readline() == "open\n"
        with open_path(path) as volume:
            np.testing.assert_array_equal(volume[2], ARRAY[2])
        writer.communicate("\n")


def test_whoever_acquires_data_is_not_kept_from_writing(file: h5py.File, path: Path) -> None:
    file["data"] = ARRAY
    file.close()
    with open_path(path) as volume:
        done = subprocess.run([sys.executable, "-c", WRITER, path], input="\n", text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(volume[2], ARRAY[2])
