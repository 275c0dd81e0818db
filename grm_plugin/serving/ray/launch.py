"""Start, find and stop the reward service on a Ray cluster, from a driver or from an actor.

    with start(load_config("preset:deepseek_grm_16b")) as service:
        print(service.reward_url)

The calling process imports neither the service nor any engine: the service's keeper, an actor on the cluster's head
node (`keeper.py`), does the work.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grm_plugin._util.deadline import Deadline
from grm_plugin._util.packages import require
from grm_plugin.config import Config
from grm_plugin.errors import ServiceError
from grm_plugin.serving import pid_file
from grm_plugin.serving.ray.actors import NAMESPACE, SERVICE, actor_name, actors_of, end_actors, head_node, keeper_name
from grm_plugin.serving.ray.cluster_address import listens, not_connected, resolve
from grm_plugin.serving.stop_times import DRAIN_S, FAILED_START_S, RAY_STOP_S
from grm_plugin.wire.token import Token, read_service_token

if TYPE_CHECKING:
    from grm_plugin.serving.ray.keeper import Started

logger = logging.getLogger(__name__)

RAY_SERVICE = "a service on Ray"

WATCH_PERIOD_S = 1.0
"""Pause between two looks whether the service still runs."""


TELL_PERIOD_S = 5.0
"""Pause between two looks at what a start waits for."""


@dataclass(frozen=True, slots=True)
class ServiceHandle:
    """A running service. As a context manager it stops the service at the end of the block.

    Attributes:
        name: `service.name`.
        url: the service's address, without a slash at the end.
        notes: what the user should know.
        token: what requests must carry, if anything.
    """

    name: str
    url: str
    notes: tuple[str, ...] = ()
    token: Token | None = None

    @property
    def reward_url(self) -> str:
        """The value of OpenRLHF's flag `--reward.remote_url`."""
        return f"{self.url}/get_reward"

    def stop(self) -> None:
        """Stop the service; its processes end, and its GPUs are free, within a moment."""
        stop_on_ray(self.name)

    def wait(self) -> None:
        """Block until another process has stopped the service.

        Raises:
            ServiceError: the keeper has died. The service still runs, but would not be taken down with its owner.
        """
        while _find_keeper(self.name) is not None:
            time.sleep(WATCH_PERIOD_S)
        if actors_of(self.name):
            raise ServiceError(f"the keeper of the service {self.name!r} has died; see the logs of Ray")

    def __enter__(self) -> ServiceHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(config: Config) -> ServiceHandle:
    """Start the service and wait until the GRM answers.

    Uses the Ray cluster that this process is connected to, else the one of RAY_ADDRESS, else a private one that ends
    with this process. With `service.lifetime: job` the service ends with this process, however that ends.

    Raises:
        ServiceError: it is not ready within `service.ready_timeout_s`, or cannot become ready: too few GPUs
            (`service.gpu_timeout_s`), a port in use, a model that does not load, a service of this name on the cluster.
        ConfigError: the environment variable of a token holds something that cannot be one.
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

    None if there is no such service; nothing is started.

    Raises:
        ServiceError: the service is starting, and its start fails.
    """
    require("ray", what=RAY_SERVICE)
    import ray

    if not ray.is_initialized() and not os.environ.get("RAY_ADDRESS"):
        return None
    connect()
    keeper = _find_keeper(config.service.name)
    return None if keeper is None else _wait(keeper, config)


def start_or_attach(config: Config) -> ServiceHandle:
    """`attach`, or else `start`. Many processes may call it at once: one starts the service, the others attach."""
    connect()
    # A service that is there is found before one is made: this process may lack what a start needs, such as the token.
    keeper = _find_keeper(config.service.name)
    try:
        keeper = keeper or _new_keeper(config)
    except ValueError:  # another process was faster: Ray makes one actor of a name, and refuses the second
        keeper = _find_keeper(config.service.name)
        if keeper is None:
            raise ServiceError(f"the service {config.service.name!r} has just been stopped; try again") from None
    return _wait(keeper, config)


def exists(name: str) -> bool:
    """Whether the Ray cluster that this process is connected to has a service of this name, ready or not."""
    return _find_keeper(name) is not None


def answers(name: str, timeout_s: float) -> bool:
    """Whether the process that takes the requests of a service answers a call through Ray."""
    import ray

    try:
        ray.get(ray.get_actor(actor_name(name, SERVICE), NAMESPACE).ping.remote(), timeout=timeout_s)
    except (ValueError, ray.exceptions.RayError):  # there is none, or it does not answer
        return False
    return True


