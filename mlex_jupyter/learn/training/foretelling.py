"""Who follows a training for an attempt, and says after its first steps how long all of it will take."""

from __future__ import annotations

import time

from pydantic import JsonValue

from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.params import TrainParams

STEPS, SECONDS = 4, 1.0
"""So many steps, and so long, are looked at: the first are slower than the others, and one alone says little."""


class Foretelling:
    """Passes on all that is said, and adds one sentence."""

    def __init__(self, attempt: Attempt, params: TrainParams) -> None:
        self.attempt = attempt
        self.params = params
        self._first: tuple[int, float] | None = None
        self._told = False

    @property
    def stopping(self) -> bool:
        """Whether the attempt is to stop."""
        return self.attempt.stopping

    def note(self, text: str) -> None:
        """A sentence for people."""
        self.attempt.note(text)

    def progress(
        self, done: int, total: int, unit: str, *, eta_s: float | None = None, score: float | None = None
    ) -> None:
        """How far it is."""
        self.attempt.progress(done, total, unit, eta_s=eta_s, score=score)

    def emit(self, kind: str, **values: JsonValue) -> None:
        """What a curve is drawn from; of the first steps it is told how long they took."""
        self.attempt.emit(kind, **values)
        step = values.get("step")
        if kind != "metrics" or self._told or not isinstance(step, int):
            return
        now = time.monotonic()
        first, begun = self._first = self._first or (step, now)
        if step - first >= STEPS and now - begun >= SECONDS:
            self._told = True
            self._foretell((now - begun) / (step - first), step, values.get("memory_gb"))

    def _foretell(self, step_s: float, step: int, memory_gb: JsonValue) -> None:
        epoch_s = step_s * self.params.steps_per_epoch
        left_s = step_s * (self.params.epochs * self.params.steps_per_epoch - step)
        said = f"{step_s:.3g} s a step: {epoch_s:.3g} s an epoch, about {left_s:.0f} s to go, and the judging"
        self.note(f"{said}; {memory_gb} GB so far" if memory_gb is not None else said)
