"""`c.Mlex.…`: the settings as traits of a Jupyter configuration, generated from the fields of `Settings`."""

from __future__ import annotations

from typing import Any

from traitlets import Any as AnyTrait
from traitlets.config import Config, Configurable

from mlex_jupyter.settings import Settings

Mlex: type[Configurable] = type(
    "Mlex",
    (Configurable,),
    {
        "__doc__": "MLEx: where it keeps its things and what its jobs may use.",
        **{
            name: AnyTrait(None, allow_none=True, help=field.description).tag(config=True)
            for name, field in Settings.model_fields.items()
        },
    },
)


def settings_from(config: Config) -> Settings:
    """The settings with what the Jupyter configuration says before everything else."""
    traits: Any = Mlex(config=config)
    given = {name: getattr(traits, name) for name in Settings.model_fields}
    return Settings.load(**{name: value for name, value in given.items() if value is not None})
