"""The CPU profile under a real OpenRLHF job: real trainer, real vLLM, a random nano policy and a rule as its reward.

A finished job proves nothing (without a weight sync it finishes as well): what counts is `vllm_kl`, the difference
between the log-probabilities of the engine that samples and of the trainer that learns. The controls show that it
counts: the engine of the one job stops loading weights half-way, and the other job's sync moves nothing.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from grm_plugin.integrations.openrlhf.training_log import Step
from support.openrlhf_job import GONE_DEADLINE_S, PROMPTS_PER_STEP, UNMODIFIED, VLLM_KL_LIMIT, Job, run_job

torch = pytest.importorskip("torch")
pytest.importorskip("openrlhf")

JOB_DEADLINE_S = 300

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(JOB_DEADLINE_S + 2 * GONE_DEADLINE_S),
    pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU profile is inert where CUDA is present"),
]

STEPS = 10
"""With samples of the trainer's own weights: there is a sync after each step, and that after the last is not loaded."""

CONTROL_STEPS = 8
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "near", "sea", "river", "apple", "music")

REWARD = """
def reward_func(queries, prompts, labels):
    response = queries[0][len(prompts[0]):]
    share = response.count(labels[0]) / max(1, len(response))
    return {"rewards": [share], "scores": [share], "extra_logs": {"letters": [float(len(response))]}}
"""

# Each runs in every process of its job, after the profile's own hooks: those run a hidden sitecustomize file as well.
RECEIVE_BUT_DO_NOT_LOAD = f"""
from collections import Counter

from grm_plugin.cpu.import_hooks import PatchingFinder

def patch(module):
    original, syncs = module.WorkerWrap.update_weight, Counter()

    def update_weight(self, name, *args, **kwargs):
        syncs[name] += 1
        if syncs[name] >= {STEPS}:
            self.model_runner.model.load_weights = lambda weights: None
        original(self, name, *args, **kwargs)

    module.WorkerWrap.update_weight = update_weight

PatchingFinder({{"openrlhf.trainer.ray.vllm_worker_wrap": patch}}).install()
"""
BROADCAST_NOTHING = """
from grm_plugin.cpu.import_hooks import PatchingFinder

class Nothing:
    def broadcast(self, tensor, src, stream=None):
        pass

def patch(module):
    module.stateless_init_process_group = lambda *args: Nothing()

PatchingFinder({"openrlhf.utils.distributed_util": patch}).install()
"""


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `policy/` (0.6 M random parameters), `prompts.jsonl` and `reward.py`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    root = tmp_path_factory.mktemp("nano")
    rng = random.Random(0)
    sentences = [" ".join(rng.choices(WORDS, k=10)) for _ in range(400)]

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options = {"vocab_size": 512, "special_tokens": special, "initial_alphabet": alphabet, "show_progress": False}
    bpe.train_from_iterator(sentences, trainers.BpeTrainer(**options))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer.save_pretrained(root / "policy")

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(root / "policy")

    prompts = ({"input": [{"role": "user", "content": sentence}], "label": "e"} for sentence in sentences)
    (root / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    (root / "reward.py").write_text(REWARD)
    return root


def lettered_job(nano: Path, output: Path, steps: int, sitecustomize: str) -> Job:
    """OpenRLHF's own command line under the profile, rewarded for letters."""
    flags = f"""
        --actor.model_name_or_path {nano}/policy --actor.adam.lr 1e-3 --actor.lr_scheduler constant
        --reward.remote_url {nano}/reward.py --algo.kl.init_coef 0
        --data.prompt_dataset {nano}/prompts.jsonl --data.input_key input --data.label_key label
        --data.max_len 128 --data.max_samples {steps * PROMPTS_PER_STEP} --rollout.max_new_tokens 48
    """
    (output / "site").mkdir()
    (output / "site" / "sitecustomize.py").write_text(sitecustomize)
    path = os.pathsep.join([str(output / "site"), os.environ.get("PYTHONPATH", "")])
    return run_job(UNMODIFIED, flags, output, JOB_DEADLINE_S, {"PYTHONPATH": path})


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the job that trains."""
    return tmp_path_factory.mktemp("trains")


@pytest.fixture(scope="module")
def jobs(nano: Path, output: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Job]]]:
    """Both jobs, at the same time: neither keeps two cores busy while its processes start one after the other."""
    stuck = tmp_path_factory.mktemp("moves_nothing")
    with ThreadPoolExecutor(2) as pool:
        yield {
            "trains": pool.submit(lettered_job, nano, output, STEPS + CONTROL_STEPS, RECEIVE_BUT_DO_NOT_LOAD),
            "moves nothing": pool.submit(lettered_job, nano, stuck, CONTROL_STEPS, BROADCAST_NOTHING),
        }


def worst_kl(steps: list[Step]) -> float:
    """Largest |vllm_kl|; infinity when one is not finite."""
    values = [abs(step.vllm_kl) for step in steps]
    return max(values) if values and all(map(math.isfinite, values)) else math.inf


def test_a_job_trains_on_samples_of_its_own_weights(jobs: dict[str, Future[Job]], output: Path) -> None:
    job = jobs["trains"].result()
    assert job.returncode == 0, job.log[-4000:]
    assert [step.number for step in job.steps] == list(range(1, STEPS + CONTROL_STEPS + 1))
    assert all(math.isfinite(step.reward) for step in job.steps)
    assert all(step.values["letters"] > 0 for step in job.steps)
    assert worst_kl(job.steps[1:STEPS]) < VLLM_KL_LIMIT  # the first step samples before there was a sync
    assert (output / "policy" / "config.json").exists()


def test_weights_that_are_received_but_not_loaded_show_in_vllm_kl(jobs: dict[str, Future[Job]]) -> None:
    job = jobs["trains"].result()
    assert job.returncode == 0, job.log[-4000:]
    assert len(job.steps[STEPS:]) == CONTROL_STEPS
    assert worst_kl(job.steps[STEPS:]) > VLLM_KL_LIMIT


def test_a_sync_that_moves_nothing_stops_the_job(jobs: dict[str, Future[Job]]) -> None:
    job = jobs["moves nothing"].result()
    assert job.returncode != 0
    assert not job.steps
    assert "the weight sync uses Nothing, which moves nothing on a CPU" in job.log
