"""What a network can learn, each with the same two verbs: `teach` from a volume and what it shall become, then `give`.

| | from | gives |
|---|---|---|
| segment | labels, 0 where there are none | a class value for every pixel |
| denoise | the same without noise; left out, the noisy volume itself | a grey value for every pixel |
| regress | values, NaN where they are not known | a value for every pixel |
| embed | nothing | numbers for each slice or patch, alike for what looks alike |
| classify | a class for each slice or patch, 0 where there is none; after `embed` | a class value for each |

Axes: N slice or patch, F feature, K class, Y row, X column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlex_jupyter.data.volume import Volume
from mlex_jupyter.errors import Conflict, Invalid
from mlex_jupyter.learn import grey, machine
from mlex_jupyter.learn.models import build, contract, find_builder, wants
from mlex_jupyter.learn.models.fold import folded
from mlex_jupyter.learn.models.simclr import embed
from mlex_jupyter.learn.params import PretrainParams, TrainParams
from mlex_jupyter.learn.prediction.segmenter import in_slabs
from mlex_jupyter.learn.prediction.tiles import fit_for, padded, segment
from mlex_jupyter.learn.training.atonce import training_for
from mlex_jupyter.learn.training.contrast import OUTPUTS, Pretraining
from mlex_jupyter.learn.training.course import Course, Follower
from mlex_jupyter.learn.training.inherit import inherit
from mlex_jupyter.learn.training.labelled import Labelled
from mlex_jupyter.learn.training.pairs import Pairs
from mlex_jupyter.learn.training.patches import Patches
from mlex_jupyter.learn.training.restore import Restoring, values
from mlex_jupyter.learn.training.state import packed
from mlex_jupyter.learn.training.steps import Learning
from mlex_jupyter.types import ClassInfo, Preprocessing, Trained

Array = NDArray[Any]
MEMORY_GB = 4.0
"""What a slice may take at once."""


@dataclass(frozen=True)
class Lesson:
    """What it learns from."""

    volume: Volume
    target: Any = None
    encoder: Trained | None = None
    """What its encoder, with whose weights the course starts, has learned without labels."""


@dataclass(frozen=True)
class Learned:
    """What came of it."""

    weights: Mapping[str, Tensor]
    metrics: Mapping[str, float]
    classes: tuple[ClassInfo, ...]
    preprocessing: Preprocessing
    gives: Preprocessing | None = None


class Objective(Protocol):
    """One thing that a network can learn."""

    @property
    def task(self) -> str:
        """What it is called in `model.json`."""

    @property
    def without_labels(self) -> bool:
        """Whether its parameters are those of learning without labels."""

    def teach(self, course: Course, lesson: Lesson, follower: Follower) -> Learned:
        """Learn; interrupted, the best weights so far are kept."""

    def network(self, trained: Trained, weights: Mapping[str, Tensor]) -> nn.Module:
        """What was learned, ready to give."""

    def give(self, trained: Trained, network: nn.Module, volume: Volume) -> Array:
        """What it makes of a volume."""


class Segment:
    """Classes for pixels; the target is `Painted`."""

    task = "segmentation"
    without_labels = False

    def teach(self, course: Course, lesson: Lesson, follower: Follower) -> Learned:
        """Train on the labelled pixels."""
        own, wanted = TrainParams.of(course.params), wants(course.builder, course.params)
        labelled = Labelled(lesson.volume, lesson.target, wanted=wanted, validation=own.validation, seed=own.seed)
        training = training_for(course, labelled, follower)
        _run(training)
        metrics = training.standing.best_metrics
        return Learned(training.state.best, metrics, labelled.classes, labelled.preprocessing)

    def network(self, trained: Trained, weights: Mapping[str, Tensor]) -> nn.Module:
        """With batch normalisation folded away."""
        return _loaded(trained, weights, len(trained.classes))

    def give(self, trained: Trained, network: nn.Module, volume: Volume) -> Array:
        """The class value of every pixel."""
        device = machine.prepare()
        network = network.to(device)
        fit = fit_for(network, trained.builder, trained.params, device, MEMORY_GB)
        if fit.dims == 3:
            return in_slabs(trained, network, volume, fit, device, MEMORY_GB)
        of_class = np.array([one.value for one in trained.classes], np.uint8)
        found = [of_class[segment(network, image[None], fit, device)[0]] for image in _seen(trained, volume)]
        return np.stack(found)


@dataclass(frozen=True)
class Restore:
    """Values for pixels; the target is a volume, or None for what can be learned from noise itself."""

    task: str
    alone: bool
    """Whether it can be learned without a target."""
    without_labels = False

    def teach(self, course: Course, lesson: Lesson, follower: Follower) -> Learned:
        """Train on crops of both."""
        if lesson.target is None and not self.alone:
            raise Invalid(
                "There are no values to learn.", hint="model.fit(volume, values, task='regress'): NaN is not known."
            )
        pairs = Pairs(lesson.volume, lesson.target, wants(course.builder, course.params), TrainParams.of(course.params))
        training = Restoring(course, pairs, follower)
        _run(training)
        metrics = training.standing.best_metrics
        return Learned(training.state.best, metrics, (), pairs.preprocessing, pairs.gives)

    def network(self, trained: Trained, weights: Mapping[str, Tensor]) -> nn.Module:
        """With batch normalisation folded away."""
        return _loaded(trained, weights, 1)

    def give(self, trained: Trained, network: nn.Module, volume: Volume) -> Array:
        """The value of every pixel, as float32."""
        device, back = machine.prepare(), trained.gives or trained.preprocessing
        network = network.to(device)
        fit = fit_for(network, trained.builder, trained.params, device, MEMORY_GB)
        found = [values(network, image, fit, device) for image in _seen(trained, volume)]
        return np.stack(found) * np.float32(back.scale) + np.float32(back.offset)


class Embed:
    """Numbers for slices and patches, learned without labels."""

    task = "embedding"
    without_labels = True

    def teach(self, course: Course, lesson: Lesson, follower: Follower) -> Learned:
        """Train the encoder on views of patches."""
        if lesson.target is not None:
            raise Invalid("Embedding is learned without labels.", hint="model.fit(volume, task='embed')")
        patches = Patches(lesson.volume, wants(course.builder, course.params), PretrainParams.of(course.params))
        training = Pretraining(course, patches, follower)
        _run(training)
        metrics = training.standing.best_metrics
        return Learned(training.encoder(), metrics, (), patches.preprocessing)

    def network(self, trained: Trained, weights: Mapping[str, Tensor]) -> nn.Module:
        """The encoder; the way up is there and knows nothing."""
        network = build(trained.builder, trained.params, channels=trained.channels, classes=OUTPUTS)
        inherit(network, weights)
        return network.eval()

    def give(self, trained: Trained, network: nn.Module, volume: Volume) -> Array:
        """A row of numbers for each slice."""
        multiple = wants(trained.builder, trained.params).multiple
        device = machine.prepare()
        network, seen = network.to(device), (padded(one, multiple) for one in _seen(trained, volume))
        with torch.inference_mode():
            found = [embed(network, torch.from_numpy(one[None]).to(device)) for one in seen]
        return torch.cat(found).cpu().numpy()


class Classify:
    """Classes for slices and patches, told apart by what an encoder takes for alike."""

    task = "classification"
    without_labels = True

    def teach(self, course: Course, lesson: Lesson, follower: Follower) -> Learned:
        """Draw planes between the classes in the space of the encoder, whose weights stay."""
        if lesson.encoder is None or not isinstance(course.start, Mapping):
            raise Conflict(
                "This network has no encoder yet that knows what is alike.",
                hint="model.fit(volume, task='embed') first: it needs no labels.",
            )
        encoder, painted = Embed().network(lesson.encoder, course.start), lesson.target
        found_NF = torch.from_numpy(Embed().give(lesson.encoder, encoder, lesson.volume))
        kinds, of_N = [one.value for one in painted.classes], torch.from_numpy(painted.values)
        if len(kinds) < 2:
            raise Invalid("There are labels of one class only.", hint="Label some of another class too.")
        known_N = of_N > 0
        index_N = torch.tensor([kinds.index(int(value)) for value in of_N[known_N]])
        head, accuracy = planes(found_NF[known_N], index_N, len(kinds), TrainParams.of(course.params).seed)
        follower.note(f"{len(index_N)} examples of {len(kinds)} classes; left out, {accuracy:.1%} come out right")
        weights = packed({**course.start, **{f"head/{name}": tensor for name, tensor in head.items()}})
        return Learned(weights, {"accuracy": round(accuracy, 5)}, painted.classes, lesson.encoder.preprocessing)

    def network(self, trained: Trained, weights: Mapping[str, Tensor]) -> nn.Module:
        """The encoder, and the planes beside it."""
        return _Divided(Embed().network(trained, weights), weights["head/weight"], weights["head/bias"])

    def give(self, trained: Trained, network: nn.Module, volume: Volume) -> Array:
        """A class value for each slice."""
        assert isinstance(network, _Divided)
        found_NF = torch.from_numpy(Embed().give(trained, network.encoder, volume))
        of_N = (found_NF @ network.weight_KF.T + network.bias_K).argmax(dim=1).numpy()
        of_class: Array = np.array([one.value for one in trained.classes], np.uint8)[of_N]
        return of_class


class _Divided(nn.Module):
    """An encoder, and planes in its space."""

    def __init__(self, encoder: nn.Module, weight_KF: Tensor, bias_K: Tensor) -> None:
        super().__init__()
        self.encoder, self.weight_KF, self.bias_K = encoder, weight_KF, bias_K


OBJECTIVES: dict[str, Objective] = {
    "segment": Segment(),
    "denoise": Restore("denoising", alone=True),
    "regress": Restore("regression", alone=False),
    "embed": Embed(),
    "classify": Classify(),
}


def planes(found_NF: Tensor, of_N: Tensor, kinds: int, seed: int) -> tuple[dict[str, Tensor], float]:
    """Planes between classes, and how many of a fifth that was left out fall on the right side."""
    order = torch.randperm(len(of_N), generator=torch.Generator().manual_seed(seed))
    left_out, learned = order[: len(order) // 5], order[len(order) // 5 :]
    head = _between(found_NF[learned], of_N[learned], kinds)
    right = (found_NF[left_out] @ head["weight"].T + head["bias"]).argmax(dim=1) == of_N[left_out]
    accuracy = float(right.float().mean()) if len(left_out) else 0.0
    return _between(found_NF, of_N, kinds), accuracy


def _between(found_NF: Tensor, of_N: Tensor, kinds: int) -> dict[str, Tensor]:
    """A softmax over standardised numbers, at the bottom of its loss; as planes for the numbers as they are."""
    middle, width = found_NF.mean(dim=0), found_NF.std(dim=0, correction=0).clamp(min=1e-6)
    x_NF = (found_NF - middle) / width
    weight_KF = torch.zeros(kinds, x_NF.shape[1], requires_grad=True)
    bias_K = torch.zeros(kinds, requires_grad=True)
    steps = torch.optim.LBFGS([weight_KF, bias_K], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        steps.zero_grad()
        wrong = nn.functional.cross_entropy(x_NF @ weight_KF.T + bias_K, of_N) + 1e-3 * weight_KF.square().sum()
        wrong.backward()  # type: ignore[no-untyped-call]
        return wrong

    steps.step(loss)  # type: ignore[no-untyped-call]
    weight = (weight_KF / width).detach()
    return {"weight": weight, "bias": (bias_K - weight @ middle).detach()}


def _run(training: Learning) -> None:
    try:
        training.run()
    except KeyboardInterrupt:
        if not training.state.best:
            raise
        training.follower.note(f"Interrupted; the weights of epoch {training.standing.best_epoch} are kept")


def _loaded(trained: Trained, weights: Mapping[str, Tensor], outputs: int) -> nn.Module:
    network = build(trained.builder, trained.params, channels=trained.channels, classes=outputs)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:300]
        raise Invalid(f"The weights do not fit {trained.architecture}: {first}") from error
    dims = contract(find_builder(trained.builder)).dims
    return machine.laid_out(folded(network), dims, torch.device("cpu"))


def _seen(trained: Trained, volume: Volume) -> Any:
    """What the network sees, slice by slice."""
    slices, channels, _, _ = volume.shape_ZCYX
    if channels != trained.channels:
        raise Invalid(f"This network takes {trained.channels} channel(s); the volume has {channels}.")
    neighbours = wants(trained.builder, trained.params).neighbours
    return (grey.seen(volume, z, trained.preprocessing, neighbours) for z in range(slices))
