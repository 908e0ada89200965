"""Architectures: the kinds of network that can be trained, each with the form of its parameters.

Describing one may need torch, so it is done in a process of its own (`learn.describe`) and kept in
`<home>/cache/architectures.json` for as long as the package that defines it stays the same.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Mapping
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any
from zlib import crc32

from pydantic import JsonValue

from mlex_jupyter.errors import NotFound, Unavailable, nearest
from mlex_jupyter.files import write_whole
from mlex_jupyter.plugins import entry_points
from mlex_jupyter.settings import Settings
from mlex_jupyter.types import Architecture, Code
from mlex_jupyter.zoo.sources import Sources

DESCRIBE_S = 60
TRY_AGAIN_AFTER_S = 600
LOOK_EVERY_S = 1.0
"""A package that was installed anew is seen after this time."""


class Architectures:
    """The architectures of this installation, and those that people brought as source."""

    def __init__(self, settings: Settings, sources: Sources) -> None:
        self.settings = settings
        self.sources = sources
        self._describing = asyncio.Lock()
        self._described: dict[str, dict[str, Any]] = {}
        self._installed: list[Architecture] = []
        self._looked = -math.inf

    async def all(self) -> list[Architecture]:
        """All that can be described; a broken plugin is left out, and `broken()` says why."""
        return await self.installed() + await self.sources.all()

    async def installed(self) -> list[Architecture]:
        """Those of this installation alone."""
        await self._describe()
        return self._installed

    async def broken(self) -> dict[str, str]:
        """The architectures that cannot be used, with one sentence each."""
        return {name: found["error"] for name, found in (await self._describe()).items() if "error" in found}

    async def get(self, name: str) -> Architecture:
        """One architecture by its name."""
        return (await self.buildable(name))[0]

    async def buildable(self, name: str) -> tuple[Architecture, Code | None]:
        """One architecture, with its source where somebody brought it."""
        if name not in entry_points("mlex.models") and (brought := await self.sources.find(name)) is not None:
            return brought
        described = await self._describe()
        if name not in described:
            known = [*described, *(one.name for one in await self.sources.all())]
            hint = nearest(name, known) or "List them with `mlex architectures`."
            raise NotFound(f"There is no architecture {name!r}.", hint=hint)
        found = described[name]
        if "error" in found:
            raise Unavailable(f"The architecture {name} cannot be used: {found['error']}", hint="Run `mlex doctor`.")
        return Architecture.model_validate(found), None

    async def _describe(self) -> dict[str, dict[str, Any]]:
        """Every architecture's description, from the cache where its package has not changed."""
        async with self._describing:
            if time.monotonic() - self._looked < LOOK_EVERY_S:
                return {name: found["says"] for name, found in self._described.items()}
            entries = entry_points("mlex.models")
            marks = _marks(entries)
            if {name: found["mark"] for name, found in self._described.items()} != marks:
                kept = {**self._described, **self._read_cache()}
                known = {name: kept[name] for name in marks if name in kept and kept[name]["mark"] == marks[name]}
                if missing := sorted(marks.keys() - known.keys()):
                    fresh = await describe(missing)
                    known |= {name: {"mark": marks[name], "says": fresh[name], "at": time.time()} for name in missing}
                    self._write_cache(known)
                self._described = {name: known[name] for name in marks}
                says = [one["says"] for one in self._described.values()]
                found = [Architecture.model_validate(said) for said in says if "error" not in said]
                self._installed = sorted(found, key=lambda one: (one.place, one.name))
            self._looked = time.monotonic()
            return {name: found["says"] for name, found in self._described.items()}

    @property
    def _cache(self) -> Path:
        return self.settings.home / "cache" / "architectures.json"

    def _read_cache(self) -> dict[str, dict[str, Any]]:
        """What is kept; a failure is kept for a while only, so that a hanging plugin costs its time once."""
        try:
            kept: dict[str, dict[str, Any]] = json.loads(self._cache.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        old = time.time() - TRY_AGAIN_AFTER_S
        return {name: found for name, found in kept.items() if "error" not in found["says"] or found["at"] > old}

    def _write_cache(self, known: Mapping[str, Any]) -> None:
        self._cache.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(self._cache, json.dumps(known), durable=False)


async def describe(names: list[str]) -> dict[str, dict[str, Any]]:
    """Ask a process of its own what these architectures are; whatever it does, there is an answer for each."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "mlex_jupyter.learn.describe",
        *names,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), DESCRIBE_S)
        found: list[dict[str, JsonValue]] = json.loads(out)
        return {str(says["name"]): says for says in found}
    except TimeoutError:
        process.kill()
        await process.wait()
        reason = f"describing it took more than {DESCRIBE_S} s."
    except ValueError:
        last = err.decode(errors="replace").strip().splitlines()[-1:]
        reason = last[0] if last else "describing it ended without an answer."
    if len(names) == 1:
        return {names[0]: {"name": names[0], "error": reason}}
    alone = [await describe([name]) for name in names]  # one of them broke it for all: find out which
    return {name: says for answer in alone for name, says in answer.items()}


def _marks(entries: Mapping[str, EntryPoint]) -> dict[str, str]:
    """What changes when an architecture's package does: what is said of it, and its source file in a checkout."""
    packages = {id(entry.dist): _checksum(entry.dist) for entry in entries.values()}
    shared = [_stamp(module) for module in ("mlex_jupyter.learn.params", "mlex_jupyter.learn.describe")]
    return {
        name: ":".join([entry.value, packages[id(entry.dist)], _stamp(entry.module), *shared])
        for name, entry in entries.items()
    }


def _checksum(package: Distribution | None) -> str:
    """Of the text that says a package's name and version; to parse it takes a hundred times as long."""
    text = package and (package.read_text("METADATA") or package.read_text("PKG-INFO"))
    return f"{crc32(text.encode()):08x}" if text else ""


def _stamp(module: str) -> str:
    """A module's time of change, without importing it or the packages it is in."""
    top, *rest = module.split(".")
    found = PathFinder.find_spec(top)
    if found is None or found.origin is None:
        return ""
    place = Path(found.origin).parent.joinpath(*rest) if rest else Path(found.origin).with_suffix("")
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.exists():
            return str(file.stat().st_mtime_ns)
    return ""
