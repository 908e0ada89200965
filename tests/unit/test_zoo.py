"""The zoo: every architecture described or said to be broken, and every training published once for each name."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from mlex_jupyter import zoo as zoo_module
from mlex_jupyter.errors import Conflict, Invalid, NotFound, Unavailable
from mlex_jupyter.events import Events
from mlex_jupyter.plugins import entry_points
from mlex_jupyter.store import Store
from mlex_jupyter.types import (
    Architecture,
    ArrayContract,
    ClassInfo,
    Dataset,
    Job,
    JobFile,
    JobState,
    LabelSet,
    Model,
    Preprocessing,
    Trained,
    now,
)
from mlex_jupyter.zoo import Zoo, describe
from tests.engine import settings_of, spec

GOOD = """
from mlex_jupyter.learn.models import architecture

@architecture(title="A small net")
def small(*, channels: int, classes: int, width: int = 4): ...
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("package", "code", name="module:thing")` puts architectures where every process finds them."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    entry_points.cache_clear()

    def add(package: str, code: str, version: str = "1.0", **points: str) -> None:
        (site / f"{package}.py").write_text(code)
        info = site / f"{package}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = "\n".join(f"{name} = {value}" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[mlex.models]\n{lines}\n")
        entry_points.cache_clear()

    yield add
    entry_points.cache_clear()


@pytest.fixture
async def zoo(home: Path, described: Path) -> AsyncIterator[Zoo]:
    shutil.copytree(described, home / "cache")
    settings = settings_of(home)
    store = Store.open(settings)
    yield Zoo(store, settings)
    store.close()


# ---------------------------------------------------------------- architectures


@pytest.mark.needs("torch", "dlsia")
async def test_the_built_ins_are_described_with_a_form(zoo: Zoo) -> None:
    found = {architecture.name: architecture for architecture in await zoo.architectures()}
    assert found.keys() >= {"unet", "tunet"}
    for architecture in found.values():
        properties = architecture.params_schema["properties"]
        assert isinstance(properties, dict)
        assert {field["x-group"] for field in properties.values()} == {"network", "training"}
        assert architecture.title
        assert zoo.complete_params(architecture, {}).keys() == properties.keys()
    assert await zoo.broken() == {}


@pytest.mark.needs("torch")
async def test_a_description_is_kept_for_as_long_as_its_package_stays_the_same(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def again(names: list[str]) -> dict[str, dict[str, object]]:
        raise AssertionError(f"described again: {names}")

    monkeypatch.setattr(zoo_module, "describe", again)
    begun = time.monotonic()
    assert len(await zoo.architectures()) >= 2
    assert time.monotonic() - begun < 1


@pytest.mark.needs("torch")
async def test_a_cache_that_cannot_be_read_is_made_anew(zoo: Zoo, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.loads((home / "cache" / "architectures.json").read_text())
    asked: list[str] = []

    async def fake(names: list[str]) -> dict[str, dict[str, object]]:
        asked.extend(names)
        return {name: whole[name]["says"] for name in names}

    monkeypatch.setattr(zoo_module, "describe", fake)
    (home / "cache" / "architectures.json").write_text("{ half of it")
    assert {architecture.name for architecture in await zoo.architectures()} == set(asked) == set(whole)


@pytest.mark.needs("torch")
async def test_a_new_version_of_a_package_is_described_again(
    zoo: Zoo, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    whole = {name: found["says"] for name, found in json.loads(zoo._cache.read_text()).items()}

    async def record(names: list[str]) -> dict[str, dict[str, object]]:
        asked.append(names)
        return {name: {**whole["unet"], "name": name} for name in names}

    monkeypatch.setattr(zoo_module, "describe", record)
    install("beamline", GOOD, small="beamline:small")
    assert "small" in {architecture.name for architecture in await zoo.architectures()}
    await zoo.architectures()
    install("beamline", GOOD + "\n# changed\n", small="beamline:small")
    os.utime(Path(os.environ["PYTHONPATH"].split(os.pathsep)[0]) / "beamline.py", (1, 1))
    await zoo.architectures()
    assert asked == [["small"], ["small"]]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('[]'); raise ImportError('no such library')", "no such library"),
        ("raise SystemExit(3)", "SystemExit"),
        ("import os; os._exit(0)", "ended without an answer"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended without an answer"),
        ("def other(): ...", "AttributeError"),
        ("small = 7", ""),
        ("def small(channels, classes, width): ...", ""),
        ("this is no Python", "SyntaxError"),
    ],
)
async def test_a_broken_plugin_is_described_by_why_and_the_others_as_they_are(
    install: Install, code: str, words: str
) -> None:
    install("beamline", code, small="beamline:small")
    found = await describe(["small"])
    assert words in str(found["small"]["error"])
    assert "\n" not in str(found["small"]["error"])


async def test_one_that_breaks_the_process_does_not_take_the_others_with_it(install: Install) -> None:
    install("killer", "import os; os._exit(1)", killer="killer:small")
    install("stumbler", "raise ZeroDivisionError('division by zero')", stumbler="stumbler:small")
    found = await describe(["killer", "stumbler"])
    assert "without an answer" in str(found["killer"]["error"])
    assert "division by zero" in str(found["stumbler"]["error"])


async def test_one_that_never_ends_is_given_up(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_module, "DESCRIBE_S", 1.5)
    install("sleeper", "import time; time.sleep(600)", sleeper="sleeper:small")
    found = await describe(["sleeper"])
    assert "took more than 1.5 s" in str(found["sleeper"]["error"])


@pytest.mark.needs("torch")
async def test_a_broken_architecture_is_unavailable_and_says_why(
    zoo: Zoo, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("beamline", "raise ImportError('no such library')", small="beamline:small")
    assert "small" not in {architecture.name for architecture in await zoo.architectures()}
    assert "no such library" in (await zoo.broken())["small"]
    with pytest.raises(Unavailable, match="no such library"):
        await zoo.architecture("small")
    assert "small" in zoo._read_cache(), "a hanging plugin costs its time once"
    monkeypatch.setattr(zoo_module, "TRY_AGAIN_AFTER_S", -1)
    assert "small" not in zoo._read_cache(), "it may be mended tomorrow"


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", ["unett", "", "a\nb", "../x"])
async def test_an_architecture_that_is_not_there_is_not_found(zoo: Zoo, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        await zoo.architecture(name)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    if name == "unett":
        assert "unet" in caught.value.hint


# ---------------------------------------------------------------- parameters

FORM = Architecture(
    name="small",
    title="A small net",
    params_schema={
        "type": "object",
        "properties": {
            "depth": {"type": "integer", "default": 3, "minimum": 1, "maximum": 6, "description": "How deep."},
            "rate": {"type": "number", "default": 0.001, "exclusiveMinimum": 0},
            "norm": {"enum": ["batch", "none"], "default": "batch"},
        },
        "additionalProperties": False,
    },
    inputs=ArrayContract(axes="cyx"),
    outputs=ArrayContract(axes="cyx"),
    builder="beamline:small",
    distribution="beamline",
    version="1.0",
)


async def test_what_is_left_out_takes_its_default(zoo: Zoo) -> None:
    assert zoo.complete_params(FORM, {"depth": 5}) == {"depth": 5, "rate": 0.001, "norm": "batch"}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dept": 3}, "no parameter 'dept'"),
        ({"depth": 0}, "depth = 0 will not do"),
        ({"depth": -3}, "depth = -3 will not do"),
        ({"depth": 7}, "depth = 7 will not do"),
        ({"depth": "deep"}, "depth = 'deep' will not do"),
        ({"depth": 2.5}, "depth = 2.5 will not do"),
        ({"depth": None}, "depth = None will not do"),
        ({"rate": 0}, "rate = 0 will not do"),
        ({"norm": "layer"}, "norm = 'layer' will not do"),
        ({"depth": [[[]]]}, "depth = "),
    ],
)
async def test_a_parameter_that_will_not_do_is_named(zoo: Zoo, params: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid, match=words.replace("[", "\\[")) as caught:
        zoo.complete_params(FORM, params)  # type: ignore[arg-type]
    if "dept" in params:
        assert "depth" in (caught.value.hint or "")


# ---------------------------------------------------------------- publishing

DATA = Dataset(
    id="data-1", name="sand", uri="/x.npy", reader="numpy", shape=(2, 4, 4), dtype="uint8", axes="zyx", nbytes=32,
    created=now(),
)  # fmt: skip
CLASSES = (ClassInfo(value=1, name="grain", color="#ff0000"), ClassInfo(value=2, name="pore", color="#0000ff"))
LABELS = LabelSet(
    id="labels-1", name="scribbles", dataset="data-1", classes=CLASSES, version=1, uri="/l", counts={}, slices=(),
    created=now(),
)  # fmt: skip


class Training:
    """A finished training, as publishing sees it."""

    def __init__(self, folder: Path, number: int) -> None:
        weights = folder / f"weights-{number}.safetensors"
        weights.write_bytes(b"weights %d" % number)
        asked = spec(name=f"net-{number}")
        self.file = JobFile(
            id=f"run-{number}", name=f"net-{number}", owner="tester", spec=asked, data=DATA, labels=LABELS
        )
        self.job = Job(
            id=f"run-{number}", name=f"net-{number}", spec=asked, owner="tester", state=JobState.DONE, attempt=1,
            submitted=now(), metrics={"dice": 0.9},
        )  # fmt: skip
        self.trained = Trained(
            architecture="unet",
            builder="x:unet",
            params={"depth": 3},
            classes=CLASSES,
            preprocessing=Preprocessing(offset=1, scale=2),
            weights=str(weights),
        )

    async def publish(self, zoo: Zoo, name: str, **card: object) -> Model:
        return await zoo.publish(self.job, self.trained, self.file, owner="tester", name=name, **card)


async def test_published_twice_is_the_same_version(zoo: Zoo, tmp_path: Path) -> None:
    training = Training(tmp_path, 1)
    first = await training.publish(zoo, "pores", title="Pores", tags=("sand",))
    again = await asyncio.gather(*(training.publish(zoo, "pores") for _ in range(4)))
    assert {(model.id, model.version) for model in again} == {(first.id, 1)}
    assert len(await Events(zoo.store).after(0, kind="model")) == 1


async def test_another_training_is_the_next_version_and_another_name_its_own(zoo: Zoo, tmp_path: Path) -> None:
    first, second = Training(tmp_path, 1), Training(tmp_path, 2)
    versions = [(await training.publish(zoo, "pores")).version for training in (first, second, first)]
    assert versions == [1, 2, 1]
    assert (await first.publish(zoo, "grains")).version == 1
    assert (await zoo.model("pores")).run == "run-2"
    assert (await zoo.model("pores", 1)).run == "run-1"


async def test_a_model_keeps_all_that_prediction_needs_when_its_run_is_gone(zoo: Zoo, tmp_path: Path) -> None:
    training = Training(tmp_path, 1)
    model = await training.publish(zoo, "pores")
    Path(training.trained.weights).unlink()
    found = zoo.trained(await zoo.model("pores"))
    assert Path(found.weights).read_bytes() == b"weights 1"
    assert (found.classes, found.params) == (CLASSES, {"depth": 3})
    assert found.preprocessing == training.trained.preprocessing
    assert (model.dataset, model.labels, model.metrics) == ("data-1", "labels-1", {"dice": 0.9})


async def test_a_name_of_an_architecture_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="unet is the name of an architecture"):
        await Training(tmp_path, 1).publish(zoo, "unet")


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "../x", "$(id)", "x" * 101, "'"])
async def test_a_name_that_is_none_is_refused(zoo: Zoo, tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="name will not do"):
        await Training(tmp_path, 1).publish(zoo, name)


async def test_weights_that_are_gone_are_said_to_be(zoo: Zoo, tmp_path: Path) -> None:
    training = Training(tmp_path, 1)
    Path(training.trained.weights).unlink()
    with pytest.raises(NotFound):
        await training.publish(zoo, "pores")


@pytest.mark.needs("torch")
async def test_models_come_before_architectures_and_are_found_by_name_title_and_tag(zoo: Zoo, tmp_path: Path) -> None:
    await Training(tmp_path, 1).publish(zoo, "pores-net", title="Pores in sandstone", tags=("beamtime-7",))
    await Training(tmp_path, 2).publish(zoo, "pores-net")
    await Training(tmp_path, 3).publish(zoo, "grains")
    everything = await zoo.search()
    kinds = [entry.kind for entry in everything]
    assert kinds == sorted(kinds, key=["model", "architecture"].index)
    assert {entry.name for entry in everything} >= {"pores-net", "grains", "unet"}
    assert [(entry.name, entry.version) for entry in await zoo.search("pores*")] == [("pores-net", 2)]
    assert [entry.name for entry in await zoo.search("GRAIN")] == ["grains"]
    assert await zoo.search("no such thing") == []
    assert await zoo.search("*", task="translation") == []


@pytest.mark.parametrize(("name", "version"), [("poers", None), ("pores", 9), ("'; DROP TABLE models; --", None)])
async def test_a_model_that_is_not_there_is_not_found(zoo: Zoo, tmp_path: Path, name: str, version: int | None) -> None:
    await Training(tmp_path, 1).publish(zoo, "pores")
    with pytest.raises(NotFound) as caught:
        await zoo.model(name, version)
    assert caught.value.hint
    assert await zoo.find(name, version) is None


async def test_a_model_whose_architecture_is_gone_says_what_it_needs(zoo: Zoo, tmp_path: Path) -> None:
    training = Training(tmp_path, 1)
    training.trained = training.trained.model_copy(update={"architecture": "gone"})
    model = await training.publish(zoo, "pores")
    with pytest.raises(Unavailable, match="needs the architecture gone"):
        zoo.trained(model)
