"""What a tuning tries next, and which trial is not worth going on with: `python -m mlex_jupyter.learn.proposing`.

A JSON object a line comes in, and one goes out; nothing is remembered between them. Each request holds the whole
search: what may be varied, and every trial so far. A study of Optuna is made of it, in memory, and asked; so the
trials in the database are all there is to a search, and this process may be killed at any moment.

    {"id", "seed", "sampler", "pruner", "metric", "better", "trials", "epochs", "space", "first", "tried", "ask"}
    {"next": {"7": {"depth": 4}}, "prune": {"3": "at epoch 2 its dice 0.41 is below the median 0.63"}}
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    import optuna

Params = dict[str, Any]
Request = Mapping[str, Any]

REDRAWN = 50
"""So often it is drawn again where the same was tried before."""
COUNTED = 10_000
STARTUP = 4
"""So many trials have to be finished before one is compared with them."""
FACTOR = 3
"""Of hyperband: so many times fewer trials go on with so many times more epochs."""


def answer(request: Request) -> dict[str, Any]:
    """What to try next, by number, and which trials to end, with the reason."""
    study, poor = study_of(request)
    return {"next": _next(study, request), "prune": {str(trial["number"]): _why(request, trial) for trial in poor}}


def study_of(request: Request) -> tuple[optuna.Study, list[Mapping[str, Any]]]:
    """The search as Optuna knows searches, told anew; and of what still runs, what is not worth going on with."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=request["id"],
        direction="maximize" if request["better"] == "max" else "minimize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=_pruner(request),
    )
    ended = [trial for trial in request["tried"] if trial["state"] != "running"]
    running = [trial for trial in request["tried"] if trial["state"] == "running"]
    for trial in ended:
        _tell(study, request, trial)
    return study, [trial for trial in running if _tell(study, request, trial)]


def _tell(study: optuna.Study, request: Request, trial: Mapping[str, Any]) -> bool:
    """Tell of a trial; True where it still runs and is not worth going on with. The last epoch is the end anyway."""
    from optuna.trial import TrialState

    study.enqueue_trial(trial["params"])
    told, poor, last = study.ask(distributions(request)), False, 0
    for epoch, value in sorted((int(epoch), value) for epoch, value in trial["curve"].items()):
        told.report(value, epoch)
        last = epoch
        if _is_rung(request, epoch):  # it notes there how good each was
            poor = told.should_prune()
    if trial["state"] == "running":
        poor = poor if _is_rung(request, last) else told.should_prune()
        return poor and 0 < last < request["epochs"]
    if trial["state"] == "done":
        study.tell(told, trial["value"])
    else:
        study.tell(told, state=TrialState.PRUNED if trial["state"] == "pruned" else TrialState.FAIL)
    return False


def _is_rung(request: Request, epoch: int) -> bool:
    """Whether hyperband compares at this epoch."""
    while epoch > 1 and epoch % FACTOR == 0:
        epoch //= FACTOR
    return request["pruner"] == "hyperband" and epoch == 1


def distributions(request: Request) -> dict[str, Any]:
    """What is varied, in Optuna's terms."""
    return {one["name"]: _distribution(one) for one in request["space"]}


def _distribution(one: Mapping[str, Any]) -> Any:
    from optuna import distributions

    if one["kind"] == "choice":
        return distributions.CategoricalDistribution(one["choices"])
    if one["kind"] == "int":
        low, high = int(one["low"]), int(one["high"])
        return distributions.IntDistribution(low, high, log=one["log"], step=int(one["step"] or 1))
    return distributions.FloatDistribution(one["low"], one["high"], log=one["log"], step=one["step"])


# ---------------------------------------------------------------- the next


def _next(study: optuna.Study, request: Request) -> dict[str, Params]:
    """Parameters for each number that is asked for, none of them tried before where there are others."""
    seen = [trial["params"] for trial in request["tried"]]
    found: dict[str, Params] = {}
    for number in request["ask"]:
        params = request["first"] if number == 1 and request["first"] else _drawn(study, request, number, seen)
        seen.append(params)
        found[str(number)] = params
    return found


def _drawn(study: optuna.Study, request: Request, number: int, seen: Sequence[Params]) -> Params:
    """A function of the search, the number and what was tried: asked again, it is the same."""
    seed = crc32(f"{request['seed']} {number}".encode())
    study.sampler = _sampler(request, seed)
    space = distributions(request)
    for _ in range(REDRAWN):
        params = study.ask(space).params
        if params not in seen:
            return params
    left = [params for params in _all(space) if params not in seen]
    return left[seed % len(left)] if left else params


def _all(space: Mapping[str, Any]) -> Iterable[Params]:
    """Every combination, where they can be counted."""
    values = [list(_values(one)) for one in space.values()]
    for chosen in itertools.islice(itertools.product(*values), COUNTED) if all(values) else ():
        yield dict(zip(space, chosen, strict=True))


def _values(one: Any) -> Iterable[Any]:
    if hasattr(one, "choices"):
        return tuple(one.choices)
    if one.step is None:
        return ()
    count = round((one.high - one.low) / one.step) + 1
    return (one.low + place * one.step for place in range(min(count, COUNTED)))


def _sampler(request: Request, seed: int) -> Any:
    from optuna import samplers

    if request["sampler"] == "random":
        return samplers.RandomSampler(seed=seed)
    # What still runs counts as poor until it is known, so that trials at the same time are not the same.
    startup = max(5, min(10, request["trials"] // 4))
    return samplers.TPESampler(seed=seed, constant_liar=True, n_startup_trials=startup)


# ---------------------------------------------------------------- no more


def _pruner(request: Request) -> Any:
    from optuna import pruners

    if request["pruner"] == "median":
        return pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=request["epochs"] // 5)
    if request["pruner"] == "hyperband":
        return pruners.HyperbandPruner(max_resource=request["epochs"], reduction_factor=FACTOR)
    return pruners.NopPruner()


def _why(request: Request, trial: Mapping[str, Any]) -> str:
    metric, curve = request["metric"], trial["curve"]
    epoch = max(map(int, curve))
    best = (max if request["better"] == "max" else min)(curve.values())
    said = f"at epoch {epoch} its {metric} {best:.3g}"
    if request["pruner"] == "hyperband":
        return f"{said} is not among the best third of its bracket"
    others = [one["curve"].get(str(epoch)) for one in request["tried"] if one["state"] == "done"]
    median = statistics.median([value for value in others if value is not None])
    return f"{said} is {'below' if request['better'] == 'max' else 'above'} the median {median:.3g}"


def main() -> int:
    """Answer until nobody asks any more; what libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")  # Optuna calls much of itself experimental
    for line in sys.stdin:
        try:
            said = answer(json.loads(line))
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(said) + "\n")
        out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
