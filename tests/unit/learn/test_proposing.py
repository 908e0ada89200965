"""What a tuning tries next, and which trials it gives up: a function of the trials that there are, nothing else."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from mlex_jupyter.learn.proposing import answer

pytestmark = pytest.mark.needs("optuna")

RATE = {"name": "rate", "kind": "float", "low": 1e-4, "high": 1e-1, "step": None, "log": True, "choices": []}
DEPTH = {"name": "depth", "kind": "int", "low": 2.0, "high": 5.0, "step": None, "log": False, "choices": []}
LOSS = {"name": "loss", "kind": "choice", "low": None, "high": None, "step": None, "log": False, "choices": ["a", "b"]}


def request(*tried: dict[str, Any], **more: Any) -> dict[str, Any]:
    asked = {"id": "tuning-1", "seed": 0, "sampler": "tpe", "pruner": "median", "metric": "dice", "better": "max"}
    how = {"trials": 40, "epochs": 10, "space": [RATE, DEPTH, LOSS], "first": None, "ask": []}
    return {**asked, **how, "tried": list(tried), **more}


def trial(number: int, state: str = "done", *curve: float, rate: float = 1e-2, **more: Any) -> dict[str, Any]:
    curve = curve or (0.5,)
    points = {str(epoch): value for epoch, value in enumerate(curve, start=1)}
    params = {"rate": rate, "depth": 3, "loss": "a"}
    return {"number": number, "state": state, "value": max(curve), "curve": points, "params": params, **more}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_trials_lead_to_the_same_next_and_others_to_others(sampler: str) -> None:
    tried = [trial(n, rate=10 ** (-1 - n / 5)) for n in range(1, 13)]
    asked = request(*tried, ask=[13, 14], sampler=sampler)
    first = answer(asked)["next"]
    assert first == answer(json.loads(json.dumps(asked)))["next"], "also after a way through the database"
    assert (
        first["13"] != first["14"] and first != answer(request(*tried, ask=[13, 14], sampler=sampler, seed=1))["next"]
    )
    for params in first.values():
        assert 1e-4 <= params["rate"] <= 1e-1 and params["depth"] in (2, 3, 4, 5) and params["loss"] in ("a", "b")


def test_it_learns_from_the_trials_before_where_to_look() -> None:
    """The nearer the rate is to 10^-2, the better it was; what is proposed is nearer than chance would have it."""
    rates = [10 ** (-1 - n * 3 / 29) for n in range(30)]
    tried = [trial(n, "done", 1 - abs(math.log10(rate) + 2) / 2, rate=rate) for n, rate in enumerate(rates, start=1)]
    numbers = list(range(31, 51))

    def far(sampler: str) -> float:
        found = answer(request(*tried, ask=numbers, sampler=sampler))["next"].values()
        return sum(abs(math.log10(params["rate"]) + 2) for params in found) / len(numbers)

    assert far("tpe") < 0.6 * far("random")


def test_nothing_is_tried_twice_until_all_is_tried() -> None:
    tried: list[dict[str, Any]] = []
    for number in range(1, 9):
        asked = request(*tried, space=[DEPTH, LOSS], ask=[number])
        tried.append(trial(number, params=answer(asked)["next"][str(number)]))
    assert len({(one["params"]["depth"], one["params"]["loss"]) for one in tried}) == 4 * 2


def test_the_first_is_what_would_be_trained_without_a_search() -> None:
    usual = {"rate": 3e-3, "depth": 4, "loss": "b"}
    assert answer(request(first=usual, ask=[1]))["next"]["1"] == usual


def test_a_trial_below_the_median_is_given_up_with_the_reason_and_a_better_one_goes_on() -> None:
    before = [trial(n, "done", 0.2, 0.5, 0.6 + n / 100) for n in range(1, 6)]
    poor, good = trial(6, "running", 0.2, 0.3, 0.41), trial(7, "running", 0.2, 0.5, 0.7)
    assert answer(request(*before, poor, good))["prune"] == {"6": "at epoch 3 its dice 0.41 is below the median 0.63"}
    assert answer(request(*before[:3], poor, good))["prune"] == {}, "of too few nobody knows what is usual"
    assert answer(request(*before, poor, good, pruner="none"))["prune"] == {}
    assert answer(request(*before, poor, epochs=3))["prune"] == {}, "it is over anyway"


def test_where_less_is_better_a_trial_above_the_median_is_given_up() -> None:
    before = [trial(n, "done", 0.9, 0.5, 0.3, value=0.3) for n in range(1, 6)]
    poor, good = trial(6, "running", 0.9, 0.8, 0.7), trial(7, "running", 0.9, 0.5, 0.2)
    found = answer(request(*before, poor, good, metric="val_loss", better="min"))["prune"]
    assert found == {"6": "at epoch 3 its val_loss 0.7 is above the median 0.3"}


def test_hyperband_lets_the_best_third_go_on_to_the_next_rung() -> None:
    before = [trial(n, "done", *[n / 20] * 9) for n in range(1, 13)]
    running = [trial(13 + n, "running", *[value] * 3) for n, value in enumerate((0.05, 0.9, 0.02, 0.95, 0.01, 0.99))]
    found = answer(request(*before, *running, pruner="hyperband", epochs=9))["prune"]
    assert {"14", "16", "18"}.isdisjoint(found) and found, "of the poor ones, those whose bracket compares here"
    assert all(why.endswith("is not among the best third of its bracket") for why in found.values())


def test_it_answers_line_by_line_whatever_it_is_asked() -> None:
    lines = [json.dumps(request(ask=[1])), '{"nothing": 1}', json.dumps(request(ask=[2]))]
    command = [sys.executable, "-m", "mlex_jupyter.learn.proposing"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=120)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and list(said[0]["next"]) == ["1"] and "KeyError" in said[1]["error"]
    assert said[2]["next"] == answer(request(ask=[2]))["next"], "and remembers nothing"
