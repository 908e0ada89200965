"""Training beside the same steps without a loader, and beside DLSIA's trainer: how fast, and how soon it is good.

Seconds of a processor are counted, not of the clock, on one thread: what our loader does in a thread of its own counts
in full. DLSIA's trainer gets the same network, the same scribbles and batches of the same size, and its best rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from mlex_jupyter.learn.pace import Pace
from tests.bench import contest, dlsia_trainer
from tests.bench.contest import BATCH, Problem, Quiet
from tests.bench.figures import Figure, interleaved, median

ROUNDS = 5
STEPS = 25
RATES = (0.003, 0.01, 0.02)
GOOD = 0.9
SEEDS = range(3)
MOST_CROPS = 1600
"""How long DLSIA's trainer is waited for: ours sees as many in the eight epochs of its defaults."""
TEXTURES = ("sand", "foam")


def figures() -> Iterator[Figure]:
    """Ratios, all of one thread."""
    torch.set_num_threads(1)
    problem = Problem.of("sand")
    yield _loader(problem)
    yield _speed(problem)
    for texture in TEXTURES:
        yield _sooner(texture)


def _loader(problem: Problem) -> Figure:
    training = contest.our_training(problem, Quiet(), epochs=1000, steps_per_epoch=1000)
    training.pace = Pace(training.total)
    ready = [training.crops.batch(step, range(BATCH)) for step in range(STEPS)]

    def loaded() -> float:
        return _rate(lambda step: training._step(training.batch(step, range(BATCH))))

    def in_memory() -> float:
        return _rate(lambda step: training._step(ready[step]))

    loaded(), in_memory()
    ours, best = map(median, interleaved(ROUNDS, loaded, in_memory))
    about = f"training with our loader, crops of {contest.PATCH}² a CPU second"
    return Figure(about, ours, "", best, "the same steps, batches in memory", least=0.97 * best)


def _rate(step: Callable[[int], None]) -> float:
    begun = time.process_time()
    for number in range(STEPS):
        step(number)
    return STEPS * BATCH / (time.process_time() - begun)


def _speed(problem: Problem) -> Figure:
    """Whole epochs, with what each does at their end, in crops that were trained on."""
    dataset = dlsia_trainer.windows(problem.volume, problem.labels)
    of_epoch = len(dataset) - max(1, int(0.2 * len(dataset)))
    epochs = max(1, round(2 * STEPS * BATCH / of_epoch))

    def ours() -> float:
        training = contest.our_training(problem, Quiet(), epochs=2, steps_per_epoch=STEPS)
        begun = time.process_time()
        training.run()
        return 2 * STEPS * BATCH / (time.process_time() - begun)

    def theirs() -> float:
        network = problem.fresh(0)
        begun = time.process_time()
        dlsia_trainer.train(network, dataset, epochs=epochs, rate=0.01, batch=BATCH, seed=0)
        return epochs * of_epoch / (time.process_time() - begun)

    ours(), theirs()
    mine, other = map(median, interleaved(ROUNDS, ours, theirs))
    about = f"training, whole epochs, crops of {contest.PATCH}² a CPU second"
    return Figure(about, mine, "", other, "DLSIA's train_segmentation, qlty 64/32", least=1.5 * other)


def _sooner(texture: str) -> Figure:
    """The median over seeds; a training that never gets there counts as long as it was waited for."""
    problem = Problem.of(texture)
    ours = [_until(contest.ours(problem, seed=seed, enough=GOOD)) for seed in SEEDS]

    def waited(rate: float, seed: int) -> float:
        return _until(contest.theirs(problem, rate=rate, crops=MOST_CROPS, seed=seed, enough=GOOD))

    theirs = {rate: median([waited(rate, seed) for seed in SEEDS]) for rate in RATES}
    rate = min(theirs, key=lambda one: theirs[one])
    about = f"CPU seconds to a Dice of {GOOD} on unseen slices, {texture}"
    against = f"DLSIA's trainer at its best rate, {rate:g}"
    return Figure(about, median(ours), "s", theirs[rate], against, limit=theirs[rate] / 3)


def _until(watched: contest.Watched) -> float:
    return min(watched.seconds_to(GOOD), watched.looks[-1].seconds)
