"""The launch scripts of examples/spct: their flags exist, and their numbers are the paper's."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import subprocess
from contextlib import nullcontext
from pathlib import Path
from string import Template

import pytest
import typer
from typer.testing import CliRunner

from grm_plugin.batch.items import Item, write_items
from grm_plugin.cli.app import app
from grm_plugin.engines.fake import FakeEngine
from grm_plugin.spct import rft_run
from grm_plugin.spct.token_limit import UNLIMITED, TokenLimit
from grm_plugin.spct.training_files import read_rows
from grm_plugin.types import Completion, Message, Prompt, Sampling
from support.factories import completions, responses_shown
from support.paths import ROOT

SCRIPTS = sorted((ROOT / "examples/spct").glob("*.sh"))
PROGRAMS = ("openrlhf.cli.train_sft", "openrlhf.cli.train_ppo_ray", "spct meta-rm")


def arguments_of(script: Path) -> tuple[str, dict[str, list[str]]]:
    """The program that a script runs, and its flags with their values; variables are left as they are."""
    text = script.read_text().replace("\\\n", " ")
    command = next(line for line in text.splitlines() if any(f" {program} " in line for program in PROGRAMS))
    program = next(program for program in PROGRAMS if f" {program} " in command)
    flags: dict[str, list[str]] = {}
    for word in shlex.split(command.split(f" {program} ", 1)[1]):
        if word.startswith("--"):
            assert word not in flags, f"{word} stands twice"
            flags[word] = []
        elif word != "$@":
            flags[list(flags)[-1]].append(word)
    return program, flags


def number(flags: dict[str, list[str]], name: str) -> float:
    (value,) = flags[name]
    return float(value)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
class TestEvery:
    def test_bash_can_read_it(self, script: Path) -> None:
        subprocess.run(["bash", "-n", str(script)], check=True, timeout=20)

    def test_its_flags_exist(self, script: Path) -> None:
        program, flags = arguments_of(script)
        if program == "spct meta-rm":
            command = typer.main.get_command(app)
            for name in program.split():
                command = command.commands[name]  # type: ignore[attr-defined]
            known = {option for parameter in command.params for option in parameter.opts}
        else:
            try:
                openrlhf = importlib.metadata.distribution("openrlhf")
            except importlib.metadata.PackageNotFoundError:
                pytest.skip("OpenRLHF is not installed")
            source = Path(str(openrlhf.locate_file(program.replace(".", "/") + ".py"))).read_text()
            known = {
                flag for flag in flags if f'"{flag}"' in source or f'"{flag.replace("actor", "{prefix}")}"' in source
            }
        assert set(flags) <= known


@pytest.mark.parametrize(("size", "nodes"), [("16b", 1), ("27b", 2)])
def test_fine_tuning_is_the_papers(size: str, nodes: int) -> None:
    _, flags = arguments_of(ROOT / f"examples/spct/rft_{size}.sh")
    assert (number(flags, "--adam.lr"), number(flags, "--train.batch_size")) == (5e-6, 1024)
    assert number(flags, "--data.max_samples") / 1024 == 900
    assert (flags["--data.input_key"], flags["--data.output_key"]) == (["prompt"], ["completion"])
    assert number(flags, "--train.batch_size") % (8 * nodes * number(flags, "--train.micro_batch_size")) == 0


@pytest.mark.parametrize(("size", "nodes", "kl"), [("16b", 1, 0.002), ("27b", 2, 0.08)])
def test_online_rl_is_the_papers(size: str, nodes: int, kl: float) -> None:
    _, flags = arguments_of(ROOT / f"examples/spct/rl_{size}.sh")
    assert (number(flags, "--actor.adam.lr"), number(flags, "--algo.kl.init_coef")) == (4e-7, kl)
    per_step = number(flags, "--rollout.batch_size")
    assert number(flags, "--rollout.n_samples_per_prompt") == 4
    assert per_step * 4 == number(flags, "--train.batch_size") == 512
    assert number(flags, "--data.max_samples") / per_step == 900
    assert number(flags, "--actor.num_nodes") == nodes
    assert number(flags, "--vllm.num_engines") * number(flags, "--vllm.tensor_parallel_size") == 8 * nodes
    assert flags["--actor.loss_agg_mode"] == ["seq-mean-token-mean"]  # Eq. 15: every critique weighs the same
    assert flags["--reward.remote_url"] == ["$(grm-plugin path openrlhf-spct-reward)"]
    assert not [flag for flag in flags if "overlong" in flag or "stop_properly" in flag]  # no format reward


def test_the_meta_rm_is_the_papers() -> None:
    _, flags = arguments_of(ROOT / "examples/spct/meta_rm_27b.sh")
    assert (number(flags, "--lr"), number(flags, "--batch")) == (1e-5, 512)
    assert number(flags, "--batch") % (16 * number(flags, "--micro-batch")) == 0
    assert (ROOT / flags["--deepspeed"][0]).is_file()


@pytest.mark.parametrize("name", ["rft_27b", "rl_27b", "meta_rm_27b"])
def test_gemma_is_trained_with_the_attention_that_it_is_served_with(name: str) -> None:
    _, flags = arguments_of(ROOT / f"examples/spct/{name}.sh")
    (attention,) = flags.get("--ds.attn_implementation") or flags["--attn-implementation"]
    assert attention == "flash_attention_2"  # sdpa has no soft cap, eager no memory
    assert flags.get("--rollout.micro_batch_size", ["1"]) == ["1"]


def test_a_base_model_that_brings_its_own_code_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "modeling.Model"}}')
    script = ROOT / "examples/spct/rft_16b.sh"
    job = subprocess.run(
        ["bash", str(script)], env={"MODEL": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, timeout=20
    )
    assert (job.returncode, b"whose config.json has no auto_map" in job.stderr) == (2, True)


def test_a_policy_whose_weights_cannot_be_synced_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{\n  "model_type": "deepseek_v2"\n}')
    script = ROOT / "examples/spct/rl_16b.sh"
    job = subprocess.run(
        ["bash", str(script)], env={"MODEL": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, timeout=20
    )
    assert (job.returncode, b"OpenRLHF 0.11.2 cannot hand to vLLM" in job.stderr) == (2, True)


def test_the_commands_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in order, each on what the one before left, with a GRM that is right where it reads "easy"."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for folder in ("models/DeepSeek-V2-Lite-Chat", "runs/spct/grm_16b_rft", "runs/spct/grm_16b"):
        (tmp_path / folder).mkdir(parents=True)  # what the scripts leave
    for name in ("items", "rl_items"):
        pair = [Item(f"{name} {one}", (Message("user", one),), ("good", "bad"), (0,)) for one in ("easy", "hard")]
        write_items(tmp_path / f"{name}.jsonl", pair)
    (tmp_path / "chat.jsonl").write_text('{"prompt": "Hi", "response": "Hello"}\n')
    monkeypatch.setattr(rft_run, "running_engines", lambda config: nullcontext((FakeEngine(_grm), None)))
    monkeypatch.setattr(TokenLimit, "of", lambda *_: UNLIMITED)  # the tokenizer of a model that is not here
    variables, ran = {}, []
    (_, rft), (_, rl) = (arguments_of(ROOT / f"examples/spct/{stage}_16b.sh") for stage in ("rft", "rl"))
    room = number(rl, "--data.max_len") - number(rl, "--rollout.max_new_tokens")
    limits = {"--max-tokens": number(rft, "--data.max_len"), "--max-prompt-tokens": room}
    for line in _shell_block(ROOT / "examples/spct/README.md"):
        if match := re.fullmatch(r'(\w+)="(.*)"', line):
            variables[match[1]] = match[2]
            continue
        words = shlex.split(Template(line).substitute(variables))
        if words[0] == "grm-plugin":
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, (line, result.output, result.exception)
            ran.append(words[2])
        else:
            assert (ROOT / words[words.index("bash") + 1]).is_file()
        for flag, limit in limits.items():
            assert flag not in words or int(words[words.index(flag) + 1]) == limit, line
    assert ran == ["rft-data", "rft-data", "rl-data", "rft-data", "meta-rm-data"]
    assert {row["id"] for row in read_rows(tmp_path / "runs/spct/rl.jsonl")} == {"rl_items hard"}
    assert {row["label"] for row in read_rows(tmp_path / "runs/spct/meta.jsonl")} == {0, 1}


def _grm(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    right = "easy" in prompt.messages[0].content or "known to be" in prompt.messages[0].content
    return completions(*[[9 if (text == "good") == right else 2 for text in responses_shown(prompt)]] * sampling.n)


def _shell_block(path: Path) -> list[str]:
    """The commands of the first block of shell in a Markdown file, one a line."""
    block = path.read_text().partition("```sh\n")[2].partition("```")[0].replace("\\\n", " ")
    return [line for line in block.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_deepspeed_files(stage: int) -> None:
    config = json.loads((ROOT / f"configs/spct/zero{stage}.json").read_text())
    assert config["zero_optimization"]["stage"] == stage
    # Without it the weights of a trained model would be saved in pieces, which nothing can serve.
    assert stage < 3 or config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"]


def test_the_hook_is_installed() -> None:
    result = CliRunner().invoke(app, ["path", "openrlhf-spct-reward"])
    assert Path(result.output.strip()).read_text().count("def reward_func") == 1
