"""Starting, stopping, dying and coming back, with real processes: under plain uvicorn, and on Ray with a fake GRM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from grm_plugin.client import Client
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.serving.ray.supervisor import Supervisor
from grm_plugin.types import Group, Message
from support.ray_cluster import actor_pids, end_session, free_port, get, ray_cluster, session_processes, wait_for

ray = pytest.importorskip("ray")

from grm_plugin.serving.ray import launch  # noqa: E402
from grm_plugin.serving.ray.own_process import FROZEN_S  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

GRM_PLUGIN = Path(sys.executable).parent / "grm-plugin"
START_DEADLINE_S = 90.0
STOP_DEADLINE_S = 30.0
BACK_DEADLINE_S = 120.0
WORDS = "one two three four five six seven eight nine ten"
"""Ten different words: 1 + 10 // 5 points of 10."""
RIGHT = pytest.approx(2 / 9)


def group(number: int = 0) -> Group:
    return Group((Message("user", f"Question {number}"),), (WORDS,))


def counters(url: str) -> dict[str, int]:
    """Of the service there; none while it does not answer."""
    try:
        return dict(get(f"{url}/info").json()["counters"])
    except httpx.TransportError:
        return {}


def settings(folder: Path, port: int, delay_s: float = 0.0, **sections: dict[str, object]) -> dict[str, object]:
    return {
        "engine": {"type": "fake", "delay_s": delay_s},
        "sampling": {"k": 2},
        "failure": {"deadline_s": 60.0},
        "normalize": {"method": "running", "state_path": str(folder / "state.json")},
        "trace": {"path": str(folder / "traces.db")},
        "service": {"port": port},
    } | sections


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A machine of the test's own, as far as the names of services go."""
    return {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)} | {"RAY_ADDRESS": "127.0.0.1:1"}


