"""Jobs: asked for, started, watched, ended.

requests     complete, checked, committed once   lifecycle    every change of a job's state
search       found among many                    rules        on what event, which job
experiments  runs side by side                   happenings   what an event is about
"""

from mlex_jupyter.jobs.requests import Jobs

__all__ = ["Jobs"]
