"""`make bench [ARGS="latency startup"]`: run the programs, print one table, write build/bench.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.bench.figures import Figure

HOME = ("submissions", "metrics", "tracked", "many", "search", "datasets")
PROGRAMS = ("startup", "lab", "latency", "rest", *HOME, "slices", "strokes", "uploads")
FILE = Path("build/bench.json")


def main(names: Sequence[str]) -> int:
    """0 when every limit is kept."""
    print(f"{'':48} {'measured':>12} {'baseline':>12} {'ratio':>7} {'limit':>12}   beside")
    figures: list[Figure] = []
    for name in names or PROGRAMS:
        for figure in import_module(f"tests.bench.{name}").figures():
            figures.append(figure)
            print(line(figure), flush=True)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(
        json.dumps([asdict(figure) | {"ratio": figure.ratio, "kept": figure.kept} for figure in figures], indent=2)
        + "\n"
    )
    return 0 if all(figure.kept for figure in figures) else 1


def line(figure: Figure) -> str:
    """One line of the table."""
    limit = f"≤ {figure.limit:,g} {figure.unit}" if figure.limit is not None else ""
    limit = f"≥ {figure.least:,g} {figure.unit}" if figure.least is not None else limit
    mark = "" if not limit else "✔" if figure.kept else "✖"
    numbers = f"{figure.value:>9,.4g} {figure.unit:2} {figure.baseline:>9,.4g} {figure.unit:2} {figure.ratio:>6.2f}×"
    return f"{figure.name:48} {numbers} {limit:>12} {mark:1} {figure.against}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
