"""Scores on the labelled pixels, compared with counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mlex_jupyter.learn.score import UNLABELLED, Calibration, Confusion


def test_dice_and_iou_are_counted_over_labelled_pixels_of_the_classes_that_occur() -> None:
    truth = np.array([0, 0, 0, 1, 1, UNLABELLED], np.uint8)
    found = np.array([0, 0, 1, 1, 1, 0], np.uint8)
    counted = Confusion(3)
    counted.add(found, truth)
    assert counted.dice() == [pytest.approx(4 / 5), pytest.approx(4 / 5), None]
    assert counted.iou() == [pytest.approx(2 / 3), pytest.approx(2 / 3), None]
    assert counted.mean_iou() == pytest.approx(2 / 3)
    assert counted.mean_dice() == pytest.approx(4 / 5)


def test_a_network_that_knows_how_sure_it_may_be_has_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.3, 1, 200_000).astype(np.float32)
    honest, boastful = Calibration(), Calibration()
    honest.add(sure, rng.random(len(sure)) < sure)
    boastful.add(np.full_like(sure, 0.95), rng.random(len(sure)) < 0.65)
    assert honest.error() < 0.01
    assert boastful.error() == pytest.approx(0.3, abs=0.01)
    assert Calibration().error() == 0
