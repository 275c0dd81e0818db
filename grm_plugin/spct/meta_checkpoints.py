"""The checkpoints of a meta RM's training, and what they are of: only the same training goes on from them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from grm_plugin.config import Config, VLLMConfig
from grm_plugin.errors import ConfigError
from grm_plugin.evals.fingerprint import differing, fingerprint
from grm_plugin.spct.meta_examples import Example
from grm_plugin.spct.training_files import write_json

MANIFEST = "training.json"


def digests(model: str, examples: Iterable[Example]) -> dict[str, str]:
    """Digests of the weights to start from and of the tokens and labels to train on."""
    data = hashlib.sha256()
    for example in examples:
        data.update(f"{example.item}\n{example.label} {len(example.ids)}\n".encode())
        data.update(example.ids)
    return {"model": fingerprint(Config(engine=VLLMConfig(model=model)))["engine"], "data": data.hexdigest()[:16]}


def last_checkpoint(folder: Path, manifest: Mapping[str, Any]) -> str | None:
    """The checkpoint to go on from, or None where there is none yet.

    Raises:
        ConfigError: the checkpoints are another training's, or cannot be read.
    """
    last: str | None = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    if last is None:
        return None
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if keys := differing(found, manifest):
        raise ConfigError(
            f"{folder} holds the checkpoints of another training, which differs in {', '.join(keys)}: give another "
            "--output, or remove that folder"
        )
    return last


def begin(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Say what the checkpoints in a folder will be of.

    Raises:
        ConfigError: the folder cannot be written.
    """
    write_json(folder / MANIFEST, manifest)


def end(folder: Path) -> None:
    """Remove the checkpoints of a finished training."""
    shutil.rmtree(folder, ignore_errors=True)
