"""The service on a Ray cluster.

`launch` starts, finds and stops it; `app` says which actors it has, and `deploying` puts them on Ray Serve. Requests of
the service reach the replicas of the GRM and the meta RM through `remote_engines`, `failover` and `replica_router`.

Who watches whom:

- `watchdog`, in each replica: does the model still answer? Serve replaces the replica of one that does not.
- `replica_watch`, in the service: which replicas answer? The others get no requests.
- `keeper`, an actor on the head node: does the process that started the service live? Takes the service down after it.
- `supervisor`, in the job's process: is the service there at all? Starts it again.
"""
