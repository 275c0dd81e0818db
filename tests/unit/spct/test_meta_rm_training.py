"""The meta RM's training with models of a few weights: resuming, attention, what is told before it starts."""

from __future__ import annotations

import importlib
import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.errors import ConfigError
from grm_plugin.spct.token_limit import TokenLimit
from grm_plugin.spct.training_files import write_rows
from grm_plugin.types import Message
from support.factories import make_config
from support.marked_jobs import run_marked
from support.paths import ROOT

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from grm_plugin.spct import meta_rm_checkpoints, meta_rm_training  # noqa: E402
from grm_plugin.spct.meta_rm_training import MetaRMSettings, train_meta_rm  # noqa: E402

TOKENIZER = ROOT / "examples/nano/models/grm"
GATHER = "_allgather_params_coalesced"
SIZES = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 8}


def make_model(folder: Path, kind: str = "Qwen2", seed: int = 0, **settings: Any) -> Path:
    """A random classifier with one label, and the nano tokenizer."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(TOKENIZER)
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(
        **SIZES, num_key_value_heads=1, vocab_size=len(tokenizer), num_labels=1, **settings
    )
    getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_data(path: Path, items: int = 12) -> Path:
    """Two critiques of each item, one right and one wrong."""
    rows = [
        {"messages": [{"role": "user", "content": f"q {item}"}, {"role": "assistant", "content": text}], "label": label}
        | {"id": f"i{item}", "source": "s"}
        for item in range(items)
        for label, text in enumerate(("bad", "good"))
    ]
    write_rows(path, rows)
    return path


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> MetaRMSettings:
    """Six steps on 24 critiques."""
    root = tmp_path_factory.mktemp("training")
    return MetaRMSettings(
        model=str(make_model(root / "start")),
        data=(write_data(root / "meta.jsonl"),),
        eval_data=(write_data(root / "held_out.jsonl", 2),),
        output=root / "never",
        batch=4,
        micro_batch=2,
        lr=1e-2,
        dtype="float32",
        save_steps=2,
    )


@pytest.fixture
def killed(options: MetaRMSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MetaRMSettings:
    """A run that ended in its fourth step."""
    run = replace(options, output=tmp_path / "out")
    step = meta_rm_training.MetaRMTrainer.training_step

    def step_of_three(self: Any, *rest: Any, **named: Any) -> Any:
        if self.state.global_step == 3:
            raise RuntimeError("killed")
        return step(self, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(meta_rm_training.MetaRMTrainer, "training_step", step_of_three)
        with pytest.raises(RuntimeError, match="killed"):
            train_meta_rm(run)
    assert not (run.output / "model.safetensors").exists()
    return run


def weights(folder: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def cut_short(folder: Path, state: str | None) -> None:
    """What a kill in the second save leaves: Trainer writes the weights first, and its state last."""
    half = shutil.copytree(folder / "checkpoint-2", folder / "checkpoint-4") / "trainer_state.json"
    half.unlink() if state is None else half.write_text(state)


def test_a_killed_run_ends_where_it_would_have(
    killed: MetaRMSettings, options: MetaRMSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    step = meta_rm_training.MetaRMTrainer.training_step

    def counted(self: Any, *rest: Any, **named: Any) -> Any:
        trained.append(self.state.global_step)
        return step(self, *rest, **named)

    monkeypatch.setattr(meta_rm_training.MetaRMTrainer, "training_step", counted)
    cut_short(killed.output / "checkpoints", "")
    train_meta_rm(killed)
    assert sorted(set(trained)) == [2, 3, 4, 5]
    train_meta_rm(replace(options, output=tmp_path / "at once"))
    found, expected = weights(killed.output), weights(tmp_path / "at once")
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)
    assert json.loads((killed.output / "metrics.json").read_text())["critiques"] == 4
    assert not (killed.output / "checkpoints").exists()  # or the next run would go on from them, and train nothing


@pytest.mark.parametrize(
    ("steps", "said"),
    [(2, "the loss of step 2 is nan: training has diverged; lower --lr"), (1, "weights are unusable")],
)
def test_a_training_that_diverges_saves_nothing(
    steps: int, said: str, options: MetaRMSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = meta_rm_training.MetaRMTrainer.training_step

    def poisoned(self: Any, model: Any, *rest: Any, **named: Any) -> Any:
        loss = step(self, model, *rest, **named)
        for weights in model.parameters():
            weights.grad.fill_(math.nan)  # what an overflow in the backward pass leaves
        return loss

    monkeypatch.setattr(meta_rm_training.MetaRMTrainer, "training_step", poisoned)
    data = write_data(tmp_path / "meta.jsonl", 2 * steps)
    with pytest.raises(ConfigError, match=said):
        train_meta_rm(replace(options, data=(data,), eval_data=(data,), output=tmp_path / "out"))
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_another_run_does_not_go_on_from_its_checkpoints(killed: MetaRMSettings, tmp_path: Path) -> None:
    others = {
        "lr": replace(killed, lr=1e-3),
        "data": replace(killed, data=(write_data(tmp_path / "other.jsonl", 13),)),
        "model": replace(killed, model=str(make_model(tmp_path / "other", seed=1))),
    }
    for name, other in others.items():
        with pytest.raises(ConfigError, match=f"checkpoints of another training, which differs in {name}: give"):
            train_meta_rm(other)
    (killed.output / "checkpoints/training.json").unlink()
    with pytest.raises(ConfigError, match=r"differs in .*data.*model"):
        train_meta_rm(killed)


@pytest.mark.parametrize("state", [None, "", "{", "[]", "{}"])
def test_a_checkpoint_that_was_cut_short_is_passed_over(killed: MetaRMSettings, state: str | None) -> None:
    folder = killed.output / "checkpoints"
    manifest = json.loads((folder / "training.json").read_text())
    cut_short(folder, state)
    assert meta_rm_checkpoints.last_checkpoint(folder, manifest) == str(folder / "checkpoint-2")
    shutil.rmtree(folder / "checkpoint-2")
    assert meta_rm_checkpoints.last_checkpoint(folder, manifest) is None


@pytest.mark.timeout(400)  # three interpreters import torch
def test_nodes_that_see_different_checkpoints_all_stop(tmp_path: Path) -> None:
    """Without the check each rank decides by itself, and one that starts anew waits for ever for one that goes on."""
    state = tmp_path / "0" / "checkpoint-2" / "trainer_state.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"global_step": 2}')
    script = tmp_path / "rank.py"
    script.write_text(
        "import os, sys, time; from pathlib import Path; import torch.distributed as dist\n"
        "from grm_plugin.spct.meta_rm_checkpoints import last_checkpoint\n"
        "dist.init_process_group('gloo'); rank, root = dist.get_rank(), Path(sys.argv[1])\n"
        "found = last_checkpoint(root / '0', {})\n"
        "try: last_checkpoint(root / str(rank), {})\n"
        "except Exception as error: (root / f'said {rank}').write_text(f'{found} {error}')\n"
        # A rank that ends early breaks the connection that the other still reads from, and gloo aborts that one then.
        "while not all((root / f'said {each}').exists() for each in range(2)): time.sleep(0.01)\n"
        "os._exit(0)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    job = run_marked([*command, str(script), str(tmp_path)], 300, {"GLOO_SOCKET_IFNAME": "lo"})
    assert job.returncode == 0, job.stderr[-3000:]
    for rank in range(2):
        said = (tmp_path / f"said {rank}").read_text()
        assert said.startswith(f"{state.parent} --output must be a folder that all nodes share")


def test_deepspeed_on_a_cpu_compiles_nothing_and_waits_for_what_it_gathers(
    options: MetaRMSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deepspeed = pytest.importorskip("deepspeed")
    comm = importlib.import_module("deepspeed.comm.torch")
    init = importlib.import_module("deepspeed.runtime.zero.partition_parameters").Init
    before = [(each, name, getattr(each, name)) for each, name in ((comm, "build_shm_op"), (init, GATHER))]
    for patched in before:
        monkeypatch.setattr(*patched)  # so that it is put back

    class Started(Exception):
        """When the patches must be in place."""

    def init_distributed(backend: str) -> None:
        assert not any(getattr(each, name) is own for each, name, own in before)
        raise Started

    monkeypatch.setattr(deepspeed, "init_distributed", init_distributed)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Started):
        meta_rm_training._arguments(replace(options, deepspeed=Path("zero3.json")), 24)


def test_an_output_that_cannot_be_written_is_named(options: MetaRMSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--output .*file cannot be written: File exists"):
        train_meta_rm(replace(options, output=tmp_path / "file"))
    (tmp_path / "final/model.safetensors").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"--output .*final cannot be written: .*Is a directory"):
        train_meta_rm(replace(options, output=tmp_path / "final", save_steps=0))
    full = tmp_path / "full/checkpoints/checkpoint-2/optimizer.pt"
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")
    with pytest.raises(ConfigError, match=r"--output .*checkpoints cannot be written: is the disk full"):
        train_meta_rm(replace(options, output=tmp_path / "full"))


def test_the_figures_of_an_earlier_run_do_not_stay_beside_new_weights(options: MetaRMSettings, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    assert train_meta_rm(replace(options, output=tmp_path, save_steps=0, eval_data=(), eval_share=0)) is None
    assert (tmp_path / "model.safetensors").exists()
    assert not (tmp_path / "metrics.json").exists()


def test_figures_that_fail_cost_no_weights(
    options: MetaRMSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no figures")

    monkeypatch.setattr(meta_rm_training, "measure", fail)
    with pytest.raises(RuntimeError, match="no figures"):
        train_meta_rm(replace(options, output=tmp_path, save_steps=0, dtype="bfloat16"))
    assert weights(tmp_path)["score.weight"].dtype == torch.bfloat16


def test_gemma_2_keeps_its_soft_cap(tmp_path: Path) -> None:
    """transformers' default, sdpa, leaves it out without a word; vLLM serves it."""
    name = str(make_model(tmp_path, "Gemma2", attn_logit_softcapping=1.0))
    assert meta_rm_training._load_model(name, 0, False, "float32", None).config._attn_implementation == "eager"
    with pytest.raises(ConfigError, match="--attn-implementation sdpa leaves out the attention's soft cap"):
        meta_rm_training._load_model(name, 0, False, "float32", "sdpa")
    other = str(make_model(tmp_path / "other"))
    assert meta_rm_training._load_model(other, 0, False, "float32", None).config._attn_implementation == "sdpa"
    assert meta_rm_training._load_model(other, 0, False, "float32", "eager").config._attn_implementation == "eager"


def test_several_gpus_need_a_launcher(options: MetaRMSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    with pytest.raises(ConfigError, match="8 GPUs and no launcher: torchrun --nproc_per_node 8"):
        train_meta_rm(options)


def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = make_config(engine={"type": "vllm", "model": str(tmp_path)})
    with pytest.raises(ConfigError, match=f"--max-tokens needs the GRM's tokenizer, engine.model {tmp_path}: "):
        TokenLimit.of(config, "--max-tokens", 9)


def test_room_is_counted_in_the_grms_own_chat_template() -> None:
    config = make_config(engine={"type": "vllm", "model": str(TOKENIZER)})
    tokenizer = transformers.AutoTokenizer.from_pretrained(TOKENIZER)
    asked, answered = {"role": "user", "content": "Name 2 fruits"}, {"role": "assistant", "content": "plum, fig"}
    for turns in ([asked], [asked, answered]):
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=len(turns) == 1)
        length = len(tokenizer.encode(text, add_special_tokens=False)) + (2 if len(turns) == 2 else 0)
        conversation = tuple(Message(**turn) for turn in turns)
        assert TokenLimit.of(config, "--max-tokens", length).fits(conversation)
        assert not TokenLimit.of(config, "--max-tokens", length - 1).fits(conversation)
