"""The stages of the miniature as commands: the nano scripts, `grm-plugin spct ...`, `grm-plugin eval` and OpenRLHF."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from examples.nano.spct.stage_runner import Stage
from grm_plugin.errors import ConfigError
from grm_plugin.spct.training_files import write_json

ROOT = Path(__file__).resolve().parents[3]
NANO = ROOT / "examples/nano"
CONFIG = ROOT / "configs/nano_cpu.yaml"
CONFIG_WITH_META_RM = ROOT / "configs/nano_cpu_meta_rm.yaml"
REWARD = ROOT / "integrations/openrlhf/spct_reward.py"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
HINTED = ("--hint-template", str(NANO / "hint.txt"))

GRMS = ("sft", "rft", "rl")
ABLATIONS = ("no_principles", "rl_no_principles", "no_hint", "no_rejection")
RATINGS = (("rl", "meta_rm"), ("sft", "meta_rm"))
"""Pairs (GRM, meta RM): the GRM's votes are rated by the meta RM."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of a run.

    Attributes:
        ablations: False leaves out the variants of fine-tuning, of principles and of the meta RM: a third of the work.
        base: the GRM that SFT and the meta RM start from.
        start: a finished GRM to take as the result of SFT (also without principles); None trains it.
    """

    run: Path
    seed: int
    sft_steps: int = 400
    rft_items: int = 800
    rl_steps: int = 40
    rl_prompts: int = 16
    rl_samples: int = 8
    rl_lr: str = "1e-4"
    rl_kl: str = "1.0"
    meta_steps: int = 600
    meta_items: int = 400
    pairs: int = 300
    fours: int = 200
    k: int = 32
    ablation_k: int = 8
    ablations: bool = True
    base: Path = NANO / "models/base"
    start: Path | None = None

    @classmethod
    def fast(cls, run: Path, seed: int) -> Plan:
        """Tiny sizes, which show that everything runs, not that it learns.

        It starts from the shipped GRM: one trained for a few steps only would write nothing that can be read.
        """
        sizes = {"rft_items": 12, "rl_steps": 2, "meta_steps": 4, "meta_items": 12, "pairs": 6, "fours": 4}
        return cls(run, seed, **sizes, k=4, ablation_k=4, start=NANO / "models/grm")

    def save_or_compare(self) -> None:
        """Write plan.json to `run`; where it exists, require the same plan, since finished stages are not run again.

        `ablations` may differ: it adds stages and changes none.

        Raises:
            ConfigError: the run began with another plan; the message says what differs.
        """
        path = self.run / "plan.json"
        own = {name: str(value) for name, value in asdict(self).items() if name not in ("run", "ablations")}
        if not path.is_file():
            write_json(path, own)
            return
        former = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            f"{name} {former.get(name)}, now {own.get(name)}"
            for name in own | former
            if former.get(name) != own.get(name)
        ]
        if changed:
            raise ConfigError(
                f"{self.run} was begun with another plan ({'; '.join(changed)}): resume that, or give a new --run"
            )

    def model(self, name: str) -> str:
        return str(self.run / "models" / name)


def stages(plan: Plan) -> list[Stage]:
    """All stages of a plan, the most important first."""
    main = [*_start_stages(plan), *_rft_stages(plan), *_rl_stages(plan)]
    if not plan.ablations:
        return [*main, *_eval_stages(plan, GRMS, RATINGS)]
    others = [*_outcome_stages(plan), *_ablation_stages(plan)]
    return [*main, *others, *_eval_stages(plan, (*GRMS, *ABLATIONS), (*RATINGS, ("rl", "meta_rm_outcome")))]


def _start_stages(plan: Plan) -> list[Stage]:
    """The GRM before SPCT, the items, and the meta RM, which needs only the base model and takes longest."""
    sizes = {
        "rft": plan.rft_items,
        "rl": plan.rl_steps * plan.rl_prompts,
        "meta": plan.meta_items,
        "pairs": plan.pairs,
        "fours": plan.fours,
        "seed": plan.seed,
    }
    flags = [text for name, size in sizes.items() for text in (f"--{name}", str(size))]
    steps = ("--steps", str(plan.meta_steps), "--seed", str(plan.seed))
    meta_rm = ("--grm", str(plan.base), "--output", plan.model("meta_rm"), *steps)
    return [
        _sft_stage("sft", plan),
        _nano_stage("items", "examples.nano.spct.items", "--output", str(plan.run / "items"), *flags),
        _nano_stage("meta_rm", "examples.nano.train_meta_rm", *meta_rm),
    ]


def _sft_stage(name: str, plan: Plan, *flags: str) -> Stage:
    if plan.start is not None:
        return _stage(name, _copy_command(plan.start, Path(plan.model(name))))
    sizes = ("--base", str(plan.base), "--steps", str(plan.sft_steps), "--lr", "2e-3", "--seed", str(plan.seed))
    return _nano_stage(name, "examples.nano.train_grm", "--output", plan.model(name), *sizes, *flags)


def _rft_stages(plan: Plan) -> list[Stage]:
    """Rejective fine-tuning: sampling the data from the GRM, then training on it."""
    folder = plan.run / "rft"
    return [
        _stage("rft_data", [*_rft_data_command(plan, "sft"), *HINTED, "--output", str(folder)], "sft", "items"),
        _finetune_stage("rft", "sft", plan, folder, "rft_data"),
    ]


def _ablation_stages(plan: Plan) -> list[Stage]:
    """Fine-tuning without the hinted trajectories, and without rejection; and all of SPCT for bare scores."""
    folder, everything, bare = plan.run / "rft", plan.run / "rft_all", plan.run / "rft_no_principles"
    # A second folder with the same trajectories: `rft-data` has nothing left to sample there and only writes the rows.
    return [
        _sft_stage("no_principles", plan, "--lesson", "score"),
        _finetune_stage("no_hint", "sft", plan, folder, "rft_data", "--leave-out", "hinted"),
        _stage("rft_copy", _copy_command(folder, everything), "rft_data"),
        _stage(
            "rft_all",
            [*_rft_data_command(plan, "sft"), *HINTED, "--no-rejection", "--output", str(everything)],
            "rft_copy",
        ),
        _finetune_stage("no_rejection", "sft", plan, everything, "rft_all"),
        _stage(
            "bare_data",
            [*_rft_data_command(plan, "no_principles"), "--no-hint", "--output", str(bare)],
            *("no_principles", "items"),
        ),
        _finetune_stage("rft_no_principles", "no_principles", plan, bare, "bare_data"),
        _stage(
            "rl_no_principles",
            _rl_command(plan, "rft_no_principles", "rl_no_principles"),
            *("rft_no_principles", "rl_data"),
        ),
    ]


def _rft_data_command(plan: Plan, grm: str) -> list[str]:
    items = str(plan.run / "items/rft.jsonl")
    return [
        *_grm_plugin("spct", "rft-data", items, "--config", str(CONFIG), "--seed", str(plan.seed)),
        *("--samples", "3", "--grm.engine.model", plan.model(grm), "--grm.sampling.temperature", "1.0"),
    ]


def _rl_stages(plan: Plan) -> list[Stage]:
    """Rule-based online RL in OpenRLHF, with the product's reward file."""
    prompts = _grm_plugin(
        *("spct", "rl-data", str(plan.run / "items/rl.jsonl"), "--config", str(CONFIG), "--seed", str(plan.seed)),
        *("--grm.engine.model", plan.model("sft"), "--output", str(plan.run / "rl.jsonl")),
    )
    return [_stage("rl_data", prompts, "sft", "items"), _stage("rl", _rl_command(plan, "rft", "rl"), "rft", "rl_data")]


