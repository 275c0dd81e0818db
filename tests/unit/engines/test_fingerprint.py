"""What two fingerprints are compared by, with those of earlier versions too."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from grm_plugin.cli.app import app
from grm_plugin.config import JudgeConfig
from grm_plugin.engines import fingerprint
from grm_plugin.engines.fingerprint import differing, reward_fingerprint
from grm_plugin.errors import ConfigError
from support.factories import make_config

ITEM = '{"id": "a", "prompt": "Name three fruits.", "responses": ["plum, fig, pear and more", "cats"], "best": 0}\n'


@pytest.mark.parametrize(
    ("found", "wanted", "keys"),
    [
        ({"engine": "1", "judge": "1"}, {"engine": "1", "judge": "1"}, []),
        ({"engine": "1", "judge": "1"}, {"engine": "2", "judge": "2"}, ["engine", "judge"]),
        ({"engine": "1"}, {"engine": "1", "meta_rm": "1"}, ["meta_rm"]),
        ({"engine": "1", "meta_rm": "1"}, {"engine": "1"}, ["meta_rm"]),
        ({"engine": "1"}, {"engine": "1", "template": "1"}, []),  # of 0.1.0
        ({"engine": "1", "template": "2"}, {"engine": "1", "template": "1"}, ["template"]),
        ({"engine": "1", "template": "2"}, {"engine": "1"}, ["template"]),
    ],
)
def test_the_parts_that_differ(found: dict[str, str], wanted: dict[str, str], keys: list[str]) -> None:
    assert differing(found, wanted) == keys


def test_a_key_of_a_later_version_counts_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or every new key would refuse all that was made before it."""
    known = fingerprint._settings(JudgeConfig(use_reference=True), set())
    monkeypatch.setattr(fingerprint, "_KEYS_OF_0_1_0", fingerprint._KEYS_OF_0_1_0 - {"use_reference"})
    without = fingerprint._settings(JudgeConfig(use_reference=True), set())
    assert known == without | {"use_reference": True}
    assert fingerprint._settings(JudgeConfig(use_reference=False), set()) == without | {"use_reference": False}


def test_every_part_of_a_reward_has_a_digest() -> None:
    assert set(reward_fingerprint(make_config(meta_rm__type="fake"))) == {
        *("engine", "prompt", "template", "sampling", "judge", "meta_rm"),
        *("conversation", "normalize", "failure"),
    }


@pytest.mark.parametrize("criteria", [[], [{"name": "right", "text": "Is it right?"}]])
def test_a_template_for_criteria_counts_also_where_only_samples_bring_some(
    criteria: list[dict[str, str]], tmp_path: Path
) -> None:
    template, digests = tmp_path / "criteria.txt", []
    for text in ("{{ responses }}", "{{ criteria }}"):
        template.write_text(text)
        config = make_config(judge={"criteria": criteria, "criteria_template": str(template)})
        digests.append(reward_fingerprint(config)["template"])
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("command", "flag", "part"),
    [
        ("eval -c config.yaml --suite jsonl --data items.jsonl --k 2 -o out", "--grm.judge.template=", "template"),
        ("eval -c config.yaml --suite jsonl --data items.jsonl --k 2 -o out", "--grm.meta_rm.template=", "template"),
        ("spct rft-data items.jsonl -c config.yaml --no-rejection -o out", "--grm.judge.template=", "template"),
        ("spct rft-data items.jsonl -c config.yaml --no-rejection -o out", "--single-template=", "single_template"),
    ],
)
def test_runs_are_told_apart_by_what_no_example_of_a_template_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, flag: str, part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("items.jsonl").write_text(ITEM)
    Path("config.yaml").write_text("engine: {type: fake}\nmeta_rm: {type: fake}\n")
    words = [*command.split(), f"{flag}./listwise.txt"]
    built_in = Path(fingerprint.__file__).parents[1] / "judging/templates/listwise.txt"
    template = built_in.read_text() + "{% if n > 9 %}BE HARSH.{% endif %}"
    Path("listwise.txt").write_text(template)
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    Path("listwise.txt").write_text(template.replace("HARSH", "KIND"))
    with pytest.raises(ConfigError, match=rf"differs in {part}: give another --output"):
        CliRunner().invoke(app, words, catch_exceptions=False)
