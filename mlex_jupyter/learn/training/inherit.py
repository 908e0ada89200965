"""Begin with the weights of another network: those that fit by name and shape; the others begin anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mlex_jupyter.errors import Invalid, NotFound


def inherit(network: nn.Module, weights: Path | Mapping[str, Tensor], *, whole: bool = False) -> tuple[int, int]:
    """Take over what fits, and say how many of the network's tensors that are, and of how many.

    Asked for the whole, as of an encoder, none may be left over.
    """
    given = _read(weights) if isinstance(weights, Path) else weights
    own = network.state_dict()
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not any(own[name].is_floating_point() for name in fitting):
        raise Invalid(
            "Of the weights to begin with none fits this network.",
            hint="Train the same architecture with the same parameters as the model that you begin with.",
        )
    if whole and len(fitting) < len(given):
        raise Invalid(
            f"Of the encoder's {len(given)} tensors {len(given) - len(fitting)} do not fit this network.",
            hint="Leave the network's own parameters out, as depth: they are then those of the encoder.",
        )
    network.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)


def _read(weights: Path) -> Mapping[str, Tensor]:
    if not weights.is_file():
        raise NotFound(f"The weights to begin with are not at {weights}.", hint="Was the run that made them deleted?")
    try:
        return load_file(weights)
    except SafetensorError as error:
        raise Invalid(f"The weights to begin with cannot be read: {error}") from error
