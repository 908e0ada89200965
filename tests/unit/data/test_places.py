"""Places: what people write is found, inside files, by patterns and by URL; what is not there is said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlex_jupyter.data.places import located, split, title
from mlex_jupyter.errors import Invalid, NotFound


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("scan.h5", "a::b", "s_1.tif", "s_2.tif", "odd[1].tif", ".s_3.tif"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    "uri", ["scan.h5", "scan.h5::/entry/data", "a::b", "a::b::/x", "s_*.tif", "./s_?.tif", "odd[1].tif"]
)
def test_a_place_is_absolute_however_it_is_written(here: Path, uri: str) -> None:
    assert located(uri) == str(here / uri)
    assert located(located(uri)) == located(uri)


@pytest.mark.parametrize(
    ("uri", "file", "inside"),
    [
        ("scan.h5", "scan.h5", ""),
        ("scan.h5::/entry/data", "scan.h5", "/entry/data"),
        ("a::b", "a::b", ""),
        ("a::b::/x", "a::b", "/x"),
        ("s3://bucket/a::b", "s3://bucket/a::b", ""),
    ],
)
def test_the_way_inside_begins_after_the_file(uri: str, file: str, inside: str) -> None:
    assert split(uri) == (file, inside)


@pytest.mark.parametrize("uri", ["nowhere.h5::/entry", "scan.h5::", "t_*.tif", "nowhere/s_*.tif", "scan.h5:/entry"])
def test_what_is_not_there_is_not_found(uri: str) -> None:
    with pytest.raises(NotFound) as refused:
        located(uri)
    assert refused.value.hint


def test_a_file_that_begins_with_a_dot_is_only_meant_where_the_pattern_does() -> None:
    Path("s_1.tif").unlink()
    Path("s_2.tif").unlink()
    with pytest.raises(NotFound):
        located("*s_*.tif")
    assert located(".s_*.tif").endswith(".s_*.tif")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/data/scan.h5::/exchange/data", "scan.h5"),
        ("/data/scan.h5::/exchange/data_white", "scan.h5-data_white"),
        ("/data/recon_*.tif", "recon_*.tif"),
        ("/data/recon/", "recon"),
        ("s3://bucket/rec/scan.zarr", "scan.zarr"),
    ],
)
def test_a_place_has_a_name_that_says_what_it_holds(uri: str, name: str) -> None:
    assert title(uri) == name


@pytest.mark.parametrize("uri", ["gopher://host/x", "FILE:///etc/passwd"])
def test_a_url_of_no_reader_is_invalid(uri: str) -> None:
    with pytest.raises(Invalid, match="no reader"):
        located(uri)