@contextmanager
def serving(data: dict[str, object], environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`grm-plugin serve`, ready."""
    config = log.with_suffix(".yaml")
    config.write_text(json.dumps(data))
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(GRM_PLUGIN), "serve", "--config", str(config)],
            env=environ, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(
            lambda: "GRM service at" in log.read_text() or process.poll() is not None, START_DEADLINE_S, "the service"
        )
        yield process
    finally:
        end_session(process)


class TestAlone:
    """Plain uvicorn, no Ray."""

    @pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "stop"])
    def test_it_drains_saves_and_ends_well(self, how: str, tmp_path: Path, environ: dict[str, str]) -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with serving(settings(tmp_path, port, delay_s=4.0), environ, tmp_path / "log") as service:
            assert service.poll() is None, (tmp_path / "log").read_text()
            with ThreadPoolExecutor(8) as pool, Client(url, timeout_s=30) as client:
                asked = [pool.submit(client.judge, [group(number)]) for number in range(8)]
                wait_for(lambda: counters(url).get("samples") == 8, 20.0, "all under way")
                if how == "stop":
                    command = [str(GRM_PLUGIN), "stop", "--name", "grm"]
                    here = environ | {"RAY_ADDRESS": ""}
                    done = subprocess.run(command, env=here, capture_output=True, text=True, timeout=60)
                    assert (done.returncode, done.stdout) == (0, "grm stopped\n"), done.stderr
                else:
                    service.send_signal(getattr(signal, how))
                assert service.wait(STOP_DEADLINE_S) == 0
                assert all(future.result()[0].rewards[0].votes_kept == 2 for future in asked)
        assert json.loads((tmp_path / "state.json").read_text())["count"] == 8
        shown = subprocess.run(
            [str(GRM_PLUGIN), "traces", str(tmp_path / "traces.db")], capture_output=True, text=True, timeout=60
        )
        assert "Question 7" in shown.stdout, "the traces were written"

    def test_a_second_one_is_refused_and_a_killed_one_is_not_in_the_way(
        self, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        port = free_port()
        data = settings(tmp_path, port)
        with serving(data, environ, tmp_path / "first") as first:
            with serving(settings(tmp_path, free_port()), environ, tmp_path / "second") as second:
                assert second.wait(10) == 2
                said = (tmp_path / "second").read_text()
                assert f"runs on this machine already at http://127.0.0.1:{port}" in said
            first.send_signal(signal.SIGKILL)
            first.wait(10)
        with serving(data, environ, tmp_path / "third") as third:
            assert third.poll() is None, (tmp_path / "third").read_text()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with ray_cluster(tmp_path_factory.mktemp("serve") / "ray.log") as (address, session):
        ray.init(address=address, log_to_driver=False)
        try:
            yield address, session
        finally:
            ray.shutdown()


class TestServeOnRay:
    """`grm-plugin serve` on a cluster that stays."""

    @pytest.mark.parametrize("how", ["stop", "dead keeper"])
    def test_it_ends_with_its_service_and_tells_a_stop_from_a_death(
        self, how: str, cluster: tuple[str, int], tmp_path: Path, environ: dict[str, str]
    ) -> None:
        data = settings(tmp_path, free_port(), engine={"type": "fake", "replicas": 1})
        log = tmp_path / "log"
        address, session = cluster
        there = environ | {"RAY_ADDRESS": address}
        with serving(data, there, log) as service:
            assert service.poll() is None, log.read_text()
            [keeper] = actor_pids(session, "Keeper")
            replicas = set(actor_pids(session, " grm:"))
            assert replicas
            if how == "stop":
                subprocess.run([str(GRM_PLUGIN), "stop"], env=there, check=True, timeout=BACK_DEADLINE_S)
            else:
                os.kill(keeper, signal.SIGKILL)
            assert service.wait(BACK_DEADLINE_S) == (0 if how == "stop" else 2), log.read_text()
        assert ("the keeper of the service 'grm' has died" in log.read_text()) is (how != "stop")
        wait_for(lambda: not replicas & session_processes(session).keys(), BACK_DEADLINE_S, "the end of its replicas")


class OnRay:
    """A cluster, a service on it whose GRM is two fake replicas, and its processes."""

    def __init__(self, session: int, config: Config, handle: launch.ServiceHandle) -> None:
        self.session = session
        self.config = config
        self.handle = handle
        self.client = Client(handle.url, timeout_s=BACK_DEADLINE_S)

    def pids(self, name: str) -> list[int]:
        return actor_pids(self.session, name)

    def one(self, name: str) -> int:
        wait_for(lambda: bool(self.pids(name)), BACK_DEADLINE_S, f"a process {name}")  # it may be on its way back
        return self.pids(name)[0]

    def kill(self, name: str) -> None:
        os.kill(self.one(name), signal.SIGKILL)

    def waiting(self) -> int:
        """Samples that are being judged now."""
        return counters(self.handle.url).get("waiting", 0)

    def rewards(self, n: int) -> list[int]:
        """Votes behind each of n rewards, asked for all at once."""
        with ThreadPoolExecutor(n) as pool:
            judgements = pool.map(lambda number: self.client.judge([group(number)]), range(n))
            return [judgement[0].rewards[0].votes_kept for judgement in judgements]


@pytest.fixture(scope="module")
def service(cluster: tuple[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRay]:
    folder = tmp_path_factory.mktemp("ray")
    address, session = cluster
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("RAY_ADDRESS", address)
        environ.setenv("XDG_RUNTIME_DIR", str(folder))
        environ.delenv("GRM_CPU", raising=False)
        engine = {"type": "fake", "replicas": 2, "delay_s": 0.05}
        config = load_config(settings(folder, free_port(), engine=engine))
        yield OnRay(session, config, launch.start(config))
        assert launch.stop(config.service.name) is True


VOTES = 2


class TestOnRay:
    @pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
    def test_a_replica_that_dies_or_freezes_costs_no_vote(self, service: OnRay, signal_number: int) -> None:
        assert service.rewards(4) == [VOTES] * 4
        struck = threading.Event()

        def ask_until_struck() -> set[int]:
            votes = set(service.rewards(40))
            while not struck.is_set():
                votes |= set(service.rewards(40))
            return votes

        replica = service.one("grm:Engine")
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask_until_struck)
            try:
                wait_for(lambda: service.waiting() > 0, 20.0, "questions under way")
                os.kill(replica, signal_number)
            finally:
                struck.set()
            assert asked.result() == {VOTES}

    def test_a_killed_service_comes_back_with_its_statistics(self, service: OnRay) -> None:
        assert service.rewards(10) == [VOTES] * 10
        state = Path(str(service.config.normalize.state_path))
        wait_for(lambda: state.exists() and json.loads(state.read_text())["count"] >= 10, 20.0, "the saved state")
        before = json.loads(state.read_text())["count"]
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(service.rewards, 20)
            time.sleep(0.05)
            service.kill("grm:RewardService")
            assert asked.result() == [VOTES] * 20
        assert service.rewards(10) == [VOTES] * 10  # those before the kill may be in nobody's state
        wait_for(lambda: json.loads(state.read_text())["count"] >= before + 10, 20.0, "what was learnt since")

    def test_a_killed_service_with_a_damaged_state_comes_back_all_the_same(self, service: OnRay) -> None:
        state = Path(str(service.config.normalize.state_path))
        replica = service.one("grm:RewardService")
        os.kill(replica, signal.SIGSTOP)  # what it saves late would mend the file
        state.write_text('{"count": 1')
        os.kill(replica, signal.SIGKILL)
        assert service.rewards(4) == [VOTES] * 4
        assert (state.parent / f"{state.name}.damaged").exists()

    def test_a_frozen_service_is_replaced(self, service: OnRay) -> None:
        os.kill(service.one("grm:RewardService"), signal.SIGSTOP)
        assert service.rewards(4) == [VOTES] * 4

    def test_connections_wait_while_a_killed_service_comes_back(self, service: OnRay) -> None:
        """They are not refused: OpenRLHF's HTTP call gives up after five seconds of refusals."""
        for _ in range(3):
            service.kill("grm:RewardService")
            assert get(f"{service.handle.url}/health").status_code == 200

    def test_a_supervised_service_comes_back_at_its_address(self, service: OnRay) -> None:
        with Supervisor(service.config, service.handle.url, period_s=2.0) as supervisor:
            assert launch.stop("grm") is True
            wait_for(lambda: supervisor.restarts == 1, BACK_DEADLINE_S, "the restart")
            wait_for(lambda: launch.exists("grm"), BACK_DEADLINE_S, "the new service")
            assert launch.attach(service.config) == service.handle
            assert service.rewards(4) == [VOTES] * 4

    def test_a_service_without_a_keeper_is_found_and_stopped(self, service: OnRay) -> None:
        processes = set(service.pids(" grm:"))
        service.kill("Keeper")
        wait_for(lambda: not launch.exists("grm"), 20.0, "the end of the keeper")
        assert service.rewards(1) == [VOTES]
        assert launch.stop("grm") is True
        wait_for(
            lambda: not processes & session_processes(service.session).keys(),
            FROZEN_S + 30.0,
            f"the end of all {processes}, frozen or not",
        )
        assert launch.stop("grm") is False
        assert launch.start(service.config).url == service.handle.url

    def test_what_is_under_way_when_it_is_stopped_is_finished(self, service: OnRay) -> None:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(service.rewards, 30)
            time.sleep(0.2)
            assert launch.stop("grm") is True
            # What came too late was refused, and asks again until there is a service.
            assert launch.start(service.config).url == service.handle.url
            assert asked.result() == [VOTES] * 30
