"""`spct meta-rm` and `meta-rm-eval`: what is refused at once, and which rank says and writes the figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError
from grm_plugin.spct.meta_rm_metrics import measure

pytest.importorskip("torch")
pytest.importorskip("transformers")

from grm_plugin.spct import meta_rm_training


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--epochs", "0"], "--epochs 0 trains nothing"),
        (["--epochs", "-1"], "--epochs -1 trains nothing"),
        (["--epochs", "inf"], "--epochs inf trains nothing"),
        (["--lr", "-1"], "--lr -1 trains nothing"),
        (["--lr", "nan"], "--lr nan trains nothing"),
        (["--deepspeed", "broken.json"], r"--deepspeed broken\.json is no JSON file: Expecting.*configs/spct"),
        (["--deepspeed", "list.json"], r"--deepspeed list\.json must hold a JSON object"),
    ],
)
def test_settings_that_train_nothing_are_refused(
    flags: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{,}")
    Path("list.json").write_text("[]")
    command = ["spct", "meta-rm", "--model", "m", "--data", "d", "--output", "o", *flags]
    with pytest.raises(ConfigError, match=said):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_figures_that_cannot_be_written_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_rm_training, "evaluate_meta_rm", lambda *_: measure([1.0, -1.0], [1, 0], ["a", "a"]))
    command = ["spct", "meta-rm-eval", "--model", "m", "--data", "d", "--output", str(tmp_path)]
    with pytest.raises(ConfigError, match="cannot be written: Is a directory"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_under_torchrun_one_rank_prints_and_writes_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_rm_training, "evaluate_meta_rm", lambda *_: measure([1.0, -1.0], [1, 0], ["a", "a"]))
    command = ["spct", "meta-rm-eval", "--model", "m", "--data", "d", "--output", str(tmp_path / "figures.json")]
    monkeypatch.setenv("RANK", "1")
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert (done.exit_code, done.output, list(tmp_path.iterdir())) == (0, "", [])
    monkeypatch.setenv("RANK", "0")
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.output
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]
