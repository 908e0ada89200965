"""Mlex, the façade: everything that a person can do, as one table of typed methods.

REST, the OpenAPI document, the TypeScript types, the command line, the magics and the plain functions of
`import mlex_jupyter` are derived from the decorators on its methods, so they cannot disagree. A method checks, calls
one of the parts underneath, and says clearly what is wrong. The methods stand in `facade/`, a module a noun.
"""

from __future__ import annotations

from mlex_jupyter.facade.data import DataVerbs
from mlex_jupyter.facade.estimates import EstimateVerbs
from mlex_jupyter.facade.experiments import ExperimentVerbs
from mlex_jupyter.facade.ingest import IngestVerbs
from mlex_jupyter.facade.jobs import JobVerbs
from mlex_jupyter.facade.labels import LabelVerbs
from mlex_jupyter.facade.predictions import PredictionVerbs
from mlex_jupyter.facade.rules import RuleVerbs
from mlex_jupyter.facade.system import SystemVerbs
from mlex_jupyter.facade.tunings import TuningVerbs
from mlex_jupyter.facade.uploads import UploadVerbs
from mlex_jupyter.facade.zoo import ZooVerbs


class Mlex(
    DataVerbs,
    UploadVerbs,
    LabelVerbs,
    PredictionVerbs,
    EstimateVerbs,
    ZooVerbs,
    IngestVerbs,
    JobVerbs,
    RuleVerbs,
    ExperimentVerbs,
    TuningVerbs,
    SystemVerbs,
):
    """The engine of one home, for one actor."""
