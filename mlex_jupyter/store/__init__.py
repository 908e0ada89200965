"""What is kept: the database, its journal, and weights by their content.

store      one writer, many readers            tables       what there is
databases  SQLite or PostgreSQL                base         what is needed of either
sqlite     a file in the home                  postgres     a server for several hosts
hostlease  one host on a network file system   journal      what a broken database is made anew from
migration  older homes made new                blobs        files named by their content
"""

from mlex_jupyter.store.store import EPOCH, Store, current_epoch, next_epoch

__all__ = ["EPOCH", "Store", "current_epoch", "next_epoch"]
