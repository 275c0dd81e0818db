"""Several models, several GPUs and a service on CUDA devices. The first check of a GPU is `python tests/gpu`.

Nothing is downloaded. On the GPU machine: pip install -e ".[vllm,test]", then pytest tests/gpu -s
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grm_plugin.batch.local_engines import running_engines
from grm_plugin.client import Client
from grm_plugin.config import MetaRMConfig, VLLMConfig
from grm_plugin.config.loading import load_config
from grm_plugin.engines.vllm import VLLMEngine, VLLMMetaRM
from grm_plugin.engines.vllm_start import is_cpu_build
from grm_plugin.types import Group, Message, Prompt, Sampling
from support.paths import ROOT
from support.tiny_models import make_tiny_model
from support.transformers_reference import Reference
from support.vllm_parity import rate, ratings

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")

# Counted without CUDA itself, which no child could use after a fork.
GPUS = torch.cuda.device_count()

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(GPUS == 0, reason="needs a CUDA device"),
]
needs_two = pytest.mark.skipif(GPUS < 2, reason="needs two CUDA devices")


NANO = ROOT / "configs" / "nano_cpu_meta_rm.yaml"
NANO_GRM = ROOT / "examples" / "nano" / "models" / "grm"
NANO_SHARE = 0.3
"""Of a GPU's memory. Two fit beside each other, each with a CUDA context of its own."""

MESSAGE = Message("user", "Query: Name two colours.\n\nResponse 1 ABCDEF: red, blue\nEnd 1 ABCDEF")
PROMPT = Prompt((MESSAGE,), (0,))


@contextmanager
def running(engine: VLLMEngine) -> Iterator[VLLMEngine]:
    try:
        yield engine
    finally:
        engine.shutdown()


@pytest.fixture(scope="module")
def eight_billion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of an 8B model over the nano tokenizer; vLLM makes up the weights."""
    from transformers import AutoTokenizer, LlamaConfig

    folder = tmp_path_factory.mktemp("8b")
    AutoTokenizer.from_pretrained(NANO_GRM).save_pretrained(folder)
    LlamaConfig(
        architectures=["LlamaForCausalLM"], vocab_size=128_256, hidden_size=4096, intermediate_size=14_336,
        num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=16_384,
        dtype="bfloat16",
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_it_is_taken_for_a_gpu_build() -> None:
    assert not is_cpu_build()


@pytest.mark.parametrize("gpus", [1, pytest.param(2, marks=needs_two)])
async def test_k_completions_share_one_request(gpus: int, eight_billion: Path) -> None:
    model = VLLMConfig(
        model=str(eight_billion),
        max_model_len=4096,
        tensor_parallel_size=gpus,
        engine_args={"load_format": "dummy"},
    )
    with running(VLLMEngine(model)) as engine:
        completions = await engine.generate(PROMPT, Sampling(n=32, temperature=1.0, top_p=1.0, max_tokens=256))
        vllm_config = engine._llm.vllm_config
    assert len(completions) == 32
    assert all(0 < completion.tokens <= 256 for completion in completions)
    assert vllm_config.parallel_config.tensor_parallel_size == gpus
    assert vllm_config.scheduler_config.max_num_seqs > 128, "vLLM was not told who asks"


async def test_the_nano_grm_writes_critiques_on_a_gpu_too() -> None:
    model = VLLMConfig(model=str(NANO_GRM), max_model_len=1024, gpu_memory_utilization=NANO_SHARE)
    with running(VLLMEngine(model)) as engine:
        (completion,) = await engine.generate(PROMPT, Sampling(n=1, temperature=0.0, top_p=1.0, max_tokens=200))
    assert "Scores:" in completion.text
    assert completion.finish_reason == "stop"


@needs_two
async def test_a_meta_rm_on_two_gpus_rates_as_transformers_does(tmp_path: Path) -> None:
    folder = make_tiny_model("gemma_2_meta_rm", tmp_path)
    meta_rm = VLLMMetaRM(
        MetaRMConfig(
            model=str(folder),
            max_model_len=512,
            dtype="bfloat16",
            tensor_parallel_size=2,
            gpu_memory_utilization=NANO_SHARE,
        )
    )
    try:
        found = await rate(meta_rm)
    finally:
        meta_rm.shutdown()
    expected = ratings(Reference(folder))
    assert found == pytest.approx(expected, abs=0.2 * (max(expected) - min(expected)))


async def test_both_models_run_in_one_process() -> None:
    """As `grm-plugin score` and `doctor --run` start them: on GPUs of their own, or both on the only one."""
    share = 0.9 if GPUS > 1 else NANO_SHARE
    keys = {f"{section}.gpu_memory_utilization": str(share) for section in ("engine", "meta_rm")}
    with running_engines(load_config(NANO, keys)) as (generator, meta_rm):
        assert meta_rm is not None
        (completion,) = await generator.generate(PROMPT, Sampling(n=1, temperature=0.0, top_p=1.0, max_tokens=100))
        (logit,) = await meta_rm.rate([(MESSAGE, Message("assistant", completion.text))])
    assert math.isfinite(logit)


@pytest.mark.parametrize("with_meta_rm", [False, pytest.param(True, marks=needs_two)])
def test_a_service_on_ray_rewards(with_meta_rm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replica on a GPU that Ray gave it, in a cluster of this process."""
    ray = pytest.importorskip("ray")
    from grm_plugin.serving.ray import launch

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    keys = {"service.port": str(port), "engine.gpu_memory_utilization": str(NANO_SHARE)}
    config = load_config(NANO, keys if with_meta_rm else keys | {"meta_rm": "null"})
    group = Group((Message("user", "Name three colours, separated by commas."),), ("red, green, blue", "no"))
    try:
        with launch.start(config) as service:
            (judgement,) = Client(service.url, token=service.token).judge([group])
    finally:
        ray.shutdown()
    assert [reward.status for reward in judgement.rewards] == ["ok", "ok"]
    assert {reward.votes_kept for reward in judgement.rewards} <= set(range(1, 5 if with_meta_rm else 9))
