"""Blobs: the same bytes, one address, kept once, whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlex_jupyter.errors import Invalid, NotFound
from mlex_jupyter.settings import Settings
from mlex_jupyter.store.blobs import Blobs


@pytest.fixture
def blobs(settings: Settings) -> Blobs:
    return Blobs(settings)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(os.urandom(3_000_000))
    return file


def kept(blobs: Blobs) -> list[Path]:
    return [file for file in blobs.folder.rglob("*") if file.is_file()]


def test_what_is_put_is_found_by_its_content(blobs: Blobs, weights: Path) -> None:
    ref = blobs.put(weights)
    assert ref == "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()
    assert blobs.path(ref).read_bytes() == weights.read_bytes()
    assert blobs.path(ref) == blobs.folder / "sha256" / ref[7:9] / ref[7:]
    blobs.verify(ref)


def test_the_same_content_is_kept_once(blobs: Blobs, weights: Path, tmp_path: Path) -> None:
    ref = blobs.put(weights)
    before = blobs.path(ref).stat()
    (tmp_path / "copy").write_bytes(weights.read_bytes())
    assert blobs.put(tmp_path / "copy") == ref
    assert kept(blobs) == [blobs.path(ref)]
    assert blobs.path(ref).stat().st_mtime_ns == before.st_mtime_ns


def test_a_blob_outlives_the_file_it_came_from(blobs: Blobs, weights: Path) -> None:
    ref = blobs.put(weights)
    weights.write_bytes(b"something else")
    blobs.verify(ref)


def test_damage_is_seen_and_mended_by_putting_again(blobs: Blobs, weights: Path) -> None:
    ref = blobs.put(weights)
    blobs.path(ref).write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(Invalid, match="damaged"):
        blobs.verify(ref)
    assert blobs.put(weights) == ref
    blobs.verify(ref)


def test_a_disk_that_is_full_is_said_so_and_leaves_nothing(blobs: Blobs, weights: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
from mlex_jupyter.store.blobs import Blobs
from mlex_jupyter.settings import Settings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    Blobs(Settings.load(home=Path(sys.argv[1]))).put(Path(sys.argv[2]))
except OSError as error:
    sys.exit(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code, blobs.folder.parent, weights], check=False)
    assert done.returncode == errno.EFBIG  # the nearest to a full disk that needs no disk of one's own
    assert kept(blobs) == []


@pytest.mark.parametrize(
    "ref", ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "0" * 64 + "\n"]
)
def test_what_is_no_address_is_refused(blobs: Blobs, ref: str) -> None:
    with pytest.raises(Invalid, match="no artifact's address"):
        blobs.path(ref)


def test_what_is_not_there_is_not_found(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        blobs.path("sha256:" + "0" * 64)
    with pytest.raises(NotFound):
        blobs.verify("sha256:" + "0" * 64)
    with pytest.raises(NotFound):
        blobs.put(tmp_path / "nowhere")
