"""What works on this machine, and what to type where it does not."""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from mlex_jupyter.errors import Invalid
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Check

# As an attribute of the package the word is the verb.
doctor = import_module("mlex_jupyter.upkeep.doctor")


async def by_name(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in await doctor.checks(settings)}


async def test_a_healthy_home_is_well(settings: Settings) -> None:
    found = await by_name(settings)
    for name in ("Python", "Home", "Database", "Supervisor"):
        assert found[name].ok, found[name]
    assert str(settings.home) in found["Home"].says
    assert all(check.ok == (check.mend is None) for check in found.values())


async def test_it_does_not_keep_a_person_waiting(settings: Settings) -> None:
    begun = time.monotonic()
    await doctor.checks(settings)
    assert time.monotonic() - begun < doctor.PATIENCE_S + 2


async def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    found = await by_name(Settings(home=file / "home"))
    for name in ("Home", "Database", "Supervisor"):
        assert not found[name].ok
    assert "MLEX_HOME" in (found["Home"].mend or "")
    assert str(file) in found["Home"].says


async def test_a_full_disk_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE", 1e18)
    check = (await by_name(settings))["Home"]
    assert not check.ok
    assert "free" in check.says


async def test_a_network_file_system_is_explained(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "on_network", lambda path: True)
    monkeypatch.setattr(doctor, "file_system", lambda path: "nfs4")
    check = (await by_name(settings))["File system"]
    assert not check.ok
    assert "nfs4" in check.says
    assert "one host" in check.says


async def test_the_supervisor_is_asleep_or_at_work(settings: Settings) -> None:
    from mlex_jupyter.lease import take

    assert "asleep" in (await by_name(settings))["Supervisor"].says
    held = take(settings)
    assert held is not None
    assert (await by_name(settings))["Supervisor"].says == "at work"
    os.close(held)


async def test_a_missing_dlsia_is_mended_without_its_own_requirements(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    found = await by_name(settings)
    assert found["DLSIA"].mend == "pip install --no-deps dlsia==0.3.4 qlty==1.5.0"
    assert found["PyTorch"].mend == "pip install 'mlex-jupyter[learn]'"
    assert found["JupyterLab"].mend == "pip install 'mlex-jupyter[lab]'"


async def test_a_broken_torch_is_told_in_its_own_words(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TORCH", "raise ImportError('libfoo.so is missing')")
    check = (await by_name(settings))["PyTorch"]
    assert not check.ok
    assert "libfoo.so is missing" in check.says


async def test_a_slow_torch_is_not_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TORCH", "import time; time.sleep(60)")
    monkeypatch.setattr(doctor, "PATIENCE_S", 0.5)
    assert "more than 0.5 s" in (await by_name(settings))["PyTorch"].says


def enabled(folder: Path, yes: bool) -> str:
    folder.mkdir()
    server = {"ServerApp": {"jpserver_extensions": {doctor.SERVER_EXTENSION: yes}}}
    (folder / "jupyter_server_config.json").write_text(json.dumps(server))
    return str(folder)


@pytest.mark.parametrize("yes", [True, False])
async def test_the_server_extension_is_looked_up_as_jupyter_does(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yes: bool
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", enabled(tmp_path / "config", yes))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    check = (await by_name(settings))["Server extension"]
    assert check.ok is yes
    assert yes or check.mend == "jupyter server extension enable mlex_jupyter.server"


async def test_an_old_node_is_told_apart(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!{sys.executable}\nprint('v16.1.0')\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    check = (await by_name(settings))["Node"]
    assert not check.ok
    assert "16.1.0" in check.says


def test_the_shell_shows_it(mlex_run: Callable[..., object]) -> None:
    said = mlex_run("doctor").stdout  # type: ignore[attr-defined]
    assert "Python" in said
    assert "Database" in said


async def test_what_opens_hdf5_or_s3_is_said_where_it_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    extras = import_module("mlex_jupyter.data.extras")
    monkeypatch.setitem(extras.EXTRAS, "hdf5", ("no_such_module", "HDF5"))
    assert "pip install 'mlex-jupyter[hdf5" in (await doctor._readers(settings)).says
    with pytest.raises(Invalid) as refused:
        extras.needed("hdf5")
    assert refused.value.hint == "pip install 'mlex-jupyter[hdf5]'"
