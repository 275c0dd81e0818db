"""Puts the application on Ray Serve and takes it off. Runs in the keeper, on the head node."""

from __future__ import annotations

import logging
import re
import threading

import httpx
import ray
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config, ServiceConfig
from grm_plugin.errors import ServiceError
from grm_plugin.judging.normalize import Normalizer
from grm_plugin.serving.ports import check_port, http_url
from grm_plugin.serving.ray.app import INGRESS, build_app
from grm_plugin.serving.ray.gpus import GPUs, cluster_gpus, needed_gpus, shortage
from grm_plugin.serving.stop_times import DRAIN_MARGIN_S
from grm_plugin.wire.token import Token, exposure, is_loopback

logger = logging.getLogger(__name__)

GPU_PATIENCE_S = 10.0
"""A start waits so long for GPUs: Ray notices a moment late that a job which has just ended has freed its own."""

POLL_S = 0.25
"""Pause between two looks at what a start waits for."""


class ServeApp:
    """Starts and ends the service as one application of Ray Serve.

    Args:
        config: what to deploy.
        token: what requests to the service must carry.
    """

    def __init__(self, config: Config, token: Token | None = None) -> None:
        self._config = config
        self._token = token
        self._service = config.service
        self._given_up = threading.Event()
        self._owns_serve = False
        """Whether Ray Serve runs for this service only, and is to be shut down with it."""

    def deploy(self) -> tuple[str, tuple[str, ...]]:
        """Deploy the service and wait until the GRM answers; its URL, and notes for the user.

        Raises:
            ServiceError: too few GPUs, the port is in use, a replica fails, `service.ready_timeout_s` is over, or the
                start was given up.
            ConfigError: `normalize.state_path` holds no saved state.
        """
        deadline = Deadline.after(self._service.ready_timeout_s)
        Normalizer(self._config.normalize)  # fails for a damaged saved state, at once and not in a replica
        gpus = self._wait_for_gpus()
        url, prefix, notes = self._open_http()
        app = build_app(self._config, gpus.total, self._token)
        self._check_not_given_up()  # the last chance to fail before there is something on Serve to take off again
        serve.run_many(
            [serve.RunTarget(app, name=self._service.name, route_prefix=prefix)],
            wait_for_ingress_deployment_creation=False,
            wait_for_applications_running=False,
        )
        self._wait_until_running(deadline)
        self._wait_until_ready(url, deadline)
        return url, notes

    def give_up(self) -> None:
        """Make the `deploy` that another thread runs fail soon."""
        self._given_up.set()

    def delete(self, patience_s: float = 0.0) -> None:
        """Take the application off Serve, and end Serve if it was started for this service and nothing else uses it.

        Requests under way have `patience_s` seconds to finish; the rest fails so that clients ask again.
        """
        delete_app(self._service.name, patience_s)
        if self._owns_serve and serve_runs() and not serve.status().applications:
            serve.shutdown()

    def _wait_for_gpus(self) -> GPUs:
        deadline = Deadline.after(GPU_PATIENCE_S)
        while problem := shortage(needed_gpus(self._config, (gpus := cluster_gpus()).total), gpus):
            self._pause(deadline, problem)
        return gpus

    def _open_http(self) -> tuple[str, str, tuple[str, ...]]:
        """Start Serve with its HTTP proxy, or use those that run; the service's URL, its route prefix, notes."""
        client = _get_global_client(raise_if_no_controller_running=False)
        if client is None:
            check_port(self._service)
            self._owns_serve = True
            serve.start(
                proxy_location="HeadOnly", http_options={"host": self._service.host, "port": self._service.port}
            )
            notes = _loopback_note(self._service) + self._exposure(self._service.host)
            return http_url(self._service.host, self._service.port), "/", notes
        http = client.http_config
        apps = client.get_serve_details()["applications"]
        others = {app["route_prefix"] for name, app in apps.items() if name != self._service.name}
        if (http.host, http.port) == (self._service.host, self._service.port) and "/" not in others:
            # Serve was started for a service at the same address that is gone; this one takes its place.
            self._owns_serve = not others
            return http_url(http.host, http.port), "/", self._exposure(http.host)
        if http.host is None:
            raise ServiceError(
                "Ray Serve runs on this cluster without an HTTP proxy: shut it down (serve shutdown) first"
            )
        prefix = f"/{self._service.name}"
        url = f"{http_url(http.host, http.port)}{http.root_path}{prefix}"
        note = f"Ray Serve already runs on this cluster: its address is used, not service.host and service.port: {url}"
        return url, prefix, (note, *self._exposure(http.host))

    def _exposure(self, host: str) -> tuple[str, ...]:
        return exposure(host, self._token, self._service.token_env)

    def _wait_until_running(self, deadline: Deadline) -> None:
        """Wait until all replicas have started."""
        while True:
            status = serve.status().applications.get(self._service.name)
            if status is not None and status.status == ApplicationStatus.RUNNING:
                return
            if status is not None and status.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
                raise ServiceError(f"the service cannot start: {_reason(status)}")
            self._pause(deadline, self._late(_reason(status) if status else "Serve does not know the application"))

    def _wait_until_ready(self, url: str, deadline: Deadline) -> None:
        """Wait until the GRM answers."""
        headers = self._token.headers if self._token else None
        while True:
            try:
                timeout_s = max(1.0, deadline.left_s or 0.0)
                reply = httpx.get(f"{url}/ready", headers=headers, timeout=timeout_s, trust_env=False)
                if reply.status_code == 200:
                    return
                problem = f"{url}/ready answers {reply.status_code}: {reply.text}"
            except httpx.HTTPError as error:
                problem = f"{url}/ready does not answer: {error}"
            self._pause(deadline, self._late(problem))

    def _late(self, problem: str) -> str:
        return (
            f"the service is not ready after service.ready_timeout_s ({self._service.ready_timeout_s:g} s): {problem}"
        )

    def _pause(self, deadline: Deadline, problem: str) -> None:
        """Wait a moment before the next look.

        Raises:
            ServiceError: the deadline has passed (the message is `problem`), or the start was given up.
        """
        self._given_up.wait(POLL_S)
        self._check_not_given_up()
        if deadline.over:
            raise ServiceError(problem)

    def _check_not_given_up(self) -> None:
        if self._given_up.is_set():
            raise ServiceError("the process that started the service is gone")


