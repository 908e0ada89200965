"""Training without labels: pairs of views of patches in, an encoder that finds each view's partner out (SimCLR).

It is judged by pairs from slices that are kept apart: how often a view's partner is the nearest of all, how near
partners are to each other (alignment, 0 is the same place), and how evenly all are spread (uniformity, lower is more).

Axes: B batch, C channel, H row, W column, P projection.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import JsonValue
from torch import Tensor, nn

from mlex_jupyter.learn.models import channels_of
from mlex_jupyter.learn.models.simclr import SimCLR, embed, encoder_weights, nt_xent
from mlex_jupyter.learn.params import PretrainParams
from mlex_jupyter.learn.training.course import Course, Follower
from mlex_jupyter.learn.training.patches import Patches
from mlex_jupyter.learn.training.state import packed
from mlex_jupyter.learn.training.steps import Batch, Learning

OUTPUTS = 2
"""What the network is built with; its way up learns nothing here, and is left aside."""
AT_ONCE = 32
ASKED, NEAREST, SHOWN, GAP = 5, 6, 72, 3
"""Of the picture: patches, how many of the nearest to each, their side, what is between."""


class Pretraining(Learning):
    """One training of an encoder."""

    params: PretrainParams
    divides = False

    def __init__(self, course: Course, patches: Patches, follower: Follower, *, folder: Path | None = None) -> None:
        self.patches = patches
        super().__init__(course, patches.params, follower, folder=folder)
        self._middles, self._views = patches.judged()
        self._say_what()

    def network(self) -> nn.Module:
        """A network of the course with SimCLR's head on its encoder."""
        network = self.built(self.patches.volume.shape_ZCYX[1], OUTPUTS)
        return SimCLR(network, channels_of(network))

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """The rates that suit views are AdamW's."""
        return torch.optim.AdamW(
            network.parameters(), lr=self.params.learning_rate, weight_decay=self.params.weight_decay
        )

    def _say_what(self) -> None:
        note, side, pairs = self.follower.note, self.patches.side, self.params.batch * self.params.steps_per_epoch
        slices = len(self.patches.zs)
        note(f"{slices} slice{'s' if slices > 1 else ''} → {pairs} pairs of views of {side} × {side} an epoch")
        if side != self.params.patch:
            note(f"Views of {self.params.patch} do not fit these slices and this network; {side} is used")
        apart = f"{len(self.patches.judging)} slices kept apart"
        apart = apart if self.patches.keeps_apart else "other patches of the same slices"
        note(f"Judged by {len(self._middles)} pairs from {apart}")
        self.say_network()

    # ------------------------------------------------------------ a step

    def batch(self, step: int, members: Sequence[int]) -> Batch:
        """Views: all first ones, then all second ones."""
        return (self.patches.batch(step, members),)

    def loss(self, made_B: Tensor, *targets_B: Tensor, weight: float) -> Tensor:
        """How badly partners are found."""
        first, second = made_B.chunk(2)
        return nt_xent(first, second, self.params.temperature)

    # ------------------------------------------------------------ the end of an epoch

    def look(self, epoch: int, loss: float) -> float:
        """Find partners among the pairs kept apart, keep the best weights, and say how well that goes."""
        first, second = self._through(self.state.mean, self._views).chunk(2)
        val_loss = float(nt_xent(first, second, self.params.temperature))
        measures = {name: round(value, 5) for name, value in measured(first, second).items()}
        better = self.keep_if_better(epoch, -val_loss, measures | {"val_loss": round(val_loss, 5)})
        said: dict[str, JsonValue] = {"epoch": epoch, "epochs": self.params.epochs, "loss": round(loss, 5)}
        self.follower.emit("epoch", **said, val_loss=round(val_loss, 5), dice=None, dice_by_class={}, **measures)
        self.follower.note(
            f"epoch {epoch:3d}  loss {loss:.3f}  val {val_loss:.3f}  partners found {measures['pairs_found']:.1%}"
            + ("  ← best, kept" if better else "")
        )
        return -val_loss

    def draw(self) -> tuple[bytes, dict[str, JsonValue]]:
        """Some patches, and beside each those that the encoder takes for most alike."""
        found = self._through(_Embedding(self.state.mean), self._middles)
        return neighbours(self._middles[:, len(self._middles[0]) // 2].numpy(), found.numpy()), {"shows": "neighbours"}

    def _through(self, network: nn.Module, images_BCHW: Tensor) -> Tensor:
        with torch.inference_mode():
            parts = [network.eval()(part.to(self.device)) for part in torch.split(images_BCHW, AT_ONCE)]
        return torch.cat(parts).float().cpu()

    def encoder(self) -> dict[str, Tensor]:
        """The best encoder's weights, under the names that they have in the whole network."""
        best: SimCLR = self.state.load_best()  # type: ignore[assignment]
        return packed(encoder_weights(best.network))


class _Embedding(nn.Module):
    def __init__(self, taught: nn.Module) -> None:
        super().__init__()
        self.taught = taught

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return embed(self.taught.network, x_BCHW)  # type: ignore[arg-type]


def measured(first_BP: Tensor, second_BP: Tensor) -> dict[str, float]:
    """How well partners are found and spread, of pairs of points on the sphere."""
    both = torch.cat((first_BP, second_BP))
    near = (both @ both.T).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(both)).roll(len(first_BP))
    apart = torch.pdist(both).square()
    return {
        "pairs_found": float((near.argmax(dim=1) == partner).float().mean()),
        "alignment": float((first_BP - second_BP).square().sum(dim=1).mean()),
        "uniformity": float(apart.mul(-2).exp().mean().log()),
    }


def neighbours(patches_BHW: np.ndarray, found_BP: np.ndarray) -> bytes:
    """A PNG: a patch at the left of each row, then the nearest to it."""
    along = found_BP - found_BP.mean(axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    near = along @ along.T
    order = np.argsort(-near, axis=1, kind="stable")
    whole = Image.new("L", ((NEAREST + 1) * (SHOWN + GAP) + 2 * GAP, ASKED * (SHOWN + GAP)), 17)
    for row, asked in enumerate(np.linspace(0, len(patches_BHW) - 1, ASKED).astype(int)):
        others = [one for one in order[asked] if one != asked][:NEAREST]
        for column, which in enumerate([asked, *others]):
            grey = np.clip((patches_BHW[which] + 2) * 63.75, 0, 255).astype(np.uint8)
            place = column * (SHOWN + GAP) + (2 * GAP if column else 0), row * (SHOWN + GAP)
            whole.paste(Image.fromarray(grey).resize((SHOWN, SHOWN), Image.Resampling.BILINEAR), place)
    out = io.BytesIO()
    whole.save(out, "PNG", optimize=True)
    return out.getvalue()
