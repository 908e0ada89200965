"""Models: what can be trained, what has been, and what came from elsewhere.

architectures  what can be trained              models    published, in versions
search         found among many                 fit       whether one suits the data, in words
sources        networks of one's own, kept      exchange  packages and entries of other zoos
"""

from mlex_jupyter.zoo.models import Zoo

__all__ = ["Zoo"]
