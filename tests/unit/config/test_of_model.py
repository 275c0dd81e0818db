"""The configuration for a model that no file describes."""

from __future__ import annotations

from pathlib import Path

import pytest

from grm_plugin.config import JudgeConfig, SamplingConfig, VLLMConfig
from grm_plugin.config.of_model import CPU_CONTEXT, CPU_MAX_TOKENS, config_of_model
from grm_plugin.errors import ConfigError


def test_the_name_tells_the_family_and_overrides_count_over_it() -> None:
    config = config_of_model("BBQGOD/DeepSeek-GRM-16B", on_cpu=False)
    assert config.engine == VLLMConfig(model="BBQGOD/DeepSeek-GRM-16B")
    assert config.judge == JudgeConfig(preset="deepseek_grm")
    assert config.sampling == SamplingConfig()
    config = config_of_model("gaotang/RM-R1-7B", {"judge.preset": "any_instruct", "sampling.k": "4"}, on_cpu=False)
    assert (config.judge.preset, config.judge.list_size, config.sampling.k) == ("any_instruct", 4, 4)
    assert config_of_model("owner/instruct", on_cpu=False).judge == JudgeConfig()


@pytest.mark.parametrize(
    ("settings", "context"),
    [
        (None, CPU_CONTEXT),
        ('{"max_position_embeddings": 2048}', 2048),
        ('{"max_position_embeddings": 131072}', CPU_CONTEXT),
        ('{"text_config": {"max_position_embeddings": 1024}}', 1024),
        ('{"text_config": 3}', CPU_CONTEXT),
        ("[]", CPU_CONTEXT),
        ("no JSON", CPU_CONTEXT),
    ],
)
def test_on_a_cpu_the_context_is_short_and_never_longer_than_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str | None, context: int
) -> None:
    (tmp_path / "weights").mkdir()
    if settings is not None:
        (tmp_path / "weights" / "config.json").write_text(settings)
    monkeypatch.chdir(tmp_path)
    config = config_of_model("weights", on_cpu=True)
    assert config.engine == VLLMConfig(model=str(tmp_path / "weights"), dtype="bfloat16", max_model_len=context)
    assert config.sampling.max_tokens == CPU_MAX_TOKENS
    longer = config_of_model("weights", {"engine.max_model_len": "512", "sampling.max_tokens": "64"}, on_cpu=True)
    assert isinstance(longer.engine, VLLMConfig)
    assert (longer.engine.max_model_len, longer.sampling.max_tokens) == (512, 64)


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        ("", {}, "--model is empty"),
        ("./nowhere", {}, r"--model \./nowhere: engine\.model: .*does not exist"),
        ("owner/name", {"sampling.kk": "3"}, "--model owner/name: unknown key sampling.kk; did you mean sampling.k"),
    ],
)
def test_what_makes_no_configuration_says_so(model: str, overrides: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of_model(model, overrides, on_cpu=True)
