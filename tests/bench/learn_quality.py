"""How good a training ends, on slices that it has not seen: Dice, its spread, and whether it knows how sure it may be.

Ours and DLSIA's trainer see as many crops of the same scribbles, in batches of the same size; DLSIA's at the best of
three rates, chosen by the very slices that judge, which is more than its user could do. `--long` has larger slices and
four times the crops.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import torch

from tests.bench import contest
from tests.bench.contest import Problem
from tests.bench.figures import Figure
from tests.bench.learn_train import RATES, TEXTURES

SEEDS = range(5)
SURE = 0.05


def figures() -> Iterator[Figure]:
    """For each texture: Dice, its spread over seeds, and the error of calibration."""
    torch.set_num_threads(1)
    long = "--long" in sys.argv
    for texture in TEXTURES:
        problem = Problem.of(texture, size=256, slices=32) if long else Problem.of(texture)
        yield from _compared(problem, 400 if long else 100)


def _compared(problem: Problem, steps: int) -> Iterator[Figure]:
    crops = steps * contest.BATCH
    ours = [contest.ours(problem, seed=seed, steps_per_epoch=steps // 8).looks[-1] for seed in SEEDS]
    theirs = {
        rate: [contest.theirs(problem, rate=rate, crops=crops, seed=seed).looks[-1] for seed in SEEDS] for rate in RATES
    }
    rate = max(theirs, key=lambda one: _mean(theirs[one]))
    other = theirs[rate]
    about, against = f"on unseen slices, {problem.texture}", f"DLSIA's trainer at {rate:g}, {crops} crops each"
    yield Figure(f"Dice {about}", _mean(ours), "", _mean(other), against, least=_mean(other))
    spread = [contest.spread([one.dice for one in looks]) for looks in (ours, other)]
    seeds = f"spread of Dice over {len(SEEDS)} seeds, {problem.texture}"
    yield Figure(seeds, spread[0], "", spread[1], against, limit=spread[1])
    sure = [float(np.mean([one.calibration for one in looks])) for looks in (ours, other)]
    yield Figure(f"calibration error {about}", sure[0], "", sure[1], against, limit=SURE)


def _mean(looks: list[contest.Look]) -> float:
    return float(np.mean([one.dice for one in looks]))
