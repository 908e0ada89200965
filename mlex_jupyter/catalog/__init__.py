"""Datasets: what volumes there are, where they come from, what is known of them.

datasets     registered, edited, forgotten     index      found by words, tags and facets
card         what is said of one               lineage    what was made from what (and `nodes`)
uploads      brought in pieces                 displays   pyramids to look at
inspections  what the values are like          checksums  whether files are what they were
"""

from mlex_jupyter.catalog.datasets import Catalog

__all__ = ["Catalog"]
