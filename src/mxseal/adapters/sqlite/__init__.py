"""What is kept over restarts, in one SQLite file on this machine.

    store = await SqlitePolicyStore.open(path)
    state = await store.get(domain)
    await store.update(domain, change)          # True: it survives `kill -9` from now on
    await store.close()

The file is a journal, and what answers is a copy of it in memory (about half a
kilobyte a policy).  So no question of an MTA ever waits for a disk, and trouble
with the file never makes an answer weaker:

=============================  =====================================================================
trouble                        what happens
=============================  =====================================================================
killed at any moment           what `update` said True to is there (WAL, one transaction a batch)
disk full, file read-only      answers go on from memory; writing is tried again every few seconds
locked by another process      the same; at the start nothing is known then, and `get` says so
corrupt                        moved aside as NAME.corrupt-TIME; what could be read is written anew
a damaged row                  dropped with a word; it never becomes a policy without patterns
written by a newer version     refused at the start, and not touched
=============================  =====================================================================

`trouble` says in one line what is wrong now, the log (`mxseal.adapters.sqlite`)
when it began and ended.  Nothing here runs on the event loop but dictionaries: the
file belongs to one thread.
"""

from mxseal.adapters.sqlite.policies import SqlitePolicyStore

__all__ = ["SqlitePolicyStore"]
