"""The launcher on a cluster that pretends to have eight GPUs: a job that cannot fit ends before anything is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT
from support.ray_cluster import ray_cluster

pytest.importorskip("openrlhf")
pytest.importorskip("vllm")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

COMMAND = [
    *(sys.executable, "-m", "grm_plugin.integrations.openrlhf.train_ppo_ray"),
    *("--grm.config", str(ROOT / "configs" / "nano_cpu.yaml"), "--actor.model_name_or_path", "policy"),
    *("--train.colocate_all", "--vllm.num_engines", "8", "--rollout.n_samples_per_prompt", "4"),
    *("--algo.advantage.estimator", "group_norm"),
]


def test_the_gpus_are_added_up_first(tmp_path: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("GRM_", "RAY_ADDRESS"))}
    with ray_cluster(tmp_path / "head.log", num_gpus=8) as (address, _):
        environ["RAY_ADDRESS"] = address

        def launch(*more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*COMMAND, *more], env=environ, capture_output=True, text=True, timeout=120, check=False
            )

        refused = launch()
        assert refused.returncode == 2, refused.stderr
        assert "the job and its GRM need 9 GPUs, the cluster has 8" in refused.stderr
        plan = launch("--grm.dry-run", "--vllm.num_engines", "6", "--actor.num_gpus_per_node", "6")
        assert plan.returncode == 0, plan.stderr
        assert "all                  7          of 8 in the cluster" in plan.stdout
    typo = launch("--vllm.num_engine", "8", "--vllm.nodes", "1")
    assert typo.returncode == 2
    assert "grm_plugin: OpenRLHF refuses the flags: unrecognized arguments: --vllm.nodes 1" in typo.stderr
