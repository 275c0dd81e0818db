"""The configurations that ship: found by name wherever a path is taken, and a clear error for what does not ship."""

from __future__ import annotations

import shutil
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from grm_plugin.config import shipped
from grm_plugin.config.loading import load_config
from grm_plugin.config.shipped import HERE, IN_CHECKOUT, shipped_configs
from grm_plugin.errors import ConfigError
from grm_plugin.integrations.environment_variables import read_environment
from grm_plugin.integrations.openrlhf.launcher_flags import parse
from support.paths import ROOT


def test_they_are_the_files_of_configs() -> None:
    assert HERE.resolve() == ROOT / "configs"
    assert shipped_configs() == sorted(file.stem for file in (ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("name", shipped_configs())
def test_a_preset_is_its_file(name: str) -> None:
    assert load_config(f"preset:{name}") == load_config(ROOT / "configs" / f"{name}.yaml")


def test_a_path_object_will_do_as_command_lines_make_one() -> None:
    assert load_config(Path("preset:dry_run"), {"sampling.k": "3"}).sampling.k == 3


def test_a_preset_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no preset:dryrun; did you mean preset:dry_run\? These ship: preset:deep"):
        load_config("preset:dryrun")
    with pytest.raises(ConfigError, match="no preset:; these ship: preset:deepseek_grm_16b, "):
        load_config("preset:")


def test_a_file_that_is_not_there_names_the_preset() -> None:
    with pytest.raises(ConfigError, match=r"at configs/of/dry_run.yaml; .*preset:dry_run, which ships"):
        load_config("configs/of/dry_run.yaml")
    with pytest.raises(ConfigError, match="or preset:NAME, one of deepseek_grm_16b, "):
        load_config("mine.yaml")


def test_a_wrong_value_is_told_of_the_preset() -> None:
    with pytest.raises(ConfigError, match=r"^preset:dry_run: sampling.k: "):
        load_config("preset:dry_run", {"sampling.k": "many"})


def test_files_of_the_service_lie_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config("preset:dry_run", {"trace.path": "traces.db"}).trace.path == str(tmp_path / "traces.db")


def test_those_of_examples_are_exactly_those_that_a_wheel_leaves_out() -> None:
    """And nothing else that ships points out of its folder."""
    files = sorted((ROOT / "configs").glob("*.yaml"))
    assert tuple(file.stem for file in files if "../" in file.read_text()) == IN_CHECKOUT
    [pattern] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["exclude-package-data"][
        "grm_plugin.presets"
    ]
    assert tuple(file.stem for file in files if fnmatch(file.name, pattern)) == IN_CHECKOUT


def test_one_that_a_wheel_leaves_out_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "configs" / "dry_run.yaml", tmp_path)
    monkeypatch.setattr(shipped, "HERE", tmp_path)
    with pytest.raises(ConfigError, match=r"preset:nano_cpu runs the models of examples/nano.*ship: preset:dry_run$"):
        load_config("preset:nano_cpu")


def test_frameworks_take_a_preset_too() -> None:
    """GRM_CONFIG, with its workers' own working directories, and the launcher of OpenRLHF."""
    settings = read_environment({"GRM_CONFIG": "preset:dry_run", "GRM_OVERRIDES": '{"sampling.k": 2}'})
    assert settings.config
    assert settings.config.sampling.k == 2
    assert parse(["--grm.config", "preset:dry_run"]).config.engine.type == "fake"
    with pytest.raises(ConfigError, match="did you mean preset:dry_run"):
        read_environment({"GRM_CONFIG": "preset:dry"})
