"""Checkpoints: all that a training needs to go on as if it had never stopped.

    <job>/checkpoint/step-00000120.safetensors   weights, their mean, the best of it, optimizer, random states
    <job>/checkpoint/step-00000120.json          numbers and words, and the checksum of the file above

The JSON is written last, so a pair is whole or does not count. Both are written beside their place, fsynced and
renamed; the two newest are kept, and one that does not match its checksum is passed over for the one before.
Nothing is pickled. The order of the samples is a function of seed and step, so that the step is all there is to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor

from mlex_jupyter.errors import Invalid
from mlex_jupyter.failpoints import failpoint
from mlex_jupyter.files import write_whole
from mlex_jupyter.learn.training.state import State
from mlex_jupyter.types import Record

KEEP = 2


class Standing(Record):
    """How far a training is, in numbers."""

    step: int
    """Batches done."""
    epoch: int
    """Epochs done."""
    loss_sum: float = 0.0
    """Of the steps of the epoch that is under way."""
    best: float = -1.0
    best_epoch: int = 0
    best_metrics: dict[str, float] = {}
    pieces: int = 1
    """In how many a batch is taken, since it did not fit into memory."""
    seconds: float = 0.0
    """Spent in training, by all attempts."""
    parameters: str = ""
    """What was trained, in one text: a checkpoint of anything else is of no use."""


class Manifest(Record):
    """The JSON of a checkpoint."""

    sha256: str
    standing: Standing


def write(folder: Path, state: State, standing: Standing) -> None:
    """Write a checkpoint, then forget those that are older than the one before it."""
    content = save(state.tensors() | dict(_random_states()))
    sha256 = hashlib.sha256(content).hexdigest()
    place = folder / f"step-{standing.step:08d}.safetensors"
    write_whole(place, content)
    if hashlib.sha256(place.read_bytes()).hexdigest() != sha256:
        raise Invalid("The checkpoint reads back otherwise than it was written.", hint="Is the disk full or failing?")
    failpoint("checkpoint.weights")
    manifest = Manifest(sha256=sha256, standing=standing)
    write_whole(place.with_suffix(".json"), manifest.model_dump_json(indent=2))
    failpoint("checkpoint.written")
    _forget(folder)


def read(folder: Path, state: State, parameters: str) -> Standing | None:
    """Put the newest whole checkpoint into place, and say how far it is; None where there is none."""
    for place in sorted(folder.glob("step-*.json"), reverse=True):
        if (whole := _whole(place)) and whole[0].standing.parameters == parameters:
            state.restore(whole[1])
            _set_random_states(whole[1])
            return whole[0].standing
    return None


def _whole(place: Path) -> tuple[Manifest, dict[str, Tensor]] | None:
    try:
        manifest = Manifest.model_validate_json(place.read_bytes())
        content = place.with_suffix(".safetensors").read_bytes()
    except (FileNotFoundError, ValidationError) as error:
        print(f"The checkpoint {place.stem} is not whole ({type(error).__name__}); the one before is used.")
        return None
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        print(f"The checkpoint {place.stem} does not match its checksum; the one before is used.")
        return None
    return manifest, load(content)


def _random_states() -> Iterator[tuple[str, Tensor]]:
    yield "random/cpu", torch.get_rng_state()
    if torch.cuda.is_available():
        yield "random/cuda", torch.cuda.get_rng_state()


def _set_random_states(tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random/cpu"])
    if "random/cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random/cuda"])


def _forget(folder: Path) -> None:
    whole = sorted(folder.glob("step-*.json"), reverse=True)
    kept = {place.stem for place in whole[:KEEP]}
    for place in [*sorted(folder.glob("step-*")), *folder.glob(".step-*")]:  # the hidden: what a kill left half written
        if place.stem not in kept:
            place.unlink(missing_ok=True)
