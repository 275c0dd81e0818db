"""What `grm-plugin doctor` says about the GPUs of a real Ray cluster (which claims to have two)."""

from __future__ import annotations

from pathlib import Path

import pytest

from grm_plugin.doctor.gpus import check_gpus
from support.factories import make_config
from support.ray_cluster import ray_cluster

pytest.importorskip("ray")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_gpus_are_counted_in_the_cluster_that_the_service_would_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRM_CPU", raising=False)
    with ray_cluster(tmp_path / "head.log", num_gpus=2) as (address, _):
        monkeypatch.setenv("RAY_ADDRESS", address)
        for tensor_parallel, level, words in ((2, "ok", "2 needed, 2 of 2 free in Ray"), (4, "error", "needs 4 GPU")):
            config = make_config(engine__type="vllm", engine__model="a/b", engine__tensor_parallel_size=tensor_parallel)
            (found,) = check_gpus(config)
            assert (found.level, words in found.message) == (level, True), found