def serve_runs() -> bool:
    """Whether Ray Serve runs on the cluster that this process is connected to."""
    return _get_global_client(_health_check_controller=True, raise_if_no_controller_running=False) is not None


def delete_app(name: str, patience_s: float = 0.0) -> bool:
    """Drain the service of this name and take it off Ray Serve; False if it is not there. See `ServeApp.delete`."""
    app = serve.status().applications.get(name) if serve_runs() else None
    if app is None or INGRESS not in app.deployments:
        return False
    try:
        drained = serve.get_app_handle(name).drain.remote(patience_s)
        drained.result(timeout_s=patience_s + DRAIN_MARGIN_S)
    except Exception as error:  # whatever keeps it from draining, the service is taken off
        logger.warning("the requests under way in the service %s are lost, it did not drain: %s", name, error)
    serve.delete(name)
    return True


def _loopback_note(service: ServiceConfig) -> tuple[str, ...]:
    """A note for the user where other nodes of the cluster cannot reach the service."""
    nodes = sum(node["Alive"] for node in ray.nodes())
    if nodes == 1 or not is_loopback(service.host):
        return ()
    return (f"{service.host} is reached from the head node only: set service.host to 0.0.0.0 for all {nodes} nodes",)


def _reason(status: ApplicationStatusOverview) -> str:
    """Why an application does not run: a failed replica's last error without its traceback, else Serve's message."""
    messages = [f"{name}: {item.message}" for name, item in status.deployments.items() if item.message]
    text = "\n".join(messages) or status.message or status.status
    errors = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception)\b.*$", text, re.M)
    return (errors[-1] if errors else text).removeprefix("grm_plugin.errors.")
