"""The settings of `grm-plugin spct meta-rm`, checked before torch is loaded."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from grm_plugin.config.shipped import HERE
from grm_plugin.errors import ConfigError

DTYPES = ("bfloat16", "float32")

_READY = HERE.resolve() / "spct"
"""DeepSpeed's files that ship."""


@dataclass(frozen=True, slots=True)
class MetaRMSettings:
    """How a meta RM is trained. The defaults are the paper's, as far as it states them.

    Attributes:
        model: folder or Hugging Face id to start from; it gets a new head with one label unless it has one.
        data: files of `grm-plugin spct meta-rm-data`.
        output: folder for the trained model.
        eval_data: files of held-out critiques; without them a share of the items in `data` is held out.
        eval_share: that share.
        lr: peak learning rate.
        batch: critiques per step, over all devices (with a ranking term: bundles of critiques).
        micro_batch: critiques (or bundles) at once on one device.
        epochs: passes over the data.
        warmup_ratio: share of the steps in which the learning rate rises.
        max_length: longest input in tokens, longer ones are left out; None takes all.
        ranking_weight: weight of the ranking term of the loss; 0 leaves it out.
        bundle: most critiques of one item in a bundle, which the ranking term compares.
        deepspeed: DeepSpeed's JSON file (configs/spct has some); None trains without DeepSpeed.
        gradient_checkpointing: use less memory and more time.
        dtype: number format of the saved weights, one of `DTYPES`.
        save_steps: steps between checkpoints, from which an interrupted run goes on; 0 saves none.
        seed: of the new head, the split and the order of the data.
        trust_remote_code: run code that is shipped with the weights.
        attention: transformers' attention implementation; None takes the one that agrees with the service's vLLM.
    """

    model: str
    data: tuple[Path, ...]
    output: Path
    eval_data: tuple[Path, ...] = ()
    eval_share: float = 0.05
    lr: float = 1e-5
    batch: int = 512
    micro_batch: int = 8
    epochs: float = 1.0
    warmup_ratio: float = 0.03
    max_length: int | None = None
    ranking_weight: float = 0.0
    bundle: int = 8
    deepspeed: Path | None = None
    gradient_checkpointing: bool = False
    dtype: str = "bfloat16"
    save_steps: int = 0
    seed: int = 0
    trust_remote_code: bool = False
    attention: str | None = None

    def check(self) -> None:
        """Find what can be found wrong without loading the model or the data.

        Raises:
            ConfigError: a value is unknown or trains nothing, or the DeepSpeed file cannot be used or has no launcher.
        """
        if self.dtype not in DTYPES:
            raise ConfigError(f"--dtype {self.dtype} is unknown: take {' or '.join(DTYPES)}")
        for flag, value in (("--lr", self.lr), ("--epochs", self.epochs)):
            if not 0 < value < math.inf:
                raise ConfigError(f"{flag} {value:g} trains nothing: take a number above 0")
        if self.deepspeed is not None:
            _check_deepspeed(self.deepspeed)


def _check_deepspeed(file: Path) -> None:
    """Trainer would read the file only after the data, and fail with a traceback."""
    if not file.is_file():
        raise ConfigError(f"--deepspeed {file} is no file; {_READY} has some")
    if "RANK" not in os.environ:
        raise ConfigError(
            "--deepspeed needs a launcher, even for one GPU: torchrun --nproc_per_node 1 -m grm_plugin.cli spct ..."
        )
    try:
        settings = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--deepspeed {file} is no JSON file: {error}; {_READY} has some") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"--deepspeed {file} must hold a JSON object; {_READY} has some")
