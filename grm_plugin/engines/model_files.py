"""Finds a model's files on this machine, and reads the sizes that matter from them. Nothing is downloaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grm_plugin.config import Config, VLLMConfig

BYTES_PER_VALUE = 2
"""Of the KV cache, in bfloat16 or float16."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What lies in a model's folder.

    Attributes:
        folder: the folder; None where it is not on this machine, and `weights` is what the model's name says.
        config: its config.json.
        weights: size of the weights, in bytes.
        missing: files of weights that the index names and that are not there.
    """

    folder: Path | None
    config: Mapping[str, Any]
    weights: int
    missing: tuple[str, ...]

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The language model's part of the config of a multi-modal model, else the whole config."""
        part: Mapping[str, Any] = self.config.get("text_config") or self.config
        return part

    def loaded_bytes(self, model: VLLMConfig) -> float:
        """Bytes of the weights once vLLM has loaded them: those of 32 bits become 16, unless `dtype` says float32."""
        stored = str(self.text_config.get("dtype") or self.text_config.get("torch_dtype") or "")
        return self.weights / 2 if "float32" in stored and model.dtype not in ("float32", "float") else self.weights

    @property
    def labels(self) -> int:
        """Outputs of the classification head; 2, as transformers assumes, where the config does not say."""
        return int(self.config.get("num_labels") or len(self.config.get("id2label") or ()) or 2)

    @property
    def context(self) -> int | None:
        """Longest sequence in tokens; None where the config does not say."""
        return self.text_config.get("max_position_embeddings")

    def kv_bytes(self, tensor_parallel: int) -> float | None:
        """Bytes of KV cache that one token takes on each of `tensor_parallel` GPUs; None for an unknown architecture.

        They hold the keys and values of all layers. With multi-head latent attention (DeepSeek-V2) they hold one latent
        vector per layer instead, which every GPU keeps whole.
        """
        shape = self.text_config
        try:
            if "kv_lora_rank" in shape:
                latent = shape["kv_lora_rank"] + shape["qk_rope_head_dim"]
                return float(shape["num_hidden_layers"] * latent * BYTES_PER_VALUE)
            heads = shape["num_attention_heads"]
            width = shape.get("head_dim") or shape["hidden_size"] // heads
            heads = shape.get("num_key_value_heads") or heads
            return float(2 * shape["num_hidden_layers"] * heads * width * BYTES_PER_VALUE / tensor_parallel)
        except (KeyError, TypeError):
            return None


_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d{1,3})x)?(\d{1,4}(?:\.\d{1,3})?)([bm])(?![a-z0-9])", re.IGNORECASE)
_QUANTISED = re.compile(r"awq|gptq|gguf|fp8|int[48]|[48]-?bit|w[48]a|nf4|mxfp4|nvfp4", re.IGNORECASE)


def named_parameters(model: str) -> float | None:
    """The number of parameters in a model's name, `...-16B`, `8x7B` or `135M`; the largest, as in `30B-A3B`. None where
    there is none."""
    units = {"b": 1e9, "m": 1e6}
    sizes = [int(many or 1) * float(size) * units[unit.lower()] for many, size, unit in _SIZE.findall(Path(model).name)]
    return max(sizes, default=None)


def named_weights(model: str) -> int | None:
    """Bytes of a model's weights by its name, in bfloat16; None where its name does not tell."""
    parameters = named_parameters(model)
    return None if parameters is None or _QUANTISED.search(model) else int(2 * parameters)


def vllm_models(config: Config) -> dict[str, VLLMConfig]:
    """The models that vLLM would load, by their section of the configuration (`engine`, `meta_rm`)."""
    sections = {"engine": config.engine, "meta_rm": config.meta_rm}
    return {name: section for name, section in sections.items() if isinstance(section, VLLMConfig)}


def find_folder(model: str) -> Path | None:
    """The folder of a model, given as a path or as a Hugging Face id in the local cache; None if it is not here."""
    if Path(model).is_dir():
        return Path(model)
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def read_files(folder: Path) -> ModelFiles:
    """What lies in a model's folder.

    Raises:
        OSError, ValueError: there is no config.json, or it cannot be read.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    files = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]
    named = {
        name for index in folder.glob("*.index.json") for name in json.loads(index.read_text())["weight_map"].values()
    }
    present = [file for file in files if file.exists()]  # in the cache they are links, and the target may be missing
    missing = sorted(named - {file.name for file in present}) or [file.name for file in files if not file.exists()]
    return ModelFiles(folder, config, sum(file.stat().st_size for file in present), tuple(missing))
