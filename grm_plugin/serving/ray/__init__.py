"""The service on a Ray cluster, as plain actors.

`launch` starts, finds and stops it, `deploying` starts its actors: `service_actor` listens, `replicas` run the models.
The service reaches the replicas of the GRM through `remote_lists`, these reach those of the meta RM through
`remote_meta_rm`, and both through a `replica_pool`.

Who watches whom:

- `own_process`, in each actor: is this process frozen, or stuck? Then it is killed. Ray restarts whatever has ended.
- `engine_watchdog`, in each replica: does the model still answer? A replica ends itself with one that does not.
- `replica_watch`, in whoever sends requests: which replicas answer? The others get none.
- `keeper`, an actor on the head node: does the process that started the service live? Takes the service down after it.
- `supervisor`, in the job's process: is the service there at all? Starts it again.
"""
