"""Plugins: found without being imported, and never fatal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlex_jupyter.data.readers import NumpyReader, inspect_volume
from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.plugins import _broken, broken, distribution, entry_points, load, load_all

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("package", "code", name="module:thing")` puts a package with entry points on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    entry_points.cache_clear()
    _broken.clear()

    def add(package: str, code: str, group: str = "mlex.readers", **points: str) -> None:
        (tmp_path / f"{package}.py").write_text(code)
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "\n".join(f"{name} = {value}" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")

    yield add
    entry_points.cache_clear()
    _broken.clear()


def test_the_built_ins_come_as_entry_points() -> None:
    assert entry_points("mlex.readers").keys() >= {"zarr", "numpy", "tiff"}
    assert entry_points("mlex.models").keys() >= {"unet", "tunet"}
    assert entry_points("mlex.targets").keys() >= {"local"}
    assert load("mlex.readers", "numpy") is NumpyReader


def test_a_plugin_is_found_without_being_imported(install: Install) -> None:
    install("quiet_plugin", "raise SystemError('imported')", extra="quiet_plugin:Reader")
    assert entry_points("mlex.readers")["extra"].value == "quiet_plugin:Reader"
    assert "quiet_plugin" not in sys.modules
    assert broken() == []


READER = """
from mlex_jupyter.data.volume import Volume
import numpy as np

class Reader:
    name = "ones"
    def opens(self, uri): return uri.endswith(".ones")
    def open(self, uri, axes=None): return Volume(np.ones((2, 3, 4)), uri=uri, reader=self.name, axes=axes)
"""


def test_a_reader_from_elsewhere_opens_its_own_files(install: Install, tmp_path: Path) -> None:
    install("ones_plugin", READER, ones="ones_plugin:Reader")
    (tmp_path / "a.ones").touch()
    info = inspect_volume(str(tmp_path / "a.ones"))
    assert (info.reader, info.shape, info.axes) == ("ones", (2, 3, 4), "zyx")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import a_package_that_is_not_there", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = 1", "AttributeError"),
    ],
)
def test_a_broken_plugin_is_logged_once_listed_and_left_out(
    install: Install, caplog: pytest.LogCaptureFixture, code: str, says: str
) -> None:
    name = f"broken_{abs(hash(code))}"
    ours = {name for name, entry in entry_points("mlex.readers").items() if distribution(entry) == "mlex-jupyter"}
    entry_points.cache_clear()
    install(name, code, bad=f"{name}:Reader")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert load_all("mlex.readers").keys() == ours
    assert [(item.name, item.distribution) for item in broken()] == [("bad", name)]
    assert says in broken()[0].error
    assert len(caplog.records) == 1
    with pytest.raises(Invalid, match=name) as refused:
        load("mlex.readers", "bad")
    assert name in str(refused.value.hint)


def test_a_plugin_cannot_take_the_place_of_a_built_in(install: Install) -> None:
    install("thief", "class Reader: pass", numpy="thief:Reader")
    assert load("mlex.readers", "numpy") is NumpyReader
    assert broken()[0].error == "The name is taken by mlex-jupyter."


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(NotFound) as refused:
        load("mlex.readers", "nmpy")
    assert refused.value.hint == "Did you mean numpy?"
    with pytest.raises(NotFound) as refused:
        load("mlex.nothing", "x")
    assert refused.value.hint == "None is installed."
