"""Label sets: classes painted over a dataset. A draft takes strokes; versions never change, and training uses those.

sets      names, classes, imports         drafts    the working copy: tiles over the newest version
versions  written, compared, restored     strokes   painted, refused, taken back, done again
"""

from mlex_jupyter.labels.classes import PALETTE
from mlex_jupyter.labels.sets import Labels

__all__ = ["PALETTE", "Labels"]
