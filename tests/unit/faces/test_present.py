"""What values look like: in a terminal of any width, in a notebook in either theme, in pandas."""

from datetime import timedelta
from html.parser import HTMLParser

import pytest

from mlex_jupyter.faces.grids import cut, width
from mlex_jupyter.faces.present import Table, facts, text
from mlex_jupyter.faces.words import ago, clock, size, words
from mlex_jupyter.types import Check, Dataset, Job, JobSpec, JobState, Output, Progress, TrainTask, Why, ZooEntry, now

EVIL = "<img src=x onerror=alert(1)>\x1b[2J"


def a_dataset(**more: object) -> Dataset:
    known = {"id": "data-1", "name": "sand", "uri": "/v.zarr", "reader": "zarr", "shape": (64, 256, 256), "axes": "zyx"}
    rest = {"dtype": "uint8", "nbytes": 4_194_304, "created": now() - timedelta(seconds=12)}
    return Dataset.model_validate({**known, **rest, **more})


def a_job(state: JobState = JobState.RUNNING, **more: object) -> Job:
    spec = JobSpec(name="run", task=TrainTask(model="tunet", data="sand", labels="scribbles", params={"epochs": 4}))
    known = {
        "id": "run-1",
        "name": "run",
        "spec": spec,
        "owner": "me",
        "state": state,
        "attempt": 1,
        "submitted": now(),
    }
    return Job.model_validate({**known, **more})


def test_sizes_times_and_durations_are_in_peoples_units() -> None:
    assert [size(n) for n in (0, 999, 1500, 67_108_864, 28e9)] == ["0 bytes", "999 bytes", "1.5 KB", "67 MB", "28 GB"]
    assert [clock(s) for s in (5, 130, 3730)] == ["0:05", "2:10", "1:02:10"]
    moments = [ago(now() - timedelta(seconds=s)) for s in (12, 300, 7200, 86_400, 3 * 86_400)]
    assert moments == ["12 s ago", "5 min ago", "2 h ago", "1 day ago", "3 days ago"]


@pytest.mark.parametrize("state", JobState)
def test_a_state_is_an_icon_and_a_word(state: JobState) -> None:
    icon, word = words(state).split(" ")
    assert len(icon) == 1
    assert word == state.value.capitalize()


def test_a_list_is_a_table_with_aligned_columns() -> None:
    said = text([a_dataset(), a_dataset(name="a-longer-name", nbytes=28_000_000_000)], 100).splitlines()
    assert said[0].split() == ["Name", "Shape", "Type", "Size", "Made"]
    assert said[1].index("64 × 256") == said[2].index("64 × 256")
    assert "4.2 MB" in said[1]
    assert "28 GB" in said[2]
    assert said[1].endswith("12 s ago")


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_table_fits_the_terminal(columns: int) -> None:
    jobs = [a_job(JobState.FAILED, message="It ran out of memory while it looked at the second epoch. " * 3)]
    assert max(map(width, text(jobs, columns).splitlines())) <= columns


def test_wide_letters_are_counted_as_two() -> None:
    assert width("砂") == 2
    assert cut("砂砂砂", 5) == "砂砂…"
    assert width(cut("砂砂砂", 4)) <= 4


def test_what_is_to_be_typed_is_never_cut() -> None:
    mend = "pip install --no-deps dlsia==0.3.4 qlty==1.5.0"
    check = Check(name="DLSIA", ok=False, says="not installed: its networks are missing from the zoo.", mend=mend)
    assert mend in text([check], 40)
    assert mend in Table([check])._repr_html_()


def test_one_job_says_what_people_ask() -> None:
    progress = Progress(done=3, total=50, unit="epoch", fraction=0.06, eta_s=130, score=0.83)
    said = {fact.title: fact.lines for fact in facts(a_job(progress=progress))}
    assert said["state"] == ("● Running",)
    assert said["progress"] == ("epoch 3 of 50 · Dice 0.83 · 2:10 left",)
    assert said["task"] == ("train tunet on sand with scribbles",)
    assert said["parameters"] == ("epochs 4",)
    assert "to do" not in said


def test_a_long_fact_is_wrapped_under_itself() -> None:
    said = text(a_job(JobState.FAILED, message="It ran out of memory. " * 5), 40).splitlines()
    assert max(map(len, said)) <= 40
    assert [line[:12].strip() for line in said[1:4]] == ["why", "", ""]


def test_a_reason_keeps_the_lines_of_its_log() -> None:
    why = Why(job="run-1", name="run", state=JobState.FAILED, reason="no", hints=("a", "b"), log_tail=("one", "two"))
    assert text(why).splitlines()[-2:] == ["log    one", "       two"]
    assert "one<br>two" in why._repr_html_()


class Seen(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.styles: list[str] = []
        self.said = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.styles += [value for name, value in attrs if name == "style" and value]

    def handle_data(self, data: str) -> None:
        self.said += data


def hostile() -> list[Dataset | Job | ZooEntry]:
    entry = ZooEntry.model_construct(
        name=EVIL, kind="model", version=1, title=EVIL, architecture=EVIL, task=EVIL, metrics={EVIL: 1.0}, tags=(EVIL,),
        run=None, created=None,
    )  # fmt: skip
    output = Output.model_construct(kind="dataset", name=EVIL, ref=EVIL)
    return [
        a_dataset().model_copy(update={"name": EVIL, "uri": EVIL, "tags": (EVIL,)}),
        a_job(message=EVIL, hint=EVIL, metrics={EVIL: 1.0}).model_copy(update={"name": EVIL, "outputs": (output,)}),
        entry,
    ]


@pytest.mark.parametrize("record", hostile(), ids=lambda record: type(record).__name__)
def test_hostile_names_are_text(record: Dataset | Job | ZooEntry) -> None:
    for page in (Seen(record._repr_html_()), Seen(Table([record])._repr_html_())):
        assert "img" not in page.tags
        assert "<img src=x onerror=alert(1)>" in page.said
        assert "\x1b" not in page.said
    assert "\x1b" not in text(record)
    assert "\x1b" not in text([record], 300)


def test_colours_are_jupyterlabs_own() -> None:
    page = Seen(Table([a_job(), a_job(JobState.FAILED)])._repr_html_())
    colours = [part for style in page.styles for part in style.split(";") if "color" in part]
    assert colours
    assert all("var(--jp-" in colour for colour in colours)


def test_a_table_is_a_list_and_a_frame() -> None:
    rows = Table([a_dataset(), a_dataset(name="other")])
    frame = rows.to_pandas()
    assert list(frame["name"]) == ["sand", "other"]
    assert frame["shape"][0] == (64, 256, 256)
    assert rows[0].to_pandas()["dtype"] == "uint8"
    assert repr(rows) == text(rows)


def test_an_empty_table_says_so() -> None:
    assert Table([])._repr_html_() == "<i>None yet.</i>"
    assert Table([]).to_pandas().empty
    assert repr(Table([])) == "[]"
