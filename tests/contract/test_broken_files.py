"""Files that are broken or mean harm: whatever is in them, a reader says in one sentence what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from mlex_jupyter.data.places import located
from mlex_jupyter.data.readers import inspect_volume, open_path
from mlex_jupyter.errors import Invalid, NotFound
from tests.volumes import (
    Writer,
    every_reader,
    hdf5,
    ngff,
    npy,
    packed_tiff,
    tiff_folder,
    truth,
    zarr_3,
)


@every_reader
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_invalid_and_never_wrong(tmp_path: Path, write: Writer, part: float) -> None:
    array = truth(5, 32, 48)
    path = write(tmp_path / "stack", array)
    folder = path if path.is_dir() else path.parent
    files = [path] if path.is_file() else sorted(file for file in folder.rglob("*") if file.is_file())[:8]
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[: int(len(whole) * part)])
        try:
            with open_path(path) as volume:
                read = volume[...]
        except Invalid as error:
            assert "\n" not in error.message
        else:  # what was cut off held no pixels
            np.testing.assert_array_equal(read, array)
        file.write_bytes(whole)


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path("harm.txt").write_text, ("done",)


def test_an_array_of_objects_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("objects.npy", np.array([[Harm(), 1], [2, 3]], dtype=object), allow_pickle=True)
    Path("bare.npy").write_bytes(__import__("pickle").dumps(Harm()))
    for name in ("objects.npy", "bare.npy"):
        with pytest.raises(Invalid):
            inspect_volume(name)
    assert not Path("harm.txt").exists()


def test_a_header_that_promises_a_petabyte_is_invalid(tmp_path: Path) -> None:
    path = npy(tmp_path / "huge", truth(2, 8, 8))
    path.write_bytes(path.read_bytes().replace(b"(2, 8, 8)", b"(9999999, 9999, 9999)"))
    with pytest.raises(Invalid):
        inspect_volume(str(path))


@pytest.mark.parametrize(
    "path_of_level",
    ["../outside.zarr", "/etc", "..", "", "nowhere", 7, None, ["fine"], {"a": 1}, "fine/../../outside.zarr"],
)
def test_an_image_cannot_point_out_of_its_own_folder(tmp_path: Path, path_of_level: object) -> None:
    zarr_3(tmp_path / "outside", truth(2, 8, 8))
    image = ngff(tmp_path / "image", truth(2, 8, 8))
    file = image / "zarr.json"
    metadata = json.loads(file.read_text())
    metadata["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = path_of_level
    file.write_text(json.dumps(metadata))
    with pytest.raises(Invalid):
        inspect_volume(str(image))


@pytest.mark.parametrize(
    "multiscales", [[{}], {}, [], "x", [None], [{"datasets": []}], [{"datasets": [{}]}], [{"axes": 3, "datasets": 3}]]
)
def test_metadata_that_make_no_sense_are_invalid(tmp_path: Path, multiscales: object) -> None:
    image = ngff(tmp_path / "image", truth(2, 8, 8))
    zarr.open_group(image).attrs["ome"] = {"multiscales": multiscales}
    with pytest.raises(Invalid):
        inspect_volume(str(image))


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\x93NUMPY", b"\0" * 100, b"{", "{}".encode("utf-16")])
@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.zarr/zarr.json", "a.zarr/.zarray"])
def test_rubbish_is_invalid_in_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(Invalid) as refused:
        inspect_volume(str(tmp_path / name.split("/")[0]))
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "name", ['it\'s "one"', "$(touch harm)", "new\nline", "semi;colon && x", "päth %s {0}", "a::b", "-rf"]
)
@pytest.mark.parametrize("write", [npy, zarr_3, packed_tiff, hdf5, tiff_folder], ids=lambda writer: writer.__name__)
def test_a_strange_name_is_only_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Writer, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    array = truth(2, 8, 8)
    path = write(Path(name), array)
    with open_path(located(str(path))) as volume:
        np.testing.assert_array_equal(volume[...], array)
    assert sorted(tmp_path.iterdir()) == [tmp_path / path]


@pytest.mark.parametrize(
    "uri", ["nowhere.npy", "", "a\0b.npy", "x" * 5000, "~nobody-of-this-name/x.npy", "/dev/null", "/", "new\nline.npy"]
)
def test_a_path_to_nothing_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((NotFound, Invalid)) as refused:
        inspect_volume(uri)
    assert len(refused.value.message) < 500


@pytest.mark.parametrize("uri", ["ftp://host/a.npy", "file:///tmp/a.npy", "memory://a"])
def test_urls_that_no_reader_claims_are_refused(uri: str) -> None:
    with pytest.raises(Invalid, match="URL"):
        inspect_volume(uri)


def test_a_file_of_another_kind_is_told_which_readers_there_are(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(Invalid, match="No reader") as refused:
        inspect_volume(str(tmp_path / "notes.txt"))
    assert "hdf5, numpy, s3, stack, tiff, tiled, zarr" in str(refused.value.hint)
