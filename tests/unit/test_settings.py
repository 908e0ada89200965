"""A setting is looked for in what was given, then in the environment, then in config.yaml, then in the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlex_jupyter.errors import Invalid
from mlex_jupyter.settings import Settings, default_home


def test_the_nearer_place_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().retries == 3
    (home / "config.yaml").write_text("retries: 4\nidle_s: 7.5\n")
    assert (Settings.load().retries, Settings.load().idle_s) == (4, 7.5)
    monkeypatch.setenv("MLEX_RETRIES", "5")
    assert Settings.load().retries == 5
    assert Settings.load(retries=6).retries == 6
    assert Settings.load().idle_s == 7.5


def test_config_yaml_is_that_of_the_home_that_is_meant(home: Path, tmp_path: Path) -> None:
    (home / "config.yaml").write_text("retries: 4\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("retries: 8\n")
    assert Settings.load().retries == 4
    assert Settings.load(home=tmp_path / "other").retries == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("local_cpus: many", "local_cpus is wrong"),
        ("local_cpus: 0", "local_cpus is wrong"),
        ("retries: 99", "retries is wrong"),
        ("idle_s: -1", "idle_s is wrong"),
        ("stop_grace_s: [1]", "stop_grace_s is wrong"),
        ("[1, 2]", "config.yaml cannot be read"),
        ("just words", "config.yaml cannot be read"),
        ("a: [", "config.yaml cannot be read"),
        ("\x00", "config.yaml cannot be read"),
    ],
)
def test_what_is_wrong_is_named(home: Path, text: str, words: str) -> None:
    (home / "config.yaml").write_text(text)
    with pytest.raises(Invalid, match=words) as caught:
        Settings.load()
    assert caught.value.hint


def test_bytes_that_are_no_text_are_an_error_in_words(home: Path) -> None:
    (home / "config.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(Invalid, match="cannot be read"):
        Settings.load()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "a_setting_of_a_later_version: 1\n", "1: 2\n"])
def test_what_is_not_for_us_changes_nothing(home: Path, text: str) -> None:
    (home / "config.yaml").write_text(text)
    assert Settings.load().retries == 3


def test_a_wrong_variable_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLEX_LOCAL_CPUS", "many")
    with pytest.raises(Invalid, match="local_cpus is wrong"):
        Settings.load()


def test_the_home_is_a_place_of_its_own_and_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MLEX_HOME", raising=False)
    assert default_home() == tmp_path / ".mlex"
    monkeypatch.setenv("MLEX_HOME", "~/beamtime")
    assert default_home() == tmp_path / "beamtime"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLEX_HOME", "here")
    assert default_home() == tmp_path / "here"


@pytest.mark.parametrize("said", ["~/beamtime", "beamtime", "./x/../beamtime"])
def test_however_it_is_said_the_home_is_the_same_place_for_everybody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLEX_HOME", said)
    by_environment = Settings.load().home
    monkeypatch.delenv("MLEX_HOME")
    assert Settings.load(home=said).home == by_environment
    assert by_environment.is_absolute()
    assert by_environment.resolve() == tmp_path / "beamtime"


def test_another_process_gets_the_same_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings.load(home=home, user="Zoë", local_cpus=3, local_gpus=0, retries=1, stop_grace_s=2.5, idle_s=9)
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == given


def test_what_is_left_out_is_left_out_of_the_environment_too(home: Path) -> None:
    assert "MLEX_LOCAL_GPUS" not in Settings.load(local_gpus=None).environment()
    assert Settings.load(local_gpus=0).environment()["MLEX_LOCAL_GPUS"] == "0"


def test_folders_and_hosts_are_lists_in_every_way_of_saying_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.yaml").write_text(f"roots: [{tmp_path}, /data]\nallowed_hosts: [localhost]\n")
    assert Settings.load().roots == (tmp_path, Path("/data"))
    monkeypatch.setenv("MLEX_ROOTS", f"/data:{tmp_path}/a,b")
    monkeypatch.setenv("MLEX_ALLOWED_HOSTS", "localhost:8000,127.0.0.1")
    found = Settings.load()
    assert found.roots == (Path("/data"), tmp_path / "a,b")
    assert found.allowed_hosts == ("localhost:8000", "127.0.0.1")
    for name in ("MLEX_ROOTS", "MLEX_ALLOWED_HOSTS"):
        monkeypatch.setenv(name, found.environment()[name])
    assert Settings.load() == found
    assert "MLEX_ROOTS" not in Settings.load(roots=(), allowed_hosts=()).environment()
