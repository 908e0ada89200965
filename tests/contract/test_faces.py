"""One suite over the faces, each a real process: shell, notebook, script, HTTP, and a script over HTTP.

Every face walks the golden path in a home of its own, and is asked the same things that cannot be done. What comes
out must not tell which face it was.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlex_jupyter.data.readers import open_path
from tests.conftest import mlex_command
from tests.kernels import Kernel, running_kernel
from tests.servers import Server, end_processes_of, running_server

pytestmark = [pytest.mark.needs("torch", "dlsia", "lab"), pytest.mark.timeout(400)]

SAMPLE = {"size": 64, "slices": 8}
PARAMS = {"epochs": 2, "steps_per_epoch": 2, "batch": 2, "patch": 32, "base_channels": 4, "depth": 2}
TRAIN = {"model": "tunet", "data": "sand-tomo", "labels": "scribbles", "params": PARAMS}
PREDICT = {"model": "run", "data": "sand-tomo"}

# What cannot be done, as changes to a training that can.
BAD: dict[str, dict[str, Any]] = {
    "an unknown model": {"model": "tunett"},
    "unknown data": {"data": "sand-tom"},
    "labels that are not there": {"labels": "scribble"},
    "no labels": {"labels": None},
    "negative epochs": {"params": {"epochs": -1}},
    "an unknown parameter": {"params": {"epoch": 4}},
    "a parameter of the wrong kind": {"params": {"epochs": "many"}},
    "a name with a newline": {"name": "a\nb"},
    "a name with quotes": {"name": "a\"b'c"},
    "a name with a substitution": {"name": "$(touch owned)"},
    "a model's name with a newline": {"model": "tu\nnet"},
    "data's name with a substitution": {"data": "`touch owned`"},
    "a target that is not there": {"target": "slrum"},
    "fewer than no GPUs": {"resources": {"gpus": -1}},
    "an unknown run before it": {"after": ["nothing"]},
}


def asked(change: dict[str, Any]) -> dict[str, Any]:
    """The arguments of one bad request; None leaves one out."""
    return {name: value for name, value in (TRAIN | change).items() if value is not None}


# ---------------------------------------------------------------- the faces


class Shell:
    """`mlex …`."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def _json(self, *words: str) -> Any:
        return json.loads(mlex_command(*words, "--json", home=self.home).stdout)

    def walk(self) -> dict[str, Any]:
        self._json("sample", *options(SAMPLE))
        data = ["--data", "sand-tomo"]
        return {
            "train": self._json("train", "tunet", *data, "--labels=scribbles", *pairs(PARAMS), "-o", "run", "--wait"),
            "predict": self._json("predict", "run", *data, "-o", "seg", "--wait"),
            "publish": self._json("publish", "run", "pores-tunet"),
            "models": self._json("models", "pores*"),
            "jobs": self._json("jobs"),
            "why": self._json("why", "run"),
            "log": mlex_command("logs", "run", "-f", home=self.home).stdout,
        }

    def refuse(self, arguments: dict[str, Any]) -> dict[str, Any]:
        arguments = dict(arguments)
        words = ["train", arguments.pop("model"), *pairs(arguments.pop("params"))]
        words += options(arguments.pop("resources", {})) + [f"--after={run}" for run in arguments.pop("after", [])]
        done = mlex_command(*words, *options(arguments), "--json", home=self.home, check=False)
        assert done.returncode in (1, 2)
        assert done.stdout == ""
        return dict(json.loads(done.stderr))


