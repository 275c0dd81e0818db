"""Trains the meta RM: one-label sequence classification on transformers' Trainer, on a CPU or under DeepSpeed."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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

from grm_plugin.cpu import patches_training
from grm_plugin.errors import ConfigError
from grm_plugin.spct import meta_checkpoints
from grm_plugin.spct.meta_checkpoints import writing
from grm_plugin.spct.meta_examples import Example, bundles_of, padding_id, read_examples, split_by_item
from grm_plugin.spct.meta_metrics import Metrics, measure, require_finite
from grm_plugin.spct.meta_trainer import Collator, MetaTrainer
from grm_plugin.spct.training_files import write_json

CHECKPOINTS = "checkpoints"
METRICS = "metrics.json"


@dataclass(frozen=True, slots=True)
class MetaTraining:
    """Settings; the defaults of the command line are the paper's.

    Attributes:
        model: folder or Hugging Face id to start from; it gets a new head with one label unless it has one.
        batch: critiques per step, over all devices (with a ranking term: bundles of critiques).
        micro_batch: of these, at once on one device.
        max_length: longest input in tokens; None takes all.
        ranking_weight: of the ranking term; 0 leaves it out.
        bundle: most critiques of one item in a batch, for the ranking term.
        deepspeed: DeepSpeed's JSON file, see configs/spct; None runs without it.
        save_steps: steps between checkpoints, from which an interrupted run goes on; 0 saves none.
        attention: transformers' implementation; None takes the one that the service's vLLM agrees with.
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

    def manifest(self, examples: Sequence[Example]) -> dict[str, Any]:
        """All that the weights of a checkpoint depend on."""
        elsewhere = {"output", "eval_data", "eval_share", "max_length", "save_steps", "trust_remote_code"}
        settings = {key: value for key, value in asdict(self).items() if key not in elsewhere}
        settings["deepspeed"] = None if self.deepspeed is None else str(self.deepspeed)
        return settings | meta_checkpoints.digests(self.model, examples)


def train_meta_rm(options: MetaTraining) -> Metrics | None:
    """Train, measure on held-out items, and save what the service's `meta_rm.model` loads.

    Returns the figures, or None where nothing is held out. `metrics.json` in the output has them too.

    Raises:
        ConfigError: the data, the model or the batch sizes are wrong; the output cannot be written, or is not shared by
            all nodes; or training diverged, and nothing is saved.
    """
    _check_launcher()
    with writing(options.output):  # not after hours of training
        options.output.mkdir(parents=True, exist_ok=True)
    tokenizer = _load(AutoTokenizer, options.model, options.trust_remote_code)
    examples, too_long = read_examples(options.data, tokenizer, options.max_length)
    if options.eval_data:
        held_out, _ = read_examples(options.eval_data, tokenizer, options.max_length)
    else:
        examples, held_out = split_by_item(examples, options.eval_share, options.seed)
    _check(examples)
    padding = padding_id(tokenizer, [*examples, *held_out])
    bundles = bundles_of(examples, options.bundle) if options.ranking_weight else [[example] for example in examples]
    arguments = _arguments(options, len(bundles))  # before the model is made: DeepSpeed splits it while it loads
    checkpoints, manifest = options.output / CHECKPOINTS, options.manifest(examples)
    last = meta_checkpoints.last_checkpoint(checkpoints, manifest)
    set_seed(options.seed)  # Trainer does so too, but after the new head has got its random weights
    model = _load_model(options.model, padding, options.trust_remote_code, "float32", options.attention)
    trainer = MetaTrainer(
        options.ranking_weight, model=model, args=arguments, train_dataset=bundles, data_collator=Collator(padding)
    )
    _say(trainer, f"{len(examples):,} critiques, {len(held_out):,} held out, {too_long:,} too long")
    first_rank = trainer.is_world_process_zero()
    if first_rank and options.save_steps:
        meta_checkpoints.begin(checkpoints, manifest)
    trainer.train(resume_from_checkpoint=last)
    require_finite(_logits(trainer, examples[:1]))  # weights that the last step made NaN are not saved
    with writing(options.output):
        _save(trainer, tokenizer, options)  # before anything else can fail
    metrics = _measure(trainer, held_out) if held_out else None
    if first_rank:
        if metrics is not None:
            write_json(options.output / METRICS, metrics.as_json())
        meta_checkpoints.end(checkpoints)
    return metrics


