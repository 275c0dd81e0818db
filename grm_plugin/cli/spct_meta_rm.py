"""`grm-plugin spct meta-rm` and `meta-rm-eval`. Under torchrun or the deepspeed launcher, every rank runs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from grm_plugin._util.packages import require
from grm_plugin.spct.meta_rm_settings import MetaRMSettings
from grm_plugin.spct.training_files import write_json

PACKAGES = "torch", "transformers", "accelerate"

ModelName = Annotated[str, typer.Option(help="Folder or Hugging Face id of the model.")]
DataPaths = Annotated[list[Path], typer.Option(help="File made by meta-rm-data; repeatable.")]
MaxLength = Annotated[
    int | None, typer.Option(min=1, help="Leave out inputs of more tokens than this; default: no limit.")
]
MicroBatch = Annotated[int, typer.Option(min=1, help="Critiques at once on one device.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the Python code that is shipped with the weights.")
]

Attention = Annotated[
    str | None,
    typer.Option(
        "--attn-implementation",
        help="transformers' attention implementation: eager, sdpa, flash_attention_2 ... Default: eager where the "
        "model caps its attention scores (Gemma 2), else transformers' own choice.",
    ),
]


def train(
    model: ModelName,
    data: DataPaths,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the trained meta RM; name it in meta_rm.model.")
    ],
    eval_data: Annotated[
        list[Path] | None, typer.Option(help="File of critiques to measure on, instead of a share of the data.")
    ] = None,
    eval_share: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the items to hold out for measuring.")
    ] = 0.05,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-5,
    batch: Annotated[int, typer.Option(min=1, help="Critiques per step; with --ranking-weight, bundles.")] = 512,
    micro_batch: MicroBatch = 8,
    epochs: Annotated[float, typer.Option(help="Passes over the data.")] = 1.0,
    warmup_ratio: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of the steps in which the learning rate rises.")
    ] = 0.03,
    max_length: MaxLength = None,
    ranking_weight: Annotated[
        float,
        typer.Option(min=0, help="Weight of a loss term that ranks right above wrong critiques of the same item."),
    ] = 0.0,
    bundle: Annotated[
        int, typer.Option(min=2, help="Most critiques of one item in a bundle, which the ranking term compares.")
    ] = 8,
    deepspeed: Annotated[
        Path | None, typer.Option(help="DeepSpeed's JSON file, such as configs/spct/zero3.json of a checkout.")
    ] = None,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Use less memory and more time.")
    ] = False,
    dtype: Annotated[str, typer.Option(help="Number format of the saved weights: bfloat16 or float32.")] = "bfloat16",
    save_steps: Annotated[
        int,
        typer.Option(min=0, help="Steps between checkpoints, from which the same command goes on; 0 saves none."),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed for the new head, the split and the order of the data.")] = 0,
    trust_remote_code: TrustRemoteCode = False,
    attention: Attention = None,
) -> None:
    """Train the meta RM: binary cross-entropy on critiques labelled right or wrong; measure it on held-out items.

    On several GPUs: torchrun --nproc_per_node 8 -m grm_plugin.cli spct meta-rm --deepspeed zero3.json ...
    """
    settings = MetaRMSettings(
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
    settings.check()
    require(*PACKAGES, *(["deepspeed"] if deepspeed else []), what="training a meta RM")
    from grm_plugin.spct.meta_rm_training import train_meta_rm  # loads torch

    metrics = train_meta_rm(settings)
    if metrics is not None and _is_first_rank():
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
    require(*PACKAGES, what="measuring a meta RM")
    from grm_plugin.spct.meta_rm_training import evaluate_meta_rm  # loads torch

    metrics = evaluate_meta_rm(model, data, micro_batch, max_length, trust_remote_code, attention)
    if not _is_first_rank():
        return
    typer.echo(str(metrics))
    if output is not None:
        write_json(output, metrics.as_json())


def _is_first_rank() -> bool:
    """All ranks have the figures; only the first one prints and writes them."""
    return int(os.environ.get("RANK", "0")) == 0
