"""`grm-plugin spct meta-rm` and `meta-rm-eval`. Under torchrun or the deepspeed launcher, every rank runs them."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Annotated

import typer

from grm_plugin.errors import ConfigError

ModelName = Annotated[str, typer.Option(help="Folder or Hugging Face id.")]
DataPaths = Annotated[list[Path], typer.Option(help="File of meta-rm-data; may be repeated.")]
MaxLength = Annotated[int | None, typer.Option(min=1, help="Leave longer inputs out (tokens).")]
MicroBatch = Annotated[int, typer.Option(min=1, help="Critiques at once on one device.")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run code shipped with the weights.")]

Attention = Annotated[
    str | None,
    typer.Option(
        "--attn-implementation",
        help="transformers': eager, sdpa, flash_attention_2, ... If absent: eager where attention is capped (Gemma 2).",
    ),
]


def train(
    model: ModelName,
    data: DataPaths,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the meta RM, for meta_rm.model.")],
    eval_data: Annotated[list[Path] | None, typer.Option(help="Held-out file instead of a share of the data.")] = None,
    eval_share: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the items to hold out.")] = 0.05,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-5,
    batch: Annotated[int, typer.Option(min=1, help="Critiques per step (with a ranking term: items).")] = 512,
    micro_batch: MicroBatch = 8,
    epochs: Annotated[float, typer.Option(help="Passes over the data.")] = 1.0,
    warmup_ratio: Annotated[float, typer.Option(min=0, max=0.99, help="Share of the steps to warm up.")] = 0.03,
    max_length: MaxLength = None,
    ranking_weight: Annotated[
        float, typer.Option(min=0, help="Weight of a ranking of right over wrong critiques of one item.")
    ] = 0.0,
    bundle: Annotated[int, typer.Option(min=2, help="Most critiques of one item side by side, to be ranked.")] = 8,
    deepspeed: Annotated[Path | None, typer.Option(help="DeepSpeed's JSON, such as configs/spct/zero3.json.")] = None,
    gradient_checkpointing: Annotated[bool, typer.Option("--gradient-checkpointing", help="Less memory.")] = False,
    dtype: Annotated[str, typer.Option(help="Of the saved weights: bfloat16 or float32.")] = "bfloat16",
    save_steps: Annotated[int, typer.Option(min=0, help="Checkpoint so often; the same command goes on.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the new head, the split and the order of the data.")] = 0,
    trust_remote_code: TrustRemoteCode = False,
    attention: Attention = None,
) -> None:
    """Train the meta RM: binary cross-entropy on critiques labelled right or wrong; measure it on held-out items.

    On several GPUs: torchrun --nproc_per_node 8 -m grm_plugin.cli spct meta-rm --deepspeed configs/spct/zero3.json ...
    """
    if dtype not in ("bfloat16", "float32"):
        raise ConfigError(f"--dtype {dtype} is unknown: take bfloat16 or float32")
    for flag, value in (("--lr", lr), ("--epochs", epochs)):
        if not 0 < value < math.inf:
            raise ConfigError(f"{flag} {value:g} trains nothing: take a number above 0")
    if deepspeed is not None and not deepspeed.is_file():
        raise ConfigError(f"--deepspeed {deepspeed} is no file; see configs/spct")
    if deepspeed is not None and "RANK" not in os.environ:
        raise ConfigError(
            "--deepspeed needs a launcher, even for one GPU: torchrun --nproc_per_node 1 -m grm_plugin.cli spct ..."
        )
    if deepspeed is not None:
        _check_json(deepspeed)
    from grm_plugin.spct.meta_training import MetaTraining, train_meta_rm

    metrics = train_meta_rm(
        MetaTraining(
            model=model,
            data=tuple(data),
            output=output,
            eval_data=tuple(eval_data or ()),
            eval_share=eval_share,
            lr=lr,
            batch=batch,
            micro_batch=micro_batch,
            epochs=epochs,
            warmup_ratio=warmup_ratio,
            max_length=max_length,
            ranking_weight=ranking_weight,
            bundle=bundle,
            deepspeed=deepspeed,
            gradient_checkpointing=gradient_checkpointing,
            dtype=dtype,
            save_steps=save_steps,
            seed=seed,
            trust_remote_code=trust_remote_code,
            attention=attention,
        )
    )
    if metrics is not None and _first_rank():
        typer.echo(str(metrics))


def evaluate(
    model: ModelName,
    data: DataPaths,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file for the figures.")] = None,
    micro_batch: MicroBatch = 8,
    max_length: MaxLength = None,
    trust_remote_code: TrustRemoteCode = False,
    attention: Attention = None,
) -> None:
    """Measure a meta RM: accuracy, ROC-AUC overall and within items, calibration."""
    from grm_plugin.spct.meta_training import evaluate_meta_rm
    from grm_plugin.spct.training_files import write_json

    metrics = evaluate_meta_rm(model, data, micro_batch, max_length, trust_remote_code, attention)
    if not _first_rank():
        return
    typer.echo(str(metrics))
    if output is not None:
        write_json(output, metrics.as_json())


def _check_json(deepspeed: Path) -> None:
    """Trainer would read it only after the data, and fail with a traceback."""
    try:
        settings = json.loads(deepspeed.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--deepspeed {deepspeed} is no JSON file: {error}; see configs/spct") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"--deepspeed {deepspeed} must hold a JSON object; see configs/spct")


def _first_rank() -> bool:
    """All ranks have the figures; one of them prints and writes them."""
    return int(os.environ.get("RANK", "0")) == 0