def stop(name: str = "grm") -> bool:
    """Stop the service of this name; False if there is none.

    It is looked for in this order: on the Ray cluster of RAY_ADDRESS, if that is set; among the services without Ray on
    this machine; if RAY_ADDRESS is not set, on the Ray cluster of this machine. Requests under way have 20 s to finish;
    the rest fails so that clients ask again. A service on Ray is found also when its keeper has died.

    Raises:
        ServiceError: the cluster of RAY_ADDRESS does not answer, or the service does not stop within a minute.
    """
    if os.environ.get("RAY_ADDRESS"):
        return stop_on_ray(name) or pid_file.stop(name)
    return pid_file.stop(name) or (cluster_is_here() and stop_on_ray(name))


def cluster_is_here() -> bool:
    """Whether this process is connected to a Ray cluster, or one on this machine takes connections."""
    try:
        import ray

        return ray.is_initialized() or listens(resolve("auto"))
    except (ImportError, ConnectionError):
        return False


def stop_on_ray(name: str) -> bool:
    """`stop`, but only for a service on the Ray cluster: a service without Ray may have the same name."""
    connect(default="auto")
    import ray

    keeper = _find_keeper(name)
    if keeper is None:
        return _stop_orphan(name)
    try:
        ray.get(keeper.close.remote(DRAIN_S), timeout=RAY_STOP_S)
    except ray.exceptions.GetTimeoutError:
        raise ServiceError(f"the service {name!r} does not stop within {RAY_STOP_S:g} s; try again") from None
    except ray.exceptions.RayError as error:  # the keeper has just ended with the owner
        logger.warning("the keeper of the service %s could not close it: %s", name, type(error).__name__)
        ray.kill(keeper)
        _stop_orphan(name)
    else:
        ray.kill(keeper)
    return True


def _stop_orphan(name: str) -> bool:
    """End a service without a keeper."""
    return end_actors(name, DRAIN_S)


def connect(default: str = "local") -> None:
    """Connect this process to Ray, unless it is connected: to RAY_ADDRESS, else to `default`.

    Args:
        default: an address, `auto` for the cluster of this machine, or `local` for a new private cluster.

    Raises:
        ServiceError: no cluster answers at the address; told within `CONNECT_DEADLINE_S` if nothing listens there. Or
            the cluster asks for a token that this process does not have.
    """
    require("ray", what=RAY_SERVICE)
    import ray

    if ray.is_initialized():
        return
    asked = address = os.environ.get("RAY_ADDRESS") or default
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        address = resolve(asked)
        if not listens(address):
            raise ServiceError(
                f"the Ray cluster at {address} does not answer (left over from a killed job?): run `ray stop`, or set "
                "RAY_ADDRESS"
            )
        # Not the resolved address: Ray 2.60 sends its token to a cluster that it finds by `auto`, and to no other.
        ray.init(address=asked, log_to_driver=False, logging_level=logging.WARNING, **options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise not_connected(address, error) from None


def _new_keeper(config: Config) -> Any:
    """Start the keeper of a service.

    Raises:
        ValueError: the service has a keeper.
        ConfigError: the environment variable of a token holds something that cannot be one.
    """
    import ray

    from grm_plugin.serving.ray.keeper import Keeper
    from grm_plugin.serving.ray.lease import new_lease, this_process

    return (
        ray.remote(Keeper)
        .options(
            name=keeper_name(config.service.name),
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            max_concurrency=64,  # threads: each process that attaches blocks one in `started`, and `close` needs one
            scheduling_strategy=head_node(),
        )
        .remote(config, new_lease(), read_service_token(config.service), this_process())
    )


def _find_keeper(service: str) -> Any:
    import ray

    try:
        return ray.get_actor(keeper_name(service), NAMESPACE)
    except ValueError:
        return None


def _started(keeper: Any, timeout_s: float) -> Started:
    """How a start ended; what it waits for meanwhile is logged, whenever that is something else."""
    import ray

    asked, told = keeper.started.remote(), ""
    deadline = Deadline.after(timeout_s)
    while not deadline.over and not ray.wait([asked], timeout=min(TELL_PERIOD_S, deadline.left_s or 0.0))[0]:
        with suppress(ray.exceptions.RayError, AttributeError):  # an older keeper says nothing
            waits_for = ray.get(keeper.waits_for.remote(), timeout=TELL_PERIOD_S)
            if waits_for and waits_for != told:
                logger.warning("the service waits for GPUs: %s", waits_for)
            told = waits_for
    started: Started = ray.get(asked, timeout=0)
    return started


def _wait(keeper: Any, config: Config) -> ServiceHandle:
    """The service, once its start has ended.

    Raises:
        ServiceError: the start has failed, or its keeper has died.
    """
    import ray

    name = config.service.name
    # The keeper itself ends a start after service.ready_timeout_s, and answers once what it has started is removed.
    timeout_s = config.service.ready_timeout_s + FAILED_START_S
    try:
        started = _started(keeper, timeout_s)
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
