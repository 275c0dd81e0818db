"""A command that lacks an optional package says so in one line, before any work, with the command that installs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from grm_plugin._util.packages import missing, require
from grm_plugin.config import Config
from grm_plugin.config.packages import check_packages
from grm_plugin.conversation.reader import ConversationReader
from grm_plugin.errors import ConfigError
from support.blocked_cli import BlockedCli
from support.factories import make_config

VLLM_ENGINE = "engine: {type: vllm, model: some/grm}\n"
TOKENIZER = "engine: {type: fake}\nconversation: {format: tokenizer, tokenizer: some/policy}\n"
FAKE = "engine: {type: fake}\n"
VLLM = 'pip install "grm-plugin[vllm]"'


@pytest.fixture(scope="module")
def cli() -> Iterator[BlockedCli]:
    with closing(BlockedCli()) as running:
        yield running


@pytest.mark.parametrize(
    ("without", "command", "config", "words"),
    [
        ("ray", "serve", VLLM_ENGINE, f"needs ray, which is not installed: {VLLM}"),
        ("ray", "serve", "engine: {type: fake, replicas: 2}\n", f"needs ray, which is not installed: {VLLM}"),
        ("vllm", "serve", VLLM_ENGINE, f"engine.type vllm needs vllm, which is not installed: {VLLM}"),
        (
            "transformers",
            "serve",
            TOKENIZER,
            "conversation.format tokenizer needs transformers, which is not installed",
        ),
        (
            "transformers",
            "attack",
            TOKENIZER,
            "conversation.format tokenizer needs transformers, which is not installed",
        ),
        ("transformers", "attack", VLLM_ENGINE, "engine.type vllm needs transformers, which is not installed"),
        ("vllm", "attack", VLLM_ENGINE, f"engine.type vllm needs vllm, which is not installed: {VLLM}"),
        (
            "vllm",
            "score items.jsonl -o out",
            VLLM_ENGINE,
            f"engine.type vllm needs vllm, which is not installed: {VLLM}",
        ),
        ("vllm", "spct rft-data items.jsonl -o out", VLLM_ENGINE, "engine.type vllm needs vllm"),
        ("pyarrow", "spct rft-data items.jsonl -o out --format parquet", FAKE, "needs pyarrow, which is not installed"),
        ("pyarrow", "spct rl-data items.jsonl -o out.parquet", FAKE, "a Parquet file needs pyarrow"),
        (
            "transformers",
            "spct rl-data items.jsonl -o out --max-prompt-tokens 9",
            VLLM_ENGINE,
            "--max-prompt-tokens needs transformers",
        ),
        (
            "numpy,matplotlib",
            "eval --suite jsonl --data items.jsonl --output out",
            FAKE,
            'grm-plugin eval needs numpy and matplotlib, which are not installed: pip install "grm-plugin[evals]"',
        ),
        ("re2", "doctor", FAKE + "judge: {answer: regex, pattern: (a), list_size: 1}\n", "pip install google-re2"),
        ("numpy,matplotlib", "best-of items.jsonl", FAKE, "grm-plugin best-of needs numpy and matplotlib"),
        ("vllm", "sample items.jsonl -n 2 -o out", VLLM_ENGINE, "engine.type vllm needs vllm"),
        ("matplotlib", "eval --from votes", None, "grm-plugin eval needs matplotlib"),
        ("pyarrow", "eval --suite rewardbench --data data.parquet --output out", FAKE, "needs pyarrow"),
        (
            "torch",
            "spct meta-rm --model some/grm --data items.jsonl -o out",
            None,
            "training a meta RM needs torch, which is not installed: pip install torch",
        ),
        (
            "deepspeed",
            "spct meta-rm --model m --data items.jsonl -o out --deepspeed items.jsonl",
            None,
            "needs deepspeed",
        ),
        ("torch,accelerate", "spct meta-rm-eval --model m --data items.jsonl", None, "needs torch and accelerate"),
        ("ray", "stop", None, f"a service on Ray needs ray, which is not installed: {VLLM}"),
    ],
)
def test_one_line_and_no_work(
    without: str, command: str, config: str | None, words: str, cli: BlockedCli, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "config.yaml").write_text(config or "")
    (folder / "items.jsonl").write_text('{"id": "a", "prompt": "Q", "responses": ["x", "y"], "best": 0}\n')
    (folder / "data.parquet").write_bytes(b"")
    before = sorted(folder.iterdir())
    arguments = [*command.split(), *(["--config", "config.yaml"] if config else [])]
    cluster = "127.0.0.1:1" if command == "stop" else ""
    said = cli.run(without.split(","), arguments, folder, tmp_path, RANK="0", RAY_ADDRESS=cluster)
    assert said.status == 2, said.err
    assert said.err.startswith("grm-plugin: ")
    assert words in said.err
    assert "pip install " in said.err
    assert said.err.count("\n") == 1, said.err
    assert sorted(folder.iterdir()) == before


def test_what_nobody_thought_of_is_one_line_too(cli: BlockedCli, tmp_path: Path) -> None:
    said = cli.run(["uvicorn"], ["serve", "--config", "config.yaml"], tmp_path, tmp_path)
    assert said.status == 2
    assert said.err == "grm-plugin: this command needs uvicorn, which is not installed: pip install uvicorn\n"


def test_a_library_says_it_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"conversation\.format tokenizer needs transformers"):
        ConversationReader("tokenizer", "some/policy")


def test_a_cluster_that_runs_has_packages_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    config: Config = make_config(engine={"type": "vllm", "model": "some/grm"})
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    check_packages(config, on_ray=True)
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(ConfigError, match="needs vllm"):
        check_packages(config, on_ray=True)


@pytest.mark.parametrize(
    ("packages", "command"),
    [
        (["numpy"], 'numpy, which is not installed: pip install "grm-plugin[evals]"'),
        (["numpy", "vllm"], 'numpy and vllm, which are not installed: pip install "grm-plugin[vllm,evals]"'),
        (["vllm", "torch"], 'vllm and torch, which are not installed: pip install "grm-plugin[vllm]" torch'),
    ],
)
def test_the_command_to_install(packages: list[str], command: str) -> None:
    assert missing(packages, "it") == f"it needs {command}"


def test_what_is_there_is_not_imported() -> None:
    code = (
        "import sys; from grm_plugin._util.packages import require; require('torch', what='x')\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
    require("json", what="x")
    with pytest.raises(ConfigError, match=r"x needs no_such_package\.sub"):
        require("no_such_package.sub", what="x")
