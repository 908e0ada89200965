"""What is computed at once keeps to the memory that there is, and becomes less where it was too much."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from mlex_jupyter.errors import MlexError
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.models import build
from mlex_jupyter.learn.prediction import backends, memory
from mlex_jupyter.learn.prediction.ledger import Plan
from mlex_jupyter.learn.prediction.tiles import Fit
from tests.bench import segmented
from tests.learning import events, run

UNET = "mlex_jupyter.learn.models.unet:unet"
LIMITED = """
import resource, sys
from pathlib import Path
from mlex_jupyter.jobfolder import JobFolder
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.prediction import task
from mlex_jupyter.learn.prediction.tiles import Fit

resource.setrlimit(resource.RLIMIT_DATA, (16 << 30, 16 << 30))
folder = JobFolder(Path(sys.argv[1]))
prediction = task.Prediction(task.Attempt(folder, folder.job(), 1))
prediction.plan = prediction.plan.model_copy(update={"batch": 16, "largest": 1 << 14})
prediction.segmenter.fit = Fit(prediction.plan.multiple, prediction.plan.halo, prediction.plan.largest)
used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + int(sys.argv[2]),) * 2)
prediction.run()
prediction.finish()
"""


def limited(folder: JobFolder, more: float) -> subprocess.CompletedProcess[str]:
    """A prediction that takes all slices at once, in a process that may take only so many bytes more for it."""
    command = [sys.executable, "-c", LIMITED, str(folder.path), str(int(more))]
    return subprocess.run(command, capture_output=True, text=True, timeout=150)


def found(folder: JobFolder) -> np.ndarray:
    return np.asarray(zarr.open_group(folder.path / "prediction.zarr", mode="r")["0"][...])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits of memory are those of Linux here")
def test_what_is_too_much_at_once_is_halved_until_it_fits_or_refused_in_words(tmp_path: Path) -> None:
    _, trained = segmented.network(tmp_path / "trained", UNET, depth=3, base_channels=16)
    data = segmented.volume(tmp_path / "volume.zarr", 16, 256)
    whole = segmented.job(tmp_path / "whole", data, trained)
    assert run(whole) == 0, whole.log.read_text()
    little = segmented.job(tmp_path / "little", data, trained)
    done = limited(little, 320e6)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 slices at once are more than the memory holds: from now on 8" in done.stdout
    assert (found(little) == found(whole)).mean() > 0.9999, "more than rounding differs"
    none = segmented.job(tmp_path / "none", data, trained)
    refused = limited(none, 40e6)
    assert refused.returncode and "more than the memory holds" in refused.stderr.splitlines()[-1]
    assert events(none, "note")[-1]["text"].endswith("more than the memory holds: from now on 52 × 52")


def plan(**given: int) -> Plan:
    return Plan(
        made_by="", backend="torch", **{"multiple": 8, "halo": 48, "largest": 1 << 20, "batch": 1, "band": 1, **given}
    )


def test_first_fewer_slices_then_smaller_tiles_and_in_the_end_what_would_help() -> None:
    sides = (1000, 1000)
    smaller, words = memory.less(plan(batch=5), sides, 500)
    assert (smaller.batch, words) == (2, "5 slices at once are more than the memory holds: from now on 2")
    smaller, words = memory.less(plan(), sides, 500)
    assert words.startswith("1000 × 1000 pixels at once are more than the memory holds: from now on ")
    areas = [1000 * 1000]
    with pytest.raises(MlexError, match="pieces cannot be smaller") as refused:
        while True:
            smaller, words = memory.less(smaller, sides, 500)
            rows, columns = (int(side) for side in words.rsplit("on ", 1)[1].split(" × "))
            assert rows * columns < areas[-1]
            areas.append(rows * columns)
    assert areas[-1] <= 112 * 112 and "a machine with more memory" in str(refused.value.hint)


def test_a_tile_is_as_large_as_the_network_was_measured_to_allow() -> None:
    torch.set_num_threads(1)
    backends.keep_memory()
    small, large = (build(UNET, {"depth": 3, "base_channels": base}, channels=1, classes=3).eval() for base in (4, 32))
    fits = []
    for network in (small, large):
        backend = backends.Torch(network, torch.device("cpu"))
        fits.append(memory.fitted(Fit(4, 24, 1 << 13), (8192, 8192), 0.4e9, 100, backend))
    assert fits[0].largest > fits[1].largest >= 256
    assert all(fit.largest % memory.ROUND == 0 for fit in fits)
    backend = backends.Torch(small, torch.device("cpu"))
    assert memory.fitted(Fit(4, 24, 512), (256, 256), 0.4e9, 100, backend).largest == 512, "that is no matter"


def test_of_what_a_job_may_take_slices_and_what_runs_already_are_taken_off() -> None:
    free = memory.left(0, 0, 4)
    assert free <= memory.MOST_BYTES
    assert memory.left(0.2e9, 0, 4) == pytest.approx(free - 0.2e9, abs=0.05e9)
    assert memory.left(0, 0, 0.5) < free
