"""A stand-in for torchvision, while DLSIA is imported and where, and only where, it cannot be imported itself.

DLSIA imports torchvision for two helpers that its networks never call, and torchvision is often missing or does not
fit the installed torch ("operator torchvision::nms does not exist"). The stand-in takes its place while
`dlsia.core.helpers` is imported, and is removed at once: left in place, it would break other packages that look for
torchvision, and hide one that works.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator

STAND_INS = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.utils")


def _torchvision() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "torchvision"]


def _works() -> bool:
    try:
        importlib.import_module("torchvision.transforms.functional")
        importlib.import_module("torchvision.utils")
    except Exception:  # a torchvision that does not fit its torch fails in many ways, RuntimeError among them
        return False
    return True


@contextlib.contextmanager
def stand_in_for_torchvision() -> Iterator[None]:
    """Let `import torchvision` succeed inside of the block, where it would not by itself."""
    if _works():
        yield
        return
    for name in _torchvision():  # what a broken one left half imported
        del sys.modules[name]
    for name in STAND_INS:
        sys.modules[name] = types.ModuleType(name)
    for name in STAND_INS[1:]:
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, sys.modules[name])
    sys.modules["torchvision.utils"].save_image = None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in _torchvision():
            del sys.modules[name]