def _rl_command(plan: Plan, start: str, name: str) -> list[str]:
    """The OpenRLHF job that makes the GRM `name` from the GRM `start`."""
    data, samples = str(plan.run / "rl.jsonl"), str(plan.rl_prompts * plan.rl_samples)
    return [
        *(sys.executable, "-m", "grm_plugin.cpu", "--", sys.executable, "-m", "openrlhf.cli.train_ppo_ray"),
        *("--actor.model_name_or_path", plan.model(start), "--actor.num_nodes", "1", "--actor.num_gpus_per_node", "1"),
        *("--ref.num_nodes", "1", "--ref.num_gpus_per_node", "1"),
        *("--actor.adam.lr", plan.rl_lr, "--actor.lr_warmup_ratio", "0"),
        *("--vllm.num_engines", "1", "--vllm.tensor_parallel_size", "1", "--vllm.enforce_eager"),
        *("--vllm.gpu_memory_utilization", "0.2", "--vllm.sync_backend", "gloo"),
        *("--reward.remote_url", str(REWARD)),
        *("--algo.advantage.estimator", "group_norm", "--algo.advantage.is_correction_level", "token"),
        *("--algo.kl.use_loss", "--algo.kl.estimator", "k3", "--algo.kl.init_coef", plan.rl_kl),
        *("--data.prompt_dataset", data, "--data.input_key", "prompt", "--data.label_key", "label"),
        *("--data.apply_chat_template", "--data.max_len", "512", "--rollout.max_new_tokens", "160"),
        *("--rollout.batch_size", str(plan.rl_prompts), "--rollout.n_samples_per_prompt", str(plan.rl_samples)),
        *("--rollout.temperature", "1.0", "--rollout.micro_batch_size", "32"),
        *("--train.batch_size", samples, "--train.micro_batch_size", "32", "--train.seed", str(plan.seed)),
        *("--train.num_episodes", "1", "--train.max_epochs", "1"),
        *("--ds.zero_stage", "2", "--ds.attn_implementation", "eager"),
        *("--ckpt.output_dir", plan.model(name), "--ckpt.path", str(plan.run / "checkpoints" / name)),
    ]


