"""Foreign weights: their tensors are taken, and nothing in them ever runs."""

from __future__ import annotations

import collections
import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mlex_jupyter.errors import Conflict, Invalid, NotFound
from mlex_jupyter.learn import tensorpickle
from mlex_jupyter.learn.foreign import convert
from mlex_jupyter.learn.models import build


class Small(nn.Module):
    """A network that somebody saved whole."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
        self.gain = nn.Parameter(torch.tensor(2.5))


def same(path: Path, wanted: dict[str, torch.Tensor]) -> bool:
    found = load_file(path)
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


# ---------------------------------------------------------------- what is taken


def test_a_state_dict_comes_over_to_the_last_bit_and_fits_its_network(tmp_path: Path) -> None:
    where, params = "mlex_jupyter.learn.models.dlsia:tunet", {"depth": 2, "base_channels": 4}
    first = build(where, params, channels=1, classes=3)
    torch.save(first.state_dict(), tmp_path / "a.pt")
    made = convert(tmp_path / "a.pt", tmp_path / "a.safetensors")
    assert (made.tensors, made.refused, made.left_aside) == (len(first.state_dict()), (), ())
    assert same(tmp_path / "a.safetensors", first.state_dict())
    build(where, params, channels=1, classes=3).load_state_dict(load_file(tmp_path / "a.safetensors"))


def test_every_kind_of_number_layout_and_shape_is_kept(tmp_path: Path) -> None:
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    tensors = {str(kind): torch.arange(12).to(kind).reshape(3, 4) for kind in [*kinds, torch.int8, torch.uint8]}
    whole = torch.randn(5, 6, 7)
    tensors |= {"bool": torch.tensor([True, False]), "none": torch.zeros(0, 3), "one": torch.tensor(3.0)}
    tensors |= {"turned": whole.permute(2, 0, 1), "cut": whole[1:4, ::2, 3], "last": torch.randn(2, 3, 4, 4)}
    tensors["last"] = tensors["last"].to(memory_format=torch.channels_last)
    torch.save(tensors, tmp_path / "a.pt")
    assert convert(tmp_path / "a.pt", tmp_path / "a.safetensors").tensors == len(tensors)
    assert same(tmp_path / "a.safetensors", tensors)


def test_of_a_checkpoint_the_weights_are_taken_and_the_rest_is_named(tmp_path: Path) -> None:
    network = Small()
    optimizer = torch.optim.Adam(network.parameters())
    saved = {"epoch": 3, "state_dict": network.state_dict(), "optimizer": optimizer.state_dict(), "kernel": nn.Conv2d}
    torch.save(saved, tmp_path / "a.pt")
    made = convert(tmp_path / "a.pt", tmp_path / "a.safetensors")
    assert same(tmp_path / "a.safetensors", network.state_dict())
    assert made.left_aside == ("epoch", "kernel", "optimizer")
    assert made.refused == ("torch.nn.modules.conv.Conv2d",), "a class is not looked up, only named"


def test_a_network_that_was_saved_whole_gives_its_tensors_by_their_names(tmp_path: Path) -> None:
    network = Small()
    torch.save(network, tmp_path / "a.pt")
    made = convert(tmp_path / "a.pt", tmp_path / "a.safetensors")
    assert same(tmp_path / "a.safetensors", network.state_dict())
    assert any(name.endswith("Small") for name in made.refused)


# ---------------------------------------------------------------- what means harm


class Calls:
    """A pickle that calls something while it is read."""

    def __init__(self, what: Callable[..., Any], *given: Any) -> None:
        self.what = (what, given)

    def __reduce__(self) -> Any:
        return self.what


def harmful(mark: Path) -> dict[str, Any]:
    touch = f"open({str(mark)!r}, 'w').close()"
    return {
        "a shell": Calls(os.system, f"touch {mark}"),
        "a program": Calls(exec, touch),
        "a value": Calls(eval, touch),
        "a getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "a file": Calls(open, str(mark), "w"),
        "another pickle": Calls(pickle.loads, pickle.dumps(Calls(os.mkdir, str(mark)))),
        "torch": Calls(torch.save, torch.ones(2), str(mark)),
    }


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the file that torch left open
@pytest.mark.parametrize("kind", list(harmful(Path("x"))))
def test_what_a_pickle_would_do_is_not_done_and_is_named(tmp_path: Path, kind: str) -> None:
    mark = tmp_path / "mark"
    torch.save({"weight": torch.ones(2), "bad": harmful(mark)[kind]}, tmp_path / "a.pt")
    made = convert(tmp_path / "a.pt", tmp_path / "a.safetensors")
    assert not mark.exists() and made.refused
    assert same(tmp_path / "a.safetensors", {"weight": torch.ones(2)})
    torch.load(tmp_path / "a.pt", weights_only=False)
    assert kind == "a getattr" or mark.exists(), "which torch itself would have done"


def rewritten(path: Path, change: Callable[[str, bytes], bytes], compress: int = zipfile.ZIP_STORED) -> Path:
    """A saved tensor of six numbers, with some of its entries changed."""
    torch.save({"weight": torch.arange(6.0).reshape(2, 3)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, content in entries.items():
            archive.writestr(name, change(name.partition("/")[2], content))
    return path


def pickled(content: Callable[[Any], Any]) -> Callable[[str, bytes], bytes]:
    """With another pickle, `content(tensor)`, where `tensor(offset, sizes, strides)` is one over the bytes."""

    class Storage:
        pass

    class Pickler(pickle._Pickler):  # the one in Python can be taught
        def persistent_id(self, one: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", 6) if isinstance(one, Storage) else None

    def tensor(offset: Any, sizes: Any, strides: Any) -> Any:
        return Calls(
            torch._utils._rebuild_tensor_v2, Storage(), offset, sizes, strides, False, collections.OrderedDict()
        )

    def change(name: str, before: bytes) -> bytes:
        if name != "data.pkl":
            return before
        out = io.BytesIO()
        Pickler(out, protocol=2).dump(content(tensor))
        return out.getvalue()

    return change


def laughs(tensor: Any) -> Any:
    """Lists of lists of lists, each the same twice."""
    lists: list[Any] = []
    for _ in range(50):
        lists = [lists, lists]
    return {"weight": tensor(0, (2, 3), (3, 1)), "lists": lists}


def endless(tensor: Any) -> Any:
    around: dict[str, Any] = {"weight": tensor(0, (6,), (1,))}
    around["itself"] = around
    return around


@pytest.mark.parametrize("content", [laughs, endless])
def test_what_goes_in_circles_comes_to_an_end(tmp_path: Path, content: Any) -> None:
    path = rewritten(tmp_path / "a.pt", pickled(content))
    assert convert(path, tmp_path / "a.safetensors", time_s=60).tensors == 1


@pytest.mark.parametrize(
    ("offset", "sizes", "strides"),
    [
        (0, (2, 4), (4, 1)),
        (4, (2, 3), (3, 1)),
        (-1, (2,), (1,)),
        (0, (-2, -3), (3, 1)),
        (0, (1 << 62, 4), (0, 0)),
        (0, (10**9,), (0,)),
        (0, (2,), (1 << 39,)),
        (0, (2, 3), (3,)),
        (0, (2.0,), (1,)),
        (0, (True,), (1,)),
        (0, "23", "31"),
        (0, (1,) * 40, (1,) * 40),
    ],
)
def test_a_tensor_that_reaches_beyond_its_bytes_is_refused(
    tmp_path: Path, offset: Any, sizes: Any, strides: Any
) -> None:
    path = rewritten(tmp_path / "a.pt", pickled(lambda tensor: {"weight": tensor(offset, sizes, strides)}))
    with pytest.raises(Invalid, match="It cannot be read"):
        tensorpickle.read(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda name, content: b"" if name == "data.pkl" else content, "cannot be read"),
        (lambda name, content: content[:-9] if name == "data.pkl" else content, "cannot be read"),
        (lambda name, content: b"\x80\x02K\x01." if name == "data.pkl" else content, "no tensors"),
        (lambda name, content: content[:-3] if name == "data/0" else content, "cannot be read"),
        (lambda name, content: b"big" if name == "byteorder" else content, "other byte order"),
        (pickled(lambda tensor: {"a": {"__metadata__": 1}}), "no tensors"),
    ],
)
def test_a_damaged_file_is_refused_in_words(tmp_path: Path, change: Any, says: str) -> None:
    path = rewritten(tmp_path / "a.pt", change)
    with pytest.raises(Invalid, match=says):
        convert(path, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_what_could_swell_or_is_no_state_dict_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="compressed"):
        convert(rewritten(tmp_path / "a.pt", lambda _, same: same, zipfile.ZIP_DEFLATED), tmp_path / "b")
    with zipfile.ZipFile(rewritten(tmp_path / "c.pt", lambda _, same: same), "a") as archive:
        archive.writestr("archive/code/network.py", "def forward(self): ...")
    with pytest.raises(Invalid, match="TorchScript"):
        convert(tmp_path / "c.pt", tmp_path / "b")
    torch.save({"weight": torch.ones(2)}, tmp_path / "d.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(Invalid, match="no file of torch 1.6"):
        convert(tmp_path / "d.pt", tmp_path / "b")
    with pytest.raises(NotFound):
        convert(tmp_path / "nothing.pt", tmp_path / "b")
    (tmp_path / "b").write_text("mine")
    with pytest.raises(Conflict, match="there already"):
        convert(tmp_path / "d.pt", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "mine"


def test_it_is_read_without_torch() -> None:
    code = "import sys, mlex_jupyter.learn.foreign; print(sorted({'torch', 'safetensors'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
