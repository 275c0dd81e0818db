"""Trains and measures the meta RM: a sequence classifier with one label, on transformers' Trainer."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainingArguments,
    set_seed,
)

from grm_plugin._util.digests import digest
from grm_plugin.cpu import patches_training
from grm_plugin.engines.fingerprint import source_of
from grm_plugin.errors import ConfigError
from grm_plugin.spct import meta_rm_checkpoints
from grm_plugin.spct.meta_rm_checkpoints import explain_write_errors
from grm_plugin.spct.meta_rm_examples import Example, bundles_of, padding_id, read_examples, split_by_item
from grm_plugin.spct.meta_rm_metrics import Metrics, measure, require_finite
from grm_plugin.spct.meta_rm_settings import MetaRMSettings
from grm_plugin.spct.meta_rm_trainer import Collator, MetaRMTrainer
from grm_plugin.spct.training_files import write_json

CHECKPOINTS = "checkpoints"
METRICS = "metrics.json"


def train_meta_rm(settings: MetaRMSettings) -> Metrics | None:
    """Train a meta RM, save it for the service's `meta_rm.model`, and measure it on held-out items.

    Returns:
        The figures, which `metrics.json` in the output has too; None where nothing is held out.

    Raises:
        ConfigError: the data, the model or the batch sizes are wrong; the output cannot be written, or is not shared by
            all nodes; or training diverged, and nothing is saved.
    """
    _check_launcher()
    with explain_write_errors(settings.output):  # not only after hours of training
        settings.output.mkdir(parents=True, exist_ok=True)
    tokenizer = _load(AutoTokenizer, settings.model, settings.trust_remote_code)
    examples, too_long = read_examples(settings.data, tokenizer, settings.max_length)
    if settings.eval_data:
        held_out, _ = read_examples(settings.eval_data, tokenizer, settings.max_length)
    else:
        examples, held_out = split_by_item(examples, settings.eval_share, settings.seed)
    _require_both_labels(examples)
    padding = padding_id(tokenizer, [*examples, *held_out])
    bundles = bundles_of(examples, settings.bundle) if settings.ranking_weight else [[example] for example in examples]
    arguments = _arguments(settings, len(bundles))  # before the model is made: DeepSpeed splits it while it loads
    checkpoints, manifest = settings.output / CHECKPOINTS, _manifest(settings, examples)
    last = meta_rm_checkpoints.last_checkpoint(checkpoints, manifest)
    set_seed(settings.seed)  # Trainer does so too, but after the new head has got its random weights
    model = _load_model(settings.model, padding, settings.trust_remote_code, "float32", settings.attention)
    trainer = MetaRMTrainer(
        settings.ranking_weight, model=model, args=arguments, train_dataset=bundles, data_collator=Collator(padding)
    )
    _print_once(trainer, f"{len(examples):,} critiques, {len(held_out):,} held out, {too_long:,} too long")
    first_rank = trainer.is_world_process_zero()
    if first_rank and settings.save_steps:
        meta_rm_checkpoints.write_manifest(checkpoints, manifest)
    trainer.train(resume_from_checkpoint=last)
    require_finite(_logits(trainer, examples[:1]))  # weights that the last step made NaN are not saved
    with explain_write_errors(settings.output):
        _save(trainer, tokenizer, settings)  # before measuring, which may fail
    metrics = _measure(trainer, held_out) if held_out else None
    if first_rank:
        if metrics is not None:
            write_json(settings.output / METRICS, metrics.as_json())
        meta_rm_checkpoints.remove_all(checkpoints)
    return metrics


def evaluate_meta_rm(
    model: str,
    data: Sequence[Path],
    micro_batch: int = 8,
    max_length: int | None = None,
    trust_remote_code: bool = False,
    attention: str | None = None,
) -> Metrics:
    """Measure a trained meta RM, in the number format in which it was saved.

    Args:
        model: folder or Hugging Face id.
        data: files of `grm-plugin spct meta-rm-data`.
        micro_batch: critiques at once.
        max_length, trust_remote_code, attention: as in `MetaRMSettings`.

    Raises:
        ConfigError: the data or the model are wrong.
    """
    tokenizer = _load(AutoTokenizer, model, trust_remote_code)
    examples, _ = read_examples(data, tokenizer, max_length)
    loaded = _load_model(model, padding_id(tokenizer, examples), trust_remote_code, "auto", attention)
    collator = Collator(int(loaded.config.pad_token_id))
    with tempfile.TemporaryDirectory() as scratch:  # Trainer wants a folder even where it writes nothing
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_eval_batch_size=micro_batch,
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            remove_unused_columns=False,
            disable_tqdm=True,
        )
        return _measure(MetaRMTrainer(model=loaded, args=arguments, data_collator=collator), examples)


def _manifest(settings: MetaRMSettings, examples: Sequence[Example]) -> dict[str, Any]:
    """Everything that the weights of a checkpoint depend on."""
    without_effect = {"output", "eval_data", "eval_share", "max_length", "save_steps", "trust_remote_code"}
    manifest = {key: value for key, value in asdict(settings).items() if key not in without_effect}
    if settings.deepspeed is not None:
        manifest |= {"deepspeed": str(settings.deepspeed), "deepspeed_file": digest(source_of(settings.deepspeed))}
    return manifest | meta_rm_checkpoints.digests(settings.model, examples)


def _check_launcher() -> None:
    """Several GPUs need a launcher: without one, Trainer spreads over them with larger batches than asked for."""
    gpus = torch.cuda.device_count()
    if "RANK" not in os.environ and gpus > 1:
        raise ConfigError(
            f"{gpus} GPUs and no launcher: torchrun --nproc_per_node {gpus} -m grm_plugin.cli spct meta-rm ..., or "
            "leave one in CUDA_VISIBLE_DEVICES"
        )


def _arguments(settings: MetaRMSettings, bundles: int) -> Any:
    world = int(os.environ.get("WORLD_SIZE", "1"))
    at_once = settings.micro_batch * world
    if settings.batch % at_once:
        raise ConfigError(
            f"--batch {settings.batch} is no multiple of --micro-batch {settings.micro_batch} x {world} processes"
        )
    on_gpu = torch.cuda.is_available()
    if settings.deepspeed is not None and not on_gpu:
        _start_deepspeed_on_cpu()
    return TrainingArguments(
        output_dir=str(settings.output / CHECKPOINTS),
        learning_rate=settings.lr,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.micro_batch,
        per_device_eval_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.batch // at_once,
        gradient_checkpointing=settings.gradient_checkpointing,
        lr_scheduler_type="cosine",
        warmup_steps=int(settings.warmup_ratio * settings.epochs * bundles / settings.batch),
        bf16=settings.dtype == "bfloat16" and (on_gpu or settings.deepspeed is not None),
        use_cpu=not on_gpu,
        deepspeed=None if settings.deepspeed is None else str(settings.deepspeed),
        logging_steps=10,
        disable_tqdm=not sys.stderr.isatty(),
        save_strategy="steps" if settings.save_steps else "no",
        save_steps=settings.save_steps or 500,
        save_total_limit=2,
        remove_unused_columns=False,
        report_to="none",
        seed=settings.seed,
        data_seed=settings.seed,
    )


def _start_deepspeed_on_cpu() -> None:
    """Starts DeepSpeed with the CPU profile's patches: without them it compiles C++ and reads parameters too early."""
    import deepspeed
    from deepspeed.runtime.zero import partition_parameters

    # Not `from deepspeed.comm import torch`: that name is the torch package, not the submodule.
    patches_training.skip_shared_memory_op(import_module("deepspeed.comm.torch"))
    patches_training.gather_parameters_in_turn(partition_parameters)
    deepspeed.init_distributed("gloo")  # accelerate does it on GPUs only


