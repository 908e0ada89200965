"""A harness that kills server, supervisor and workers while jobs are in flight: `python -m tests.kills --kills 60`."""
