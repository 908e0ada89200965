"""What is trained, and who follows how it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue
from torch import Tensor

from mlex_jupyter.types import Params


class Follower(Protocol):
    """Who follows a training: told what happens, and asked whether to stop."""

    stopping: bool

    def emit(self, kind: str, **values: JsonValue) -> None:
        """Something that a curve or a picture is drawn from."""

    def note(self, text: str) -> None:
        """A sentence for people."""

    def progress(
        self, done: int, total: int, unit: str, *, eta_s: float | None = None, score: float | None = None
    ) -> None:
        """How far it is."""


class Halted(Exception):
    """Its follower wanted it to stop; a checkpoint is written where there is a place for it."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"Stopped at epoch {epoch}; its checkpoint is kept.")


@dataclass(frozen=True)
class Course:
    """What is trained: a network by its builder, and all parameters, its own and those of training."""

    builder: str
    title: str
    params: Params
    identity: str = ""
    """What is trained on what, in one text: a checkpoint of anything else is of no use."""
    memory_gb: float = 4.0
    start: Path | Mapping[str, Tensor] | None = None
    """The weights that it begins with; without any, chance gives them."""
    encoder: bool = False
    """Whether those are an encoder's, all of which must fit."""
