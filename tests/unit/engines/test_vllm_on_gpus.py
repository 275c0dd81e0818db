"""What vLLM is configured to on an H100, an H200 and an A100 for the two configurations of DeepSeek-GRM.

The devices are pretended, the configuration is vLLM's own. Some 20 s.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from support.paths import ROOT
from support.pretended_cuda import DEVICES

pytest.importorskip("vllm")

GRMS = ("deepseek_v2", "gemma_2")
EVERY = (*GRMS, "gemma_2_meta_rm")


Configured = dict[str, dict[str, dict[str, Any]]]
"""By device and model."""


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Configured:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "support.pretended_cuda", str(tmp_path_factory.mktemp("released"))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: Configured = json.loads(ended.stdout.splitlines()[-1])
    assert {device: set(models) for device, models in found.items()} == {device: set(EVERY) for device in DEVICES}
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", EVERY)
def test_as_many_sequences_and_the_numbers_of_the_weights_on_every_device(
    model: str, device: str, configured: Configured
) -> None:
    found = configured[device][model]
    assert (found["sequences"], found["dtype"]) == (1024, "bfloat16")
    assert found["tokens"] >= found["sequences"]
    assert found["context"] == (16384 if model == "deepseek_v2" else 8192)


@pytest.mark.parametrize("device", DEVICES)
def test_a_grm_shares_the_prefix_of_its_prompts(device: str, configured: Configured) -> None:
    assert all(configured[device][model]["prefix_caching"] for model in GRMS)


@pytest.mark.parametrize(
    ("device", "backend"),
    [("H100", "FlashAttnMLABackend"), ("H200", "FlashAttnMLABackend"), ("A100", "TritonMLABackend")],
)
def test_deepseek_has_a_kernel_for_its_latent_attention(device: str, backend: str, configured: Configured) -> None:
    found = configured[device]["deepseek_v2"]
    assert (found["latent"], found["attention"]) == (True, backend)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", ["gemma_2", "gemma_2_meta_rm"])
def test_gemma_is_split_over_two_gpus_of_a_node(model: str, device: str, configured: Configured) -> None:
    found = configured[device][model]
    assert (found["attention"], found["gpus"], found["executor"]) == ("FlashAttentionBackend", 2, "mp")


@pytest.mark.parametrize("device", DEVICES)
def test_the_meta_rm_classifies_by_its_last_token(device: str, configured: Configured) -> None:
    found = configured[device]["gemma_2_meta_rm"]
    assert (found["runner"], found["pooling"], found["pooled"]) == ("pooling", "classify", "LAST")
    assert found["head_dtype"] == "float32"