def _outcome_stages(plan: Plan) -> list[Stage]:
    """A meta RM that goes on as the paper's is trained: from right and wrong verdicts of the GRM's own critiques."""
    critiques, data = plan.run / "meta_rm/trained", plan.run / "meta_rm/data.jsonl"
    seed = ("--seed", str(plan.seed))
    config = ("--config", str(CONFIG_WITH_META_RM))
    draw = [
        *_grm_plugin("spct", "rft-data", str(plan.run / "items/meta.jsonl"), "--config", str(CONFIG), *seed),
        *("--no-hint", "--samples", "4", "--grm.engine.model", plan.model("rl"), "--output", str(critiques)),
    ]
    label = _grm_plugin("spct", "meta-rm-data", str(plan.run / "rft"), str(critiques), *config, "--output", str(data))
    outcome = [
        *_grm_plugin("spct", "meta-rm", "--model", plan.model("meta_rm"), "--data", str(data), *seed),
        *("--output", plan.model("meta_rm_outcome"), "--lr", "2e-4", "--batch", "64", "--micro-batch", "32"),
    ]
    return [
        _stage("meta_rm_critiques", draw, "rl"),
        _stage("meta_rm_data", label, "meta_rm_critiques"),
        _stage("meta_rm_outcome", outcome, "meta_rm_data", "meta_rm"),
    ]


def _eval_stages(plan: Plan, grms: Sequence[str], ratings: Sequence[tuple[str, str]]) -> list[Stage]:
    """Votes of every GRM on the held-out items, and those that a meta RM rates as well."""
    found = []
    for name in grms:
        k = plan.k if name in GRMS else plan.ablation_k
        data = ("--data", str(plan.run / "items/held_out.jsonl"), "--k", str(k), "--name", name)
        command = _grm_plugin("eval", "--config", str(CONFIG), "--suite", "jsonl", *data)
        flags = ("--grm.engine.model", plan.model(name), "--output", str(plan.run / "eval" / name))
        found.append(_stage(f"eval_{name}", [*command, *flags], name, "items"))
    for name, meta_rm in ratings:
        rate = _grm_plugin("eval", "--from", str(plan.run / "eval" / name), "--config", str(CONFIG_WITH_META_RM))
        flags = ("--grm.engine.model", plan.model(name), "--grm.meta_rm.model", plan.model(meta_rm))
        output = ("--output", str(plan.run / "eval" / f"{name}_{meta_rm}"))
        found.append(_stage(f"eval_{name}_{meta_rm}", [*rate, *flags, *output], f"eval_{name}", meta_rm))
    return found


def _finetune_stage(name: str, start: str, plan: Plan, folder: Path, after: str, *flags: str) -> Stage:
    command = ("--grm", plan.model(start), "--data", str(folder / "sft.jsonl"), "--output", plan.model(name), *flags)
    return _nano_stage(name, "examples.nano.spct.finetune", *command, "--seed", str(plan.seed), after=[after])


def _nano_stage(name: str, module: str, *flags: str, after: Sequence[str] = ()) -> Stage:
    return _stage(name, [sys.executable, "-m", module, *flags], *after)


def _copy_command(source: Path, target: Path) -> list[str]:
    # dirs_exist_ok: a copy that was interrupted is made again.
    return [
        sys.executable,
        "-c",
        f"import shutil; shutil.copytree({str(source)!r}, {str(target)!r}, dirs_exist_ok=True)",
    ]


def _grm_plugin(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "grm_plugin.cli", *arguments]


def _stage(name: str, command: list[str], *after: str) -> Stage:
    return Stage(name, command, after, ONE_THREAD)
