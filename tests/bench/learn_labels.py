"""How many labels, and how much training, until slices that nobody painted have a Dice of 0.9.

Somebody in a hurry paints two strokes a class on one slice, the middle one first, trains, and paints the next slice
where that was not enough. Ours is told by the uncertainty of its prediction which slice that is; the other draws lots,
and trains with DLSIA's trainer: it is good when it is at one of two rates, and the better one's time counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from mlex_jupyter.data.scribbles import scribble
from mlex_jupyter.learn import grey
from mlex_jupyter.learn.prediction.decide import decide
from mlex_jupyter.learn.prediction.suggesting import suggested
from mlex_jupyter.types import SliceFound
from tests.bench import contest
from tests.bench.contest import BATCH, Problem, Watched
from tests.bench.figures import Figure, median
from tests.bench.learn_train import GOOD, TEXTURES

Bytes = NDArray[np.uint8]
STROKES = 2
STEPS = 75
RATES = (0.01, 0.02)
SEEDS = range(3)
MOST = 9
"""Slices after which one gives up; they count as what it took."""


def figures() -> Iterator[Figure]:
    """For each texture, painted pixels and seconds of training."""
    torch.set_num_threads(1)
    for texture in TEXTURES:
        yield from compared(texture)


def compared(texture: str) -> Iterator[Figure]:
    """Medians over seeds."""
    problem = Problem.of(texture)
    ours = [_painting(problem, seed, _ours) for seed in SEEDS]
    theirs = [_painting(problem, seed, _theirs) for seed in SEEDS]
    against = "random slices, DLSIA's trainer"
    for about, unit, index in (("painted pixels", "", 0), ("CPU seconds of training", "s", 1)):
        mine, other = (median([one[index] for one in found]) for found in (ours, theirs))
        yield Figure(f"{about} to a Dice of {GOOD}, {texture}", mine, unit, other, against, limit=other / 3)


Try = Callable[[Problem, int], tuple[bool, float, int]]
"""Trains; says whether it is good, the seconds that it took, and the slice to paint next."""


def _painting(problem: Problem, seed: int, attempt: Try) -> tuple[float, float]:
    """Painted pixels and seconds of training until it is good."""
    painted = replace(problem, labels=np.zeros_like(problem.labels), judged=tuple(problem.held_out))
    z, seconds = _next_to(len(problem.volume) // 2, painted), 0.0
    for _ in range(MOST):
        painted.labels[z] = _hasty(problem.truth[z], seed)
        good, taken, z = attempt(painted, seed)
        seconds += taken
        if good:
            break
    return float((painted.labels > 0).sum()), seconds


def _next_to(z: int, problem: Problem) -> int:
    return min(_free(problem), key=lambda other: abs(other - z))


def _free(problem: Problem) -> list[int]:
    """Slices that neither judge nor are painted."""
    taken = {*problem.held_out, *np.flatnonzero(problem.labels.any(axis=(1, 2))).tolist()}
    return [z for z in range(len(problem.volume)) if z not in taken]


def _hasty(truth_YX: Bytes, seed: int) -> Bytes:
    """Two strokes a class."""
    rng = np.random.default_rng([seed, 5])
    full = scribble(truth_YX[None], 4, rng)[0]
    kept = np.zeros_like(full)
    for value in range(1, 5):
        strokes, count = ndimage.label(full == value)
        chosen = rng.permutation(count)[:STROKES] + 1
        kept[np.isin(strokes, chosen)] = value
    return kept


def _ours(problem: Problem, seed: int) -> tuple[bool, float, int]:
    watched = contest.ours(problem, seed=seed, epochs=3, steps_per_epoch=STEPS // 3, enough=GOOD)
    assert watched.network is not None
    free = set(_free(problem))
    how = grey.fit(contest.as_volume(problem))
    unsure = []
    with torch.inference_mode():
        for z in free:
            image_CYX = torch.from_numpy(grey.normalised(problem.volume[z][None], how))
            _, entropy = decide(watched.network.eval()(image_CYX[None]), (1, 2, 3, 4))
            unsure.append(SliceFound(z=z, uncertainty=float(entropy.float().mean()) / 255))
    labelled = np.flatnonzero(problem.labels.any(axis=(1, 2))).tolist()
    found = suggested(unsure, labelled, 1) or suggested(unsure, (), 1)
    return _good(watched), watched.looks[-1].seconds, found[0].z


def _theirs(problem: Problem, seed: int) -> tuple[bool, float, int]:
    tried = [contest.theirs(problem, rate=rate, crops=STEPS * BATCH, seed=seed, enough=GOOD) for rate in RATES]
    best = min(tried, key=lambda one: (not _good(one), one.looks[-1].seconds))
    free = _free(problem)
    return _good(best), best.looks[-1].seconds, free[int(np.random.default_rng([seed, len(free)]).integers(len(free)))]


def _good(watched: Watched) -> bool:
    return watched.looks[-1].dice >= GOOD
