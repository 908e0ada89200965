"""What is kept: the database, its journal, and weights by their content.

store      one writer, many readers            tables       what there is
databases  SQLite or PostgreSQL                migration    older homes made new
hostlease  one host on a network file system   journal      what a broken database is made anew from
blobs      files named by their content
"""

from mlex_jupyter.store.store import Store, current_epoch, next_epoch

__all__ = ["Store", "current_epoch", "next_epoch"]
