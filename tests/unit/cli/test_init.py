"""`grm-plugin init`: a configuration to edit, by what the machine has or the user names."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from grm_plugin._util.nvidia_gpus import GIB, GPU
from grm_plugin.cli import init
from grm_plugin.cli.app import app
from grm_plugin.cli.init import suited
from grm_plugin.config.loading import load_config
from grm_plugin.errors import ConfigError

H100 = GPU("GPU 0", 80 * GIB, 0)
SMALL = GPU("GPU 1", 24 * GIB, 0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> str:
    return CliRunner().invoke(app, ["init", *arguments], catch_exceptions=False).stdout


@pytest.mark.parametrize(
    ("gpus", "preset", "why"),
    [
        ([], "openai_endpoint", "no GPU found here: it asks a server; for a smaller model: grm-plugin init OWNER/NAME"),
        ([SMALL], "openai_endpoint", "1 GPU of 24 GiB here, and DeepSeek-GRM wants 80 GB"),
        ([H100, SMALL], "openai_endpoint", "2 GPUs of 24 GiB here"),
        ([H100], "deepseek_grm_16b", "1 GPU of 80 GiB here, of which it takes one"),
        (
            [H100] * 8,
            "deepseek_grm_16b",
            "8 GPUs of 80 GiB here, of which it takes one; preset:deepseek_grm_27b_meta_rm",
        ),
    ],
)
def test_it_looks_at_the_machine(
    gpus: list[GPU], preset: str, why: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(init, "local_gpus", lambda: gpus)
    said = run()
    assert said.startswith(f"grm.yaml: preset:{preset}, {why}")
    assert "next: grm-plugin doctor grm.yaml, then grm-plugin serve grm.yaml" in said
    assert load_config(folder / "grm.yaml") == load_config(f"preset:{preset}")
    assert "# " in (folder / "grm.yaml").read_text().partition("\n")[2]  # its comments, too
    assert suited(gpus)[0] == f"preset:{preset}"


def test_it_begins_with_what_is_named(folder: Path) -> None:
    run("preset:dry_run", "--output", "dry.yaml")
    assert load_config(folder / "dry.yaml").engine.type == "fake"
    run("BBQGOD/DeepSeek-GRM-16B")
    loaded = load_config(folder / "grm.yaml")
    assert (loaded.engine.type, loaded.judge.preset) == ("vllm", "deepseek_grm")
    assert (folder / "grm.yaml").read_text().count("\n") < 15  # and not every default


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["preset:dry_run", "-o", "there"], "there exists: give another --output"),
        (["there"], "there is a file already"),
        (["preset:dry_run", "-o", "no/grm.yaml"], "--output no/grm.yaml: No such file"),
        (["preset:dry_run", "-o", "/proc/grm.yaml"], "--output /proc/grm.yaml: "),
        (["preset:dry"], "no preset:dry; did you mean preset:dry_run"),
        (["preset:nano_cpu"], "of use in its own folder only: .*nano_cpu.yaml"),
        (["dry-run"], "dry-run is no file, .*; did you mean preset:dry_run"),
    ],
)
def test_what_cannot_be_written_or_begun_with(words: list[str], said: str, folder: Path) -> None:
    (folder / "there").write_text("mine")
    with pytest.raises(ConfigError, match=said):
        run(*words)
    assert [path.name for path in folder.iterdir()] == ["there"]
    assert (folder / "there").read_text() == "mine"
