"""Extras: the libraries that some readers need, which not everybody installs."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mlex_jupyter.errors import Invalid

EXTRAS = {"hdf5": ("h5py", "HDF5"), "s3": ("obstore", "S3"), "tiled": ("tiled", "Tiled")}
"""The module that an extra brings, and what it opens."""


def needed(extra: str, module: str | None = None) -> Any:
    """A module of an extra, imported; Invalid with what to install where the extra is missing."""
    library, opens = EXTRAS[extra]
    if find_spec(library) is None:
        raise Invalid(f"{opens} cannot be opened here: {library} is not installed.", hint=to_install(extra))
    return import_module(module or library)


def to_install(*extras: str) -> str:
    """The command that installs these extras."""
    return f"pip install 'mlex-jupyter[{','.join(extras)}]'"


def missing() -> list[str]:
    """The extras that are not installed."""
    return [extra for extra, (library, _) in EXTRAS.items() if find_spec(library) is None]
