"""Tokens/s of a real model on vLLM: offline, and through the service; in turns, so that both see the same machine."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from reward_path.processes import Asked, Tree, service
from reward_path.table import Row
from reward_path.texts import K, single_questions
from support.paths import ROOT

GROUPS, QUICK_GROUPS, TOKENS = 16, 4, 64


_FOR_TRAINING = ("GRM_CPU", "PYTHONPATH", "VLLM_ENABLE_V1_MULTIPROCESSING")
"""Variables of the CPU profile with which a policy can be trained, and vLLM runs otherwise than by itself."""


def vllm_rows(
    trees: list[Tree], options: argparse.Namespace, folder: Path, report: dict[str, object]
) -> dict[str, list[Row]]:
    """The row of each tree."""
    import torch

    import grm_plugin.cpu

    environ = {} if torch.cuda.is_available() else dict(grm_plugin.cpu.environment())
    for name in _FOR_TRAINING:
        environ.pop(name, None)
    model = str(options.model) if options.model else random_model(folder / "model")
    groups = QUICK_GROUPS if options.quick else GROUPS
    rows = {}
    for tree in trees:
        with ExitStack() as stack:
            command = [sys.executable, "-m", "reward_path.vllm_side", model, str(groups), str(TOKENS)]
            offline = Asked(command, tree, folder / f"vllm_{tree.label}.log", environ)
            stack.callback(offline.end)
            config = {
                "engine": {"type": "vllm", "model": model, "max_model_len": 2048, "gpu_memory_utilization": 0.4},
                "sampling": {"k": K, "max_tokens": TOKENS},
            }
            server, url = service(tree, folder, "vllm", config, environ)
            stack.callback(server.end)
            pairs = [
                (_offline(offline, turn), _through_service(url, groups, turn)) for turn in range(options.rounds + 1)
            ][1:]
        offline_s, service_s = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(through / alone for alone, through in pairs)
        print(f"{tree.label}: vLLM offline {offline_s:,.0f} tokens/s, through the service {service_s:,.0f}")
        report[f"vllm of {tree.label}"] = {"offline and service, tokens/s": pairs}
        rows[tree.label] = [Row("tokens/s through the service / vLLM's offline generate", ratio, 0.97, 0.99)]
    return rows


def _offline(process: Asked, seed: int) -> float:
    """Tokens/s of one burst without a service."""
    answer = process.ask("run", seed)
    return float(answer["tokens"] / answer["wall_s"])


def _through_service(url: str, groups: int, seed: int) -> float:
    """Tokens/s of one burst of the same questions, all in one call. A critique of random weights cannot be read, so
    its tokens are counted by the service."""
    body = {
        "groups": [{"prompt": prompt, "responses": [response]} for prompt, response in single_questions(groups, seed)]
    }
    request = urllib.request.Request(f"{url}/v1/score", json.dumps(body).encode(), {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def tokens() -> int:
        with opener.open(f"{url}/info", timeout=60) as reply:
            return int(json.load(reply)["counters"]["tokens"])

    before, began = tokens(), time.perf_counter()
    with opener.open(request, timeout=600) as reply:
        reply.read()
    took = time.perf_counter() - began
    return (tokens() - before) / took


def random_model(folder: Path) -> str:
    """A folder with a Llama of 100 M random parameters, whose tokenizer knows the words of the texts."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from reward_path.openrlhf_side import make_tokenizer

    template = ROOT / "grm_plugin" / "judging" / "templates" / "listwise.txt"
    tokenizer = make_tokenizer(template.read_text())
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16_000, hidden_size=768, intermediate_size=2_048, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=12, max_position_embeddings=2_048, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return str(folder)