class Script:
    """`import mlex_jupyter as mlex` in a process of its own."""

    begin = "import json, mlex_jupyter as mlex; lab = mlex"

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {"MLEX_HOME": str(home)}

    def _python(self, code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", f"{self.begin}\n{code}"],
            env={"PATH": "/usr/bin:/bin", **self.environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def walk(self) -> dict[str, Any]:
        code = f"""
from pydantic_core import to_json
lab.sample(**{SAMPLE!r})
run = lab.train(**{TRAIN!r}, name="run", wait=True)
seg = lab.predict("run", data="sand-tomo", name="seg", wait=True)
found = dict(train=run, predict=seg, publish=lab.publish(run, "pores-tunet"), models=lab.models("pores*"),
             jobs=lab.jobs(), why=lab.why(run), log="".join(lab.logs(run, follow=True)))
print(to_json(found).decode())
"""
        return dict(json.loads(self._python(code)))

    def refusals(self, requests: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """All in one process, since each would take a second."""
        code = f"""
said = dict()
for what, arguments in {requests!r}.items():
    try:
        lab.train(**arguments)
    except mlex.MlexError as error:
        said[what] = mlex.Problem.of(error).model_dump()
print(json.dumps(said))
"""
        return dict(json.loads(self._python(code)))


class Remote(Script):
    """`lab = mlex.connect(URL)` in a script that has a home of its own, and leaves it alone."""

    begin = "import json, os, mlex_jupyter as mlex; lab = mlex.connect(os.environ['URL'])"

    def __init__(self, home: Path, server: Server) -> None:
        super().__init__(home)
        self.untouched = home / "untouched"
        self.environment = {"MLEX_HOME": str(self.untouched), "URL": server.url, "MLEX_TOKEN": server.token}

    def _python(self, code: str) -> str:
        said = super()._python(code)
        assert not self.untouched.exists(), "nothing is done on this side"
        return said


class Notebook:
    """`%mlex` and `%%mlex` in a kernel."""

    def __init__(self, home: Path, kernel: Kernel) -> None:
        self.home = home
        self.kernel = kernel
        self.kernel.do("%load_ext mlex_jupyter")

    def walk(self) -> dict[str, Any]:
        do = self.kernel.do
        do(f"%mlex sample {shlex.join(options(SAMPLE))}")
        do(f"%%mlex train tunet -o run --wait\ndata: sand-tomo\nlabels: scribbles\nparams: {json.dumps(PARAMS)}")
        # A name would mean the variable, and so the run by its id; by its name the job.json is everybody's.
        do("bound, run = run, None")
        do("%mlex predict run --data sand-tomo -o seg --wait")
        do("run = bound")
        do("%mlex publish run pores-tunet -o published")
        do("%mlex models 'pores*' -o found")
        do("%mlex jobs -o listed")
        do("%mlex why run -o reason")
        do("from pydantic_core import to_json")
        do("all = dict(train=run, predict=seg, publish=published, models=found, jobs=listed, why=reason)")
        seen = do("print(to_json(all).decode())")
        return {**json.loads(seen.text), "log": do("%mlex logs run -f").text}

    def refuse(self, arguments: dict[str, Any]) -> dict[str, Any]:
        body = "\n".join(f"{name}: {json.dumps(value)}" for name, value in arguments.items())
        seen = self.kernel.do(f"%%mlex train\n{body}", check=False)
        assert seen.error is not None
        assert "Traceback" not in "\n".join(seen.error["traceback"])
        message, _, hint = seen.error["evalue"].partition("\n")
        return {"message": message, "hint": hint or None}


class Rest:
    """HTTP to a Jupyter server."""

    def __init__(self, home: Path, server: Server) -> None:
        self.home = home
        self.client = server.client()
        self.client.timeout = 120

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def _get(self, path: str, **query: str) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _ended(self, job: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + 300
        while job["state"] in ("waiting", "queued", "running"):
            assert time.monotonic() < deadline, job
            time.sleep(0.2)
            job = self._get(f"/jobs/{job['id']}")
        return job

    def walk(self) -> dict[str, Any]:
        self._post("/sample", SAMPLE)
        train = self._post("/jobs", {"name": "run", "task": {"kind": "train", **TRAIN}})
        train = self._ended(train)
        predict = self._post("/jobs", {"name": "seg", "task": {"kind": "predict", **PREDICT}})
        return {
            "train": train,
            "predict": self._ended(predict),
            "publish": self._post("/models", {"run": "run", "name": "pores-tunet"}),
            "models": self._get("/models", query="pores*"),
            "jobs": self._get("/jobs"),
            "why": self._get("/jobs/run/why"),
            "log": self._get("/jobs/run/log")["text"],
        }

    def refuse(self, arguments: dict[str, Any]) -> dict[str, Any]:
        task_fields = ("model", "data", "labels", "params")
        task = {"kind": "train", **{name: arguments[name] for name in task_fields if name in arguments}}
        spec = {name: value for name, value in arguments.items() if name not in task_fields}
        answer = self.client.post("/jobs", json={"task": task, **spec})
        assert 400 <= answer.status_code < 500
        return dict(answer.json())


def options(arguments: dict[str, Any]) -> list[str]:
    return [f"--{name}={value}" for name, value in arguments.items()]


def pairs(params: dict[str, Any]) -> list[str]:
    return [word for name, value in params.items() for word in ("-p", f"{name}={value}")]


Face = Shell | Script | Notebook | Rest
FACES = ("shell", "script", "notebook", "rest", "remote")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Face]]:
    homes = {name: tmp_path_factory.mktemp(name) for name in FACES}
    # Describing the architectures takes a torch of its own, and says the same in every home.
    mlex_command("architectures", home=homes["shell"])
    for name in FACES[1:]:
        shutil.copytree(homes["shell"] / "cache", homes[name] / "cache")
    with (
        running_kernel(homes["notebook"]) as kernel,
        running_server(homes["rest"], app="server") as server,
        running_server(homes["remote"], app="server") as there,
    ):
        yield {
            "shell": Shell(homes["shell"]),
            "script": Script(homes["script"]),
            "notebook": Notebook(homes["notebook"], kernel),
            "rest": Rest(homes["rest"], server),
            "remote": Remote(homes["remote"], there),
        }
    for home in homes.values():
        end_processes_of(home)


@pytest.fixture(scope="module")
def walked(faces: dict[str, Face]) -> dict[str, dict[str, Any]]:
    """What every face's golden path gave; they walk side by side."""
    with ThreadPoolExecutor(len(faces)) as walkers:
        return dict(zip(faces, walkers.map(lambda face: face.walk(), faces.values()), strict=True))


@pytest.fixture(scope="module")
def refused(faces: dict[str, Face], walked: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """What every face answers to each bad request, in a home where the path was walked."""

    requests = {what: asked(change) for what, change in BAD.items()}

    def ask(face: Face) -> dict[str, dict[str, Any]]:
        if isinstance(face, Script):
            return face.refusals(requests)
        return {what: face.refuse(arguments) for what, arguments in requests.items()}

    with ThreadPoolExecutor(len(faces)) as askers:
        return dict(zip(faces, askers.map(ask, faces.values()), strict=True))


# ---------------------------------------------------------------- what must be the same

VARYING = {"key", "submitted", "started", "ended", "seen", "native_id", "created", "eta_s", "time"}


def same_everywhere(value: Any, home: Path) -> Any:
    """A result without what differs between two runs of the same: moments, ids, keys, the home's path."""
    if isinstance(value, dict):
        return {key: same_everywhere(part, home) for key, part in value.items() if key not in VARYING}
    if isinstance(value, list):
        return [same_everywhere(part, home) for part in value]
    if isinstance(value, str):
        value = re.sub(r"^\d\d:\d\d:\d\d ", "", value.replace(str(home), "HOME"))
        return re.sub(r"\b(run|data|labels|model)-[0-9a-f]{20}\b", r"\1-ID", value)
    return value


@pytest.mark.parametrize("face", FACES[1:])
@pytest.mark.parametrize("step", ["train", "predict"])
def test_every_face_leaves_the_same_job_json(
    face: str, step: str, faces: dict[str, Face], walked: dict[str, dict[str, Any]]
) -> None:
    def job_json(name: str) -> Any:
        home = faces[name].home
        written = home / "jobs" / walked[name][step]["id"] / "job.json"
        return same_everywhere(json.loads(written.read_text()), home)

    assert job_json(face) == job_json("shell")


@pytest.mark.parametrize("face", FACES[1:])
@pytest.mark.parametrize("step", ["train", "predict", "publish", "models", "jobs", "why"])
def test_every_face_gives_the_same_results(
    face: str, step: str, faces: dict[str, Face], walked: dict[str, dict[str, Any]]
) -> None:
    result = same_everywhere(walked[face][step], faces[face].home)
    assert result == same_everywhere(walked["shell"][step], faces["shell"].home)


@pytest.mark.parametrize("face", FACES)
def test_the_path_ends_with_a_segmentation_and_a_model(face: str, walked: dict[str, dict[str, Any]]) -> None:
    found = walked[face]
    assert found["train"]["state"] == found["predict"]["state"] == "done"
    assert found["publish"]["name"] == "pores-tunet"
    assert [entry["name"] for entry in found["models"]] == ["pores-tunet"]
    assert found["log"].strip()


@pytest.mark.parametrize("face", FACES)
def test_all_that_was_made_says_from_what(face: str, walked: dict[str, dict[str, Any]]) -> None:
    train, predict = walked[face]["train"], walked[face]["predict"]
    assert {output["kind"] for output in train["outputs"]} == {"weights", "picture", "slices"}
    for output in train["outputs"]:
        assert output["derived_from"][-1] == train["id"]
        assert [made.partition("-")[0] for made in output["derived_from"]] == ["data", "labels", "run"]
    assert predict["outputs"][0]["derived_from"] == [train["outputs"][0]["derived_from"][0], train["id"]]


@pytest.mark.parametrize("face", FACES[1:])
def test_the_segmentations_are_the_same_pixels(
    face: str, faces: dict[str, Face], walked: dict[str, dict[str, Any]]
) -> None:
    def pixels(name: str) -> Any:
        shown = mlex_command("dataset", "seg", "--json", home=faces[name].home)
        return np.asarray(open_path(json.loads(shown.stdout)["uri"]))

    assert np.array_equal(pixels(face), pixels("shell"))


@pytest.mark.parametrize("face", FACES[1:])
@pytest.mark.parametrize("what", BAD)
def test_every_face_refuses_in_the_same_words(
    what: str, face: str, refused: dict[str, dict[str, dict[str, Any]]]
) -> None:
    said, shell = refused[face][what], refused["shell"][what]
    assert said["message"] == shell["message"]
    assert said.get("code", shell["code"]) == shell["code"]
    if said["hint"] is not None:
        assert said["hint"] == shell["hint"]


def test_what_is_refused_leaves_nothing_behind(
    faces: dict[str, Face], walked: dict[str, dict[str, Any]], refused: dict[str, Any]
) -> None:
    for name, face in faces.items():
        listed = json.loads(mlex_command("jobs", "--json", home=face.home).stdout)
        assert [job["id"] for job in listed] == [job["id"] for job in walked[name]["jobs"]]
        assert not list(face.home.rglob("owned"))
    assert not Path("owned").exists()
