"""Many workers for one sweep, by Dask: processes of this machine, or of others.

The process that owns the sweep hands out prompts and stores what comes back (`cluster_worker.py`);
each Dask worker keeps one engine (`station.py`). Only this folder imports Dask, when it is used.
"""
