"""Every verb that takes a path holds to the folders that are allowed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlex_jupyter.app import Mlex
from mlex_jupyter.errors import Forbidden, Invalid, MlexError
from mlex_jupyter.settings import Settings


@pytest.mark.parametrize("path", ["{outside}/a.zip", "{inside}/../outside/a.zip", "{inside}/link/a.zip", "/etc/passwd"])
async def test_nothing_is_imported_from_or_exported_to_another_folder(home: Path, tmp_path: Path, path: str) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    said = path.format(inside=inside, outside=outside)
    mlex = Mlex(Settings.load(home=home, roots=[inside]))
    for ask in (
        mlex.register(said),
        mlex.import_model(said),
        mlex.inspect_package(said),
    ):
        with pytest.raises(Forbidden, match="outside of the folders"):
            await ask
    for ask in (mlex.export_model("nothing", said), mlex.export_labels("nothing", "nothing", said)):
        with pytest.raises(MlexError):
            await ask
    assert not list(outside.iterdir())
    mlex.close()


async def test_a_package_that_is_a_pipe_or_a_device_is_refused(home: Path, tmp_path: Path) -> None:
    mlex = Mlex(Settings.load(home=home))
    os.mkfifo(tmp_path / "a.zip")
    for path in (str(tmp_path / "a.zip"), "/dev/zero", "/proc/self/environ"):
        with pytest.raises(Invalid):
            await mlex.import_model(path)
    mlex.close()
