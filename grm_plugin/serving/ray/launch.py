"""Start, find and stop the reward service on a Ray cluster.

    with start(load_config("configs/nano_cpu.yaml")) as service:
        print(service.reward_url)

The calling process stays light: the service's keeper, an actor on the cluster's head node (`keeper.py`), imports Ray
Serve and does the work. Everything here works in a driver and inside an actor alike.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grm_plugin.config import Config
from grm_plugin.errors import ServiceError
from grm_plugin.serving import pid_file
from grm_plugin.serving.ray.cluster_address import listens, resolve
from grm_plugin.serving.stop_times import DRAIN_S, FAILED_START_S, RAY_STOP_S
from grm_plugin.wire.token import Token, read_token

if TYPE_CHECKING:
    from grm_plugin.serving.ray.keeper import Started

logger = logging.getLogger(__name__)

WATCH_PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class ServiceHandle:
    """A running service. As a context manager it stops the service at the end.

    `url` is its address without a trailing slash; `notes` are things its user should know; `token` is what requests
    must carry, if anything.
    """

    name: str
    url: str
    notes: tuple[str, ...] = ()
    token: Token | None = None

    @property
    def reward_url(self) -> str:
        """What OpenRLHF takes as `--reward.remote_url`."""
        return f"{self.url}/get_reward"

    def stop(self) -> None:
        """Stop the service; its GPUs are free when this returns."""
        stop_on_ray(self.name)

    def wait(self) -> None:
        """Block until someone else has stopped the service.

        Raises:
            ServiceError: its keeper has died: the service is still there, and nothing would end it with its owner.
        """
        while _find_keeper(self.name) is not None:
            time.sleep(WATCH_PERIOD_S)
        if _is_deployed(self.name):
            raise ServiceError(f"the keeper of the service {self.name!r} has died; see the logs of Ray")

    def __enter__(self) -> ServiceHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(config: Config) -> ServiceHandle:
    """Start the service and wait until the GRM answers.

    Uses the Ray cluster this process is connected to, else the one of RAY_ADDRESS, else a private one that ends with
    this process. With `service.lifetime: job` the service ends with this process, however it ends.

    Raises:
        ServiceError: it is not ready within `service.ready_timeout_s`, or cannot become ready: too few GPUs (within
            30 s), a port in use, a model that does not load, a service of this name that is already there.
        ConfigError: the environment variable `service.token_env` holds what cannot be a token.
    """
    connect()
    try:
        keeper = _new_keeper(config)
    except ValueError:
        raise ServiceError(
            f"a service named {config.service.name!r} is on this cluster already: attach to it, stop it "
            f"(grm-plugin stop --name {config.service.name}), or set another service.name"
        ) from None
    return _wait(keeper, config)


def attach(config: Config) -> ServiceHandle | None:
    """The service named `service.name` on this process's Ray cluster (or that of RAY_ADDRESS), once it is ready.

    None if there is none; nothing is started.

    Raises:
        ServiceError: it is starting, and fails.
    """
    import ray

    if not ray.is_initialized() and not os.environ.get("RAY_ADDRESS"):
        return None
    connect()
    keeper = _find_keeper(config.service.name)
    return None if keeper is None else _wait(keeper, config)


def start_or_attach(config: Config) -> ServiceHandle:
    """`attach`, or else `start`. Safe to call from many processes at once: one starts, the others attach."""
    connect()
    keeper = _find_keeper(config.service.name)  # first, because who attaches need not have what starting takes
    try:
        keeper = keeper or _new_keeper(config)
    except ValueError:  # the name is taken: creating a named actor is the one atomic step
        keeper = _find_keeper(config.service.name)
        if keeper is None:
            raise ServiceError(f"the service {config.service.name!r} has just been stopped; try again") from None
    return _wait(keeper, config)


def exists(name: str) -> bool:
    """Whether a service of this name, ready or not, is on the Ray cluster that this process is connected to."""
    return _find_keeper(name) is not None


def stop(name: str = "grm") -> bool:
    """Stop the service of this name; False if there is none.

    It is looked for on the Ray cluster of RAY_ADDRESS first, where that is set, then on this machine: without Ray, then
    on the cluster that runs here. What is under way is finished within 20 s, or handed back. A service on Ray whose
    keeper is gone is found, too.

    Raises:
        ServiceError: the cluster of RAY_ADDRESS does not answer, or the service does not stop within a minute.
    """
    if os.environ.get("RAY_ADDRESS"):
        return stop_on_ray(name) or pid_file.stop(name)
    return pid_file.stop(name) or (_cluster_is_here() and stop_on_ray(name))


def _cluster_is_here() -> bool:
    """Whether this process is connected to a Ray cluster, or could be to one on this machine."""
    try:
        import ray

        return ray.is_initialized() or listens(resolve("auto"))
    except (ImportError, ConnectionError):
        return False


def stop_on_ray(name: str) -> bool:
    """`stop`, for a service that is on the Ray cluster: one without Ray may have the same name."""
    import ray

    connect(default="auto")
    keeper = _find_keeper(name)
    if keeper is None:
        return _stop_orphan(name)
    try:
        ray.get(keeper.close.remote(DRAIN_S), timeout=RAY_STOP_S)
    except ray.exceptions.GetTimeoutError:
        raise ServiceError(f"the service {name!r} does not stop within {RAY_STOP_S:g} s; try again") from None
    except ray.exceptions.RayError as error:  # its owner ended at the same time, or Serve is gone
        logger.warning("the keeper of the service %s could not close it: %s", name, type(error).__name__)
        ray.kill(keeper)
        _stop_orphan(name)
    else:
        ray.kill(keeper)
    return True


def _stop_orphan(name: str) -> bool:
    """Take a service off Ray Serve that has no keeper any more."""
    from grm_plugin.serving.ray.deploying import delete_app

    return delete_app(name, DRAIN_S)


def _is_deployed(name: str) -> bool:
    from ray import serve

    from grm_plugin.serving.ray.deploying import serve_runs

    app = serve.status().applications.get(name) if serve_runs() else None
    return app is not None and app.status != "DELETING"


def connect(default: str = "local") -> None:
    """Connect this process to Ray, unless it is: to RAY_ADDRESS, else to `default` (`local` is a new private cluster).

    Raises:
        ServiceError: nothing answers there, told within `CONNECT_DEADLINE_S` where nothing listens.
    """
    import ray

    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS") or default
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        address = resolve(address)
        if not listens(address):
            raise ServiceError(
                f"the Ray cluster at {address} does not answer (left over from a killed job?): run `ray stop`, or set "
                "RAY_ADDRESS"
            )
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ServiceError(
            f"no Ray cluster at {address!r} ({error}): set RAY_ADDRESS, or run `ray start --head`"
        ) from None
    if "ray.serve.context" in sys.modules:  # it keeps its client of an earlier cluster across ray.shutdown()
        sys.modules["ray.serve.context"]._set_global_client(None)


def _new_keeper(config: Config) -> Any:
    """Raises ValueError when the name is taken."""
    import ray

    from grm_plugin.serving.ray.keeper import NAMESPACE, Keeper, keeper_name
    from grm_plugin.serving.ray.lease import new_lease

    return (
        ray.remote(Keeper)
        .options(
            name=keeper_name(config.service.name),
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            max_concurrency=64,  # a blocked `started` per process that attaches, and `close` beside them
            scheduling_strategy=_head_node(),
        )
        .remote(config, new_lease(), read_token(config.service.token_env))
    )


def _find_keeper(service: str) -> Any:
    import ray

    from grm_plugin.serving.ray.keeper import NAMESPACE, keeper_name

    try:
        return ray.get_actor(keeper_name(service), NAMESPACE)
    except ValueError:
        return None


def _wait(keeper: Any, config: Config) -> ServiceHandle:
    import ray

    name = config.service.name
    # The keeper keeps service.ready_timeout_s itself, and answers when what did not become ready is gone.
    timeout_s = config.service.ready_timeout_s + FAILED_START_S
    try:
        started: Started = ray.get(keeper.started.remote(), timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        raise ServiceError(f"the keeper of the service {name!r} does not answer; see the logs of Ray") from None
    except ray.exceptions.RayActorError as error:
        raise ServiceError(
            f"the service {name!r} ended while it started (stopped, or its owner is gone): {error}"
        ) from None
    if started.error:
        ray.kill(keeper)
        raise ServiceError(started.error)
    for note in started.notes:
        logger.warning(note)
    return ServiceHandle(name, started.url, started.notes, started.token)


def _head_node() -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    head = next(node for node in ray.nodes() if node["Alive"] and "node:__internal_head__" in node["Resources"])
    return NodeAffinitySchedulingStrategy(head["NodeID"], soft=False)
