"""The checkpoints of a meta RM's training, and the manifest by which only the same training goes on from them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed
from safetensors import SafetensorError

from grm_plugin.config import Config, VLLMConfig
from grm_plugin.engines.fingerprint import differing, fingerprint
from grm_plugin.errors import ConfigError
from grm_plugin.spct.meta_rm_examples import Example
from grm_plugin.spct.training_files import write_json

MANIFEST = "training.json"


def digests(model: str, examples: Iterable[Example]) -> dict[str, str]:
    """Digests of the weights to start from, and of the tokens and labels to train on: two parts of the manifest."""
    data = hashlib.sha256()
    for example in examples:
        data.update(f"{example.item}\n{example.label} {len(example.ids)}\n".encode())
        data.update(example.ids)
    return {"model": fingerprint(Config(engine=VLLMConfig(model=model)))["engine"], "data": data.hexdigest()[:16]}


def last_checkpoint(folder: Path, manifest: Mapping[str, Any]) -> str | None:
    """The newest complete checkpoint in a folder, or None where there is none yet. Every rank must call this.

    Raises:
        ConfigError: the checkpoints are of another training, or the ranks do not all see the same ones.
    """
    steps = {path: _steps(path) for path in folder.glob("checkpoint-*")}
    last = max((path for path in steps if steps[path]), key=steps.__getitem__, default=None)
    found = {} if last is None else _content(folder / MANIFEST)
    if not _same_on_all_ranks((last and last.name, found)):  # from different steps they would wait for each other
        raise ConfigError("--output must be a folder that all nodes share: they see different checkpoints in it")
    if last is None:
        return None
    if keys := differing(found, manifest):
        raise ConfigError(
            f"{folder} holds the checkpoints of another training, which differs in {', '.join(keys)}: give another "
            "--output, or remove that folder"
        )
    return str(last)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write down which training the checkpoints in a folder will be of.

    Raises:
        ConfigError: the folder cannot be written.
    """
    write_json(folder / MANIFEST, manifest)


def remove_all(folder: Path) -> None:
    """Remove the checkpoints of a finished training."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def explain_write_errors(output: Path) -> Iterator[None]:
    """Turns the errors of writing to `output` within the block into a message for the user.

    Raises:
        ConfigError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
        return
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    except RuntimeError as error:
        if "inline_container" not in str(error):  # raised by torch.save where it cannot write, without the cause
            raise
        reason = f"is the disk full? {error}"
    raise ConfigError(f"--output {output} cannot be written: {reason}")


def _steps(checkpoint: Path) -> int:
    """The step of a checkpoint; 0 for an incomplete one, since Trainer writes the file with the step last."""
    steps = _content(checkpoint / "trainer_state.json").get("global_step")
    return steps if isinstance(steps, int) else 0


def _content(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _same_on_all_ranks(seen: object) -> bool:
    if not torch.distributed.is_initialized():
        return True
    everywhere: list[object] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everywhere, seen)
    return all(each == seen for each in everywhere)
