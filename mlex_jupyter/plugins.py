"""Plugins: what entry points add, found without being imported; the built-ins come the same way.

    [project.entry-points."mlex.readers"]
    hdf5 = "my_package.hdf5:Hdf5Reader"

A plugin that cannot be loaded is logged once and listed with its error; everything else goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from types import MappingProxyType
from typing import Any

from mlex_jupyter.errors import Invalid, NotFound, nearest
from mlex_jupyter.types import Record

log = logging.getLogger(__name__)

OURS = "mlex-jupyter"


class Broken(Record):
    """A plugin that cannot be used, and why."""

    group: str
    name: str
    value: str
    distribution: str
    error: str


_broken: dict[tuple[str, str, str], Broken] = {}


@cache
def entry_points(group: str) -> Mapping[str, metadata.EntryPoint]:
    """The entry points of a group by name, nothing imported. Of two with one name the built-in, or the first, holds."""
    found: dict[str, metadata.EntryPoint] = {}
    for entry in sorted(metadata.entry_points(group=group), key=lambda entry: distribution(entry) != OURS):
        if entry.name not in found:
            found[entry.name] = entry
        elif (entry.value, distribution(entry)) != (found[entry.name].value, distribution(found[entry.name])):
            _note(entry, f"The name is taken by {distribution(found[entry.name])}.")
    return MappingProxyType(found)


def load(group: str, name: str) -> Any:
    """What an entry point names, imported; NotFound for an unknown name, Invalid for a broken plugin."""
    entry = entry_points(group).get(name)
    if entry is None:
        known = sorted(entry_points(group))
        raise NotFound(
            f"There is no {name!r} among the plugins of {group}.",
            hint=nearest(name, known) or f"There are {', '.join(known)}." if known else "None is installed.",
        )
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # whatever a stranger's module does when it is imported
        _note(entry, f"{type(error).__name__}: {error}")
        raise Invalid(
            f"The plugin {name!r} of {distribution(entry)} cannot be loaded: {error}",
            hint=f"Mend or remove the package {distribution(entry)}.",
        ) from error


def load_all(group: str) -> dict[str, Any]:
    """All that can be loaded, by name; what cannot is in `broken()`."""
    loaded: dict[str, Any] = {}
    for name in entry_points(group):
        try:
            loaded[name] = load(group, name)
        except Invalid:
            log.debug("%s of %s is left out", name, group)
    return loaded


def broken() -> list[Broken]:
    """The plugins that were tried and could not be used."""
    return list(_broken.values())


def distribution(entry: metadata.EntryPoint) -> str:
    """The package that an entry point belongs to."""
    return entry.dist.name if entry.dist else "unknown"


def _note(entry: metadata.EntryPoint, error: str) -> None:
    key = (entry.group, entry.name, distribution(entry))
    if key not in _broken:
        log.warning("The plugin %s (%s) of %s cannot be used: %s", entry.name, entry.value, distribution(entry), error)
        _broken[key] = Broken(
            group=entry.group, name=entry.name, value=entry.value, distribution=distribution(entry), error=error
        )
