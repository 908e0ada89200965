"""Code as text: what an object uses comes with it, and what cannot travel is named."""

from __future__ import annotations

import ast
import linecache
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlex_jupyter.capture import code_of, code_of_file
from mlex_jupyter.errors import Invalid, NotFound

Cells = Callable[..., Any]


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Cells:
    """`cells("x = 1", "def f(): return x")["f"]`: a notebook's names after these cells."""
    module = types.ModuleType("notebook")
    monkeypatch.setitem(sys.modules, "notebook", module)
    vars(module)["In"] = []

    def run(*texts: str) -> Any:
        for text in texts:
            place = f"<cell {len(vars(module)['In'])}>"
            linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)
            vars(module)["In"].append(text)
            exec(compile(text, place, "exec"), vars(module))
        return vars(module)

    return run


def again(text: str) -> dict[str, Any]:
    """The text, run where nothing else is."""
    module = types.ModuleType("alone")
    sys.modules["alone"] = module
    exec(text, vars(module))
    return vars(module)


def test_a_function_takes_along_what_it_uses_from_other_cells(cells: Cells) -> None:
    names = cells(
        "import math\nfrom pathlib import Path as P\nimport os.path",
        "FACTOR = 3\nNAMES = ['a', 'b']\nunused = object()",
        "def helper(x):\n    return math.floor(x) * FACTOR",
        "def work(x: float, where: P = P('.')) -> list[str]:\n"
        "    unused = os.path.join(str(where), NAMES[0])\n    return [unused, helper(x), P]",
    )
    code = code_of(names["work"])
    assert again(code.text)["work"](2.5) == ["./a", 6, Path]
    assert "object()" not in code.text
    assert code.name == "work"


def test_a_class_brings_its_bases_decorators_and_types(cells: Cells) -> None:
    names = cells(
        "from typing import Annotated\nfrom dataclasses import dataclass",
        "Width = Annotated[int, 'pixels']",
        "class Base:\n    def double(self):\n        return 2 * self.width",
        "class Empty:\n    side = 3",
        "@dataclass\nclass Net(Base):\n    width: Width = Empty.side\n"
        "    def twice(self):\n        return self.double()",
    )
    assert again(code_of(names["Net"]).text)["Net"]().twice() == 6


def test_functions_that_call_each_other_travel_together(cells: Cells) -> None:
    names = cells(
        "def even(n):\n    return n == 0 or odd(n - 1)",
        "def odd(n):\n    return n != 0 and even(n - 1)",
    )
    assert again(code_of(names["even"]).text)["even"](10)


def test_a_cell_that_was_run_again_is_the_one_that_counts(cells: Cells) -> None:
    assert "1" in code_of(cells("def f():\n    return 1")["f"]).text
    code = code_of(cells("def f():\n    return 2")["f"])
    assert again(code.text)["f"]() == 2
    assert code.sha256 != code_of(cells("def f():\n    return 3")["f"]).sha256


def test_what_is_not_defined_is_named(cells: Cells) -> None:
    names = cells("def work(x):\n    return missing_one(x)")
    with pytest.raises(Invalid, match="work uses missing_one, which is not defined") as refused:
        code_of(names["work"])
    assert "Run the cell" in str(refused.value.hint)


def test_an_array_or_an_open_file_does_not_travel(cells: Cells) -> None:
    names = cells("import numpy as np\nvolume = np.zeros((4, 8))", "def work():\n    return volume.sum()")
    with pytest.raises(Invalid, match="work uses volume, an array of 4 × 8, which cannot travel") as refused:
        code_of(names["work"])
    assert "registered" in str(refused.value.hint)
    names = cells(
        "class Odd:\n    def __eq__(self, other):\n        raise RuntimeError\n    __repr__ = lambda self: '1'\n"
    )
    names = cells("odd = Odd()", "def work():\n    return odd")
    with pytest.raises(Invalid, match="an Odd, which cannot travel"):
        code_of(names["work"])


def test_what_stands_inside_a_function_cannot_travel(cells: Cells) -> None:
    names = cells("def outer():\n    def inner():\n        return 1\n    return inner")
    with pytest.raises(Invalid, match="inside another function"):
        code_of(names["outer"]())
    with pytest.raises(Invalid, match="A int has no source|An int has no source"):
        code_of(4)


def test_a_file_says_which_of_its_names_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("import mlex_jupyter as mlex\nclass A: pass\n@mlex.model(title='B')\nclass B: pass\n")
    assert code_of_file(file).name == "B"
    assert code_of_file(file, "A").name == "A"
    assert code_of_file(file).text == file.read_text()
    file.write_text("class A: pass\nclass B: pass\n")
    with pytest.raises(Invalid, match="any of A, B may be meant"):
        code_of_file(file)
    with pytest.raises(NotFound, match="no class or function 'C'"):
        code_of_file(file, "C")
    file.write_text("def only(): pass\n")
    assert code_of_file(file).name == "only"
    file.write_text("class A:\n  def")
    with pytest.raises(Invalid, match="is no Python"):
        code_of_file(file)
    with pytest.raises(NotFound, match="cannot be read"):
        code_of_file(tmp_path / "none.py")


def test_a_function_of_a_file_takes_along_the_file_s_own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_module.py").write_text(
        "from __future__ import annotations\nimport math\nTWO = 2\ndef helper(x: int) -> float:\n"
        "    return math.sqrt(x)\n"
        "def work(x: Later = 8):\n    return helper(TWO * x)\nclass Later: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import own_module  # type: ignore[import-not-found]

    code = code_of(own_module.work)
    ast.parse(code.text)
    assert code.text.startswith("from __future__ import annotations")
    assert again(code.text)["work"]() == 4
