"""Training and prediction on what beamlines write: HDF5 and a folder of TIFFs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from mlex_jupyter.data.readers import open_path
from tests.learning import small_sample

Run = Callable[..., CompletedProcess[str]]
SMALL = ("-p", "epochs=1", "-p", "depth=2", "-p", "base_channels=4", "-p", "patch=32")


def found(mlex_run: Run, name: str) -> np.ndarray:
    return np.asarray(open_path(json.loads(mlex_run("dataset", name, "--json").stdout)["uri"]))


@pytest.mark.needs("torch")
@pytest.mark.usefixtures("knowing")
def test_a_model_is_trained_on_hdf5_and_predicts_the_same_from_a_stack_of_tiffs(mlex_run: Run, tmp_path: Path) -> None:
    sample = small_sample(tmp_path / "sample")
    volume = np.asarray(zarr.open_array(tmp_path / "sample/volume.zarr", mode="r")[:])
    assert volume.shape == sample.volume.shape
    (tmp_path / "recon").mkdir()
    for z, picture in enumerate(volume):
        tifffile.imwrite(tmp_path / "recon" / f"slice_{z}.tif", picture)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("exchange/data", data=volume, chunks=(1, *volume.shape[1:]), compression="gzip")
        file["exchange/data_white"] = volume[:1]

    mlex_run("register", f"{tmp_path}/scan.h5::/exchange/data", "--name", "scan")
    mlex_run("register", f"{tmp_path}/recon/slice_*.tif", "--name", "recon")
    mlex_run("import-labels", "scan", f"{tmp_path}/sample/scribbles.zarr", "--name", "mine")
    mlex_run("train", "unet", "--data=scan", "--labels=mine", "-o", "fit", *SMALL, "--wait")
    mlex_run("publish", "fit", "pores")
    for data in ("scan", "recon"):
        mlex_run("predict", "pores", f"--data={data}", "-o", f"seg-{data}", "--wait")
    assert found(mlex_run, "seg-scan").shape == volume.shape
    np.testing.assert_array_equal(found(mlex_run, "seg-scan"), found(mlex_run, "seg-recon"))
