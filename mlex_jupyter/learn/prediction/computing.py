"""What a band comes to: its slices in batches, or a slab of them; less at once where that was more than memory held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlex_jupyter.learn import machine
from mlex_jupyter.learn.attempt import Attempt, Stopped
from mlex_jupyter.learn.pace import Pace
from mlex_jupyter.learn.prediction import bands, memory, slabs
from mlex_jupyter.learn.prediction.ledger import Ledger, Plan
from mlex_jupyter.learn.prediction.segmenter import Found, Segmenter
from mlex_jupyter.learn.prediction.tally import Tally
from mlex_jupyter.learn.prediction.tiles import Fit

SAY_S = 0.2


class Computing:
    """The computing part of a prediction, which says as it goes how far it is."""

    attempt: Attempt
    scope: range
    sides: list[int]
    plan: Plan
    ledger: Ledger
    reader: bands.Reader | slabs.Reader
    segmenter: Segmenter
    tally: Tally
    pace: Pace
    _pixel_bytes: float

    def _how_far(self) -> str:
        return f"Stopped: {self.tally.done} of {len(self.scope)} slices are done, and are kept."

    def _compute(self, zs: range, read: Any) -> tuple[Found, NDArray[Any]]:
        """What a band comes to, and its first slice as it is."""
        made = self._compute_slab(zs, read) if self.plan.dims == 3 else self._compute_slices(zs, read)
        return made, self.reader.alone(read if self.plan.dims == 3 else read[0])

    def _compute_slab(self, zs: range, slab: slabs.Slab) -> Found:
        begun = self.pace.done

        def tell(share: float) -> None:
            self.pace.step(begun + int(share * len(zs)) - self.pace.done)
            if self.attempt.stopping and share < 1:
                raise Stopped(self._how_far())
            if self.pace.every("progress", SAY_S):
                self._say()

        while (found := self._segmented(lambda: self.segmenter.slab(slab, tell))) is None:
            pass  # less of it, now
        return found

    def _compute_slices(self, zs: range, raw_BCYX: NDArray[Any]) -> Found:
        found: list[Found] = []
        at = 0
        while at < len(zs):
            some_BCYX = raw_BCYX[at : at + self.plan.batch]
            if (one := self._segmented(lambda: self.segmenter(some_BCYX))) is None:
                continue  # less of it, now
            found.append(one)
            at += len(one.values_BYX)
            self.pace.step(len(one.values_BYX))
            if self.pace.every("progress", SAY_S):
                self._say()
        if len(found) == 1:
            return found[0]
        shares = [one.shares_BKYX for one in found if one.shares_BKYX is not None]
        pairs = [(one.values_BYX, one.unsure_BYX) for one in found]
        values, unsure = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        return Found(values, unsure, np.concatenate(shares) if shares else None)

    def _segmented(self, work: Callable[[], Found]) -> Found | None:
        """What comes out; None where that was too much at once, so that it is less the next time."""
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not machine.is_out_of_memory(error):
                raise
        self.segmenter.backend.let_go()
        less = slabs.less if self.plan.dims == 3 else memory.less
        self.plan, words = less(self.plan, self.sides, self._pixel_bytes)
        self.segmenter.fit = Fit(self.plan.multiple, self.plan.halo, self.plan.largest, self.plan.dims)
        self.ledger.keep_to(self.plan)
        self.attempt.note(words)
        return None

    def _say(self) -> None:
        self.attempt.progress(min(self.pace.done, len(self.scope)), len(self.scope), "slice", eta_s=self.pace.eta_s())