def evaluate_meta_rm(
    model: str,
    data: Sequence[Path],
    micro_batch: int = 8,
    max_length: int | None = None,
    trust_remote_code: bool = False,
    attention: str | None = None,
) -> Metrics:
    """Measure a trained meta RM, in its own number format.

    Raises:
        ConfigError: the data or the model are wrong.
    """
    tokenizer = _load(AutoTokenizer, model, trust_remote_code)
    examples, _ = read_examples(data, tokenizer, max_length)
    loaded = _load_model(model, padding_id(tokenizer, examples), trust_remote_code, "auto", attention)
    collator = Collator(int(loaded.config.pad_token_id))
    with tempfile.TemporaryDirectory() as scratch:  # Trainer wants a folder, also where it writes nothing
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_eval_batch_size=micro_batch,
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            remove_unused_columns=False,
            disable_tqdm=True,
        )
        return _measure(MetaTrainer(model=loaded, args=arguments, data_collator=collator), examples)


def _check_launcher() -> None:
    """Without one, Trainer would split each batch over all GPUs itself, and take larger ones than were asked for."""
    gpus = torch.cuda.device_count()
    if "RANK" not in os.environ and gpus > 1:
        raise ConfigError(
            f"{gpus} GPUs and no launcher: torchrun --nproc_per_node {gpus} -m grm_plugin.cli spct meta-rm ..., or "
            "leave one in CUDA_VISIBLE_DEVICES"
        )


def _arguments(options: MetaTraining, bundles: int) -> Any:
    world = int(os.environ.get("WORLD_SIZE", "1"))
    at_once = options.micro_batch * world
    if options.batch % at_once:
        raise ConfigError(
            f"--batch {options.batch} is no multiple of --micro-batch {options.micro_batch} x {world} processes"
        )
    on_gpu = torch.cuda.is_available()
    if options.deepspeed is not None and not on_gpu:
        _start_deepspeed_on_cpu()
    return TrainingArguments(
        output_dir=str(options.output / CHECKPOINTS),
        learning_rate=options.lr,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.micro_batch,
        per_device_eval_batch_size=options.micro_batch,
        gradient_accumulation_steps=options.batch // at_once,
        gradient_checkpointing=options.gradient_checkpointing,
        lr_scheduler_type="cosine",
        warmup_steps=int(options.warmup_ratio * options.epochs * bundles / options.batch),
        bf16=options.dtype == "bfloat16" and (on_gpu or options.deepspeed is not None),
        use_cpu=not on_gpu,
        deepspeed=None if options.deepspeed is None else str(options.deepspeed),
        logging_steps=10,
        disable_tqdm=not sys.stderr.isatty(),
        save_strategy="steps" if options.save_steps else "no",
        save_steps=options.save_steps or 500,
        save_total_limit=2,
        remove_unused_columns=False,
        report_to="none",
        seed=options.seed,
        data_seed=options.seed,
    )


def _start_deepspeed_on_cpu() -> None:
    """With the CPU profile's patches, so that plain torchrun neither compiles nor trains on memory not yet filled."""
    import deepspeed
    from deepspeed.runtime.zero import partition_parameters

    # By its name: the attribute `torch` of deepspeed.comm is the torch that it imports.
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


def _check(examples: Sequence[Example]) -> None:
    if len({example.label for example in examples}) < 2:
        raise ConfigError("the critiques to train on are all right or all wrong: a meta RM needs both")


def _measure(trainer: MetaTrainer, examples: Sequence[Example]) -> Metrics:
    logits = _logits(trainer, examples)
    return measure(logits, [example.label for example in examples], [example.item for example in examples])


def _logits(trainer: MetaTrainer, examples: Sequence[Example]) -> list[float]:
    return [float(logit) for logit in trainer.predict([[example] for example in examples]).predictions]


def _save(trainer: MetaTrainer, tokenizer: Any, options: MetaTraining) -> None:
    if trainer.is_world_process_zero():
        (options.output / METRICS).unlink(missing_ok=True)  # an earlier run's are not of these weights
    if options.deepspeed is None and options.dtype == "bfloat16":
        trainer.model.to(torch.bfloat16)  # DeepSpeed saves its 16-bit weights by itself
    trainer.save_model(str(options.output))
    if options.deepspeed is None:
        trainer.model.float()  # to be measured as it was saved
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(options.output)
        (options.output / "training_args.bin").unlink(missing_ok=True)  # a pickle that nobody needs


def _say(trainer: MetaTrainer, text: str) -> None:
    if trainer.is_world_process_zero():
        print(text, flush=True)
