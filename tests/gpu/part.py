"""What the parts of `python tests/gpu` share: their options, how they end, and what a GPU's memory holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parents[1])]

GIB = 2**30


class Wrong(Exception):
    """What a part has found wrong, with its figures."""

    def __init__(self, what: str, figures: dict[str, Any]) -> None:
        super().__init__(what)
        self.figures = figures


def options_of(description: str | None) -> argparse.ArgumentParser:
    """The options with which every part is called."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--folder", type=Path, required=True, help="for models; the parts share it")
    parser.add_argument("--models", nargs="+", default=[])
    return parser


def end_with(figures_of: Callable[[], dict[str, Any]]) -> None:
    """Print the figures of a part as the last line, and what is wrong with them, if anything; exit accordingly."""
    try:
        print(json.dumps(figures_of()))
    except Wrong as wrong:
        print(json.dumps({**wrong.figures, "wrong": str(wrong)}))
        sys.exit(1)


def engine_arguments(name: str, device: str) -> dict[str, Any]:
    """vLLM's arguments for a tiny model: on a GPU the tokens of a prompt are read in several steps."""
    if device == "cuda":
        return {"max_num_seqs": 8, "max_num_batched_tokens": 128}
    return {"max_num_seqs": 8, **({"attention_backend": "CPU_MLA"} if name == "deepseek_v2" else {})}


def gpu_memory() -> tuple[int, int]:
    """Bytes in use by all processes, and all bytes, of the first GPU. Asked of its driver: it starts no CUDA here."""
    from vllm.third_party import pynvml

    pynvml.nvmlInit()
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0))
        return int(memory.used), int(memory.total)
    finally:
        pynvml.nvmlShutdown()