def _load_model(name: str, padding: int, trust_remote_code: bool, dtype: str, attention: str | None) -> Any:
    config = _load(AutoConfig, name, trust_remote_code)
    if getattr(config, "attn_logit_softcapping", None):  # Gemma 2: transformers' sdpa leaves the cap out, vLLM does not
        attention = attention or "eager"
        if attention == "sdpa":
            raise ConfigError(
                f"--attn-implementation sdpa leaves out the attention's soft cap of {name}, with which it is served: "
                "take flash_attention_2 (GPU) or eager"
            )
    options = {"num_labels": 1, "dtype": dtype, "attn_implementation": attention}
    model = _load(AutoModelForSequenceClassification, name, trust_remote_code, **options)
    model.config.pad_token_id = padding
    return model


def _load(loader: Any, name: str, trust_remote_code: bool, **options: Any) -> Any:
    try:
        return loader.from_pretrained(name, trust_remote_code=trust_remote_code, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(f"--model {name} cannot be loaded: {' '.join(str(error).split())[:300]}") from None


def _require_both_labels(examples: Sequence[Example]) -> None:
    if len({example.label for example in examples}) < 2:
        raise ConfigError("the critiques to train on are all right or all wrong: a meta RM needs both")


def _measure(trainer: MetaRMTrainer, examples: Sequence[Example]) -> Metrics:
    logits = _logits(trainer, examples)
    return measure(logits, [example.label for example in examples], [example.item for example in examples])


def _logits(trainer: MetaRMTrainer, examples: Sequence[Example]) -> list[float]:
    return [float(logit) for logit in trainer.predict([[example] for example in examples]).predictions]


def _save(trainer: MetaRMTrainer, tokenizer: Any, settings: MetaRMSettings) -> None:
    if trainer.is_world_process_zero():
        (settings.output / METRICS).unlink(missing_ok=True)  # the figures of an earlier run are of other weights
    if settings.deepspeed is None and settings.dtype == "bfloat16":
        trainer.model.to(torch.bfloat16)  # DeepSpeed saves its 16-bit weights by itself
    trainer.save_model(str(settings.output))
    if settings.deepspeed is None:
        trainer.model.float()  # measured in float32, with the weights as rounded when they were saved
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(settings.output)
        (settings.output / "training_args.bin").unlink(missing_ok=True)  # a pickle that nobody needs


def _print_once(trainer: MetaRMTrainer, text: str) -> None:
    if trainer.is_world_process_zero():
        print(text, flush=True)
