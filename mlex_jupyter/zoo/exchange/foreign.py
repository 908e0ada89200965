"""Weights that another program wrote with `torch.save`: their tensors become a model of the zoo, and nothing runs.

A process of its own reads the file (`learn.foreign`), and another one tries whether the tensors are those of the
network that is said, all of them and no others.
"""

from __future__ import annotations

import asyncio
import math
import re
import tempfile
from pathlib import Path
from typing import Any

from mlex_jupyter.errors import Invalid
from mlex_jupyter.forms import complete_params, preset_params
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.blobs import digest
from mlex_jupyter.types import ClassInfo, Conversion, Params, Preprocessing, Trained
from mlex_jupyter.zoo.exchange.archives import local_file
from mlex_jupyter.zoo.exchange.packages import try_network
from mlex_jupyter.zoo.models import Zoo

WIDE = (-1e30, 1e30)
"""Other programs clip nothing."""


class Foreigners:
    """Weights that come into a home from elsewhere."""

    def __init__(self, zoo: Zoo, settings: Settings) -> None:
        self.zoo = zoo
        self.settings = settings

    async def take(
        self,
        path: str,
        name: str | None,
        *,
        architecture: str,
        params: Params,
        preset: str | None,
        classes: tuple[ClassInfo, ...],
        offset: float,
        scale: float,
    ) -> Conversion:
        """Add them to the zoo; the same file under the same name again is the same version."""
        file = local_file(path, self.settings)
        if len(classes) < 2:
            raise Invalid(
                "A network tells two classes or more apart.",
                hint="Name them in the order of its outputs: --class-names Pore --class-names Grain",
            )
        if not (scale > 0 and math.isfinite(scale) and math.isfinite(offset)):
            hint = "Grey values become (value - grey_offset) / grey_scale: say finite numbers, and a scale above 0."
            raise Invalid(f"grey_offset = {offset:g} and grey_scale = {scale:g} will not do.", hint=hint)
        kind, _ = await self.zoo.architectures.buildable(architecture)
        if kind.owner is not None:
            raise Invalid(f"{architecture} is somebody's own source.", hint="Weights are taken for what is installed.")
        given = preset_params(kind, preset) if preset else {}
        trained = Trained(
            architecture=kind.name,
            builder=kind.builder,
            params=complete_params(kind, {**given, **params}),
            classes=classes,
            preprocessing=Preprocessing(offset=offset, scale=scale, clip=WIDE),
            weights="weights.safetensors",
        )
        with tempfile.TemporaryDirectory() as scratch:
            found = await self._converted(file, Path(scratch), trained)
            weights = await asyncio.to_thread(self.zoo.blobs.put, Path(scratch) / trained.weights)
        shared = ("architecture", "task", "params", "channels", "classes", "preprocessing")
        model = await self.zoo.add(
            **{field: getattr(trained, field) for field in shared},
            weights=weights,
            name=name or _stem(file),
            title=f"Converted from {file.name}"[:200],
            run=f"file:{digest(file).removeprefix('sha256:')}",
            dataset="",
            labels="",
            owner=self.settings.user,
        )
        about = {"tensors": found.tensors, "refused": found.refused, "left_aside": found.left_aside}
        return Conversion(model=model.name, version=model.version, **about)

    async def _converted(self, file: Path, folder: Path, trained: Trained) -> Any:
        from mlex_jupyter.learn.foreign import convert

        found = await asyncio.to_thread(convert, file, folder / trained.weights)
        try:
            await try_network(folder, trained)
        except Invalid as error:
            refused = f" Refused: {', '.join(found.refused[:5])}." if found.refused else ""
            raise Invalid(
                f"The tensors of {file.name} are not those of this {trained.architecture}: {error.message}{refused}",
                hint="Say its parameters as they were (-p depth=4), and as many classes as it has outputs.",
            ) from error
        return found


def _stem(file: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._")[:100] or "model"
