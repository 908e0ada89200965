"""`c.Mlex.…` in a Jupyter configuration: the same settings, before everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config import Config

from mlex_jupyter.errors import Invalid, Unavailable
from mlex_jupyter.server.config import Mlex, settings_from
from mlex_jupyter.server.service import Service
from mlex_jupyter.settings import Settings


def test_every_setting_is_a_trait_with_its_description() -> None:
    traits = Mlex.class_traits(config=True)
    assert set(Settings.model_fields) <= set(traits)
    for name, field in Settings.model_fields.items():
        assert traits[name].help == field.description
        assert field.description
    assert "local_cpus" in Mlex.class_get_help()


def test_the_configuration_wins_and_the_rest_is_as_it_was(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLEX_RETRIES", "5")
    monkeypatch.setenv("MLEX_IDLE_S", "7")
    found = settings_from(Config({"Mlex": {"retries": 1, "user": "Zoë"}}))
    assert (found.retries, found.user, found.idle_s, found.home) == (1, "Zoë", 7, home)
    assert settings_from(Config()) == Settings.load()


def test_a_zero_is_a_setting_too(home: Path) -> None:
    assert settings_from(Config({"Mlex": {"local_gpus": 0, "retries": 0}})).local_gpus == 0


def test_the_home_of_the_configuration_is_the_one_whose_config_yaml_is_read(home: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("retries: 9\n")
    (home / "config.yaml").write_text("retries: 2\n")
    assert settings_from(Config({"Mlex": {"home": str(tmp_path)}})).retries == 9


@pytest.mark.parametrize("wrong", [{"local_cpus": "many"}, {"retries": -1}, {"home": 7}, {"idle_s": []}])
def test_what_is_wrong_is_named(home: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        settings_from(Config({"Mlex": wrong}))
    with pytest.raises(Unavailable, match=next(iter(wrong))) as caught:
        Service.from_config(Config({"Mlex": wrong}))
    assert caught.value.status == 503, "the asker did nothing wrong"


def test_the_service_opens_the_home_at_once(home: Path) -> None:
    service = Service.from_config(Config())
    assert (home / "mlex.db").exists()
    service.mlex.close()
