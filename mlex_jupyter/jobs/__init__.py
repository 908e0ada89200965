"""Jobs: asked for, started, watched, ended.

requests    wishes, committed once              completing   a request made complete
looking     where jobs stand, and why           rows         a job as a row
search      found among many                    experiments  runs side by side
lifecycle   every change of a job's state       tracking     which jobs are looked at
endings     how an attempt ends                 moves        a change, and what is told of it
reign       writes of the one supervisor        hosts        runs that only their own host can see
rules       on what event, which job            happenings   what an event is about
making      what a rule makes of an event       firing       once for each event
tunings     searches for the best parameters    contenders   their trials, which are jobs
tuner       the next trial, and no more of one  proposer     the process that says which
"""

from mlex_jupyter.jobs.requests import Jobs

__all__ = ["Jobs"]
